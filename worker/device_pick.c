#include "worker/device_pick.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 4096 };

/* ---- modules ---- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static int module_name(const char **name, bool cpu_arithmetic, struct err *err)
{
    static const char *const names[2][2] = {{"pilotfish_cuda.so", "pilotfish_cuda_emulated.so"},
                                            {"pilotfish_cuda_cpu.so", "pilotfish_cuda_cpu_emulated.so"}};
    const char *which = variable("PILOTFISH_CUDA");
    *name = names[cpu_arithmetic][which != NULL];
    if (!which || !strcmp(which, "emulated")) return OK;
    return err_set(err, E_USAGE, "PILOTFISH_CUDA=%.100s: it may be \"emulated\"", which);
}

/* Beside the program; else DEVICE_MODULE_FOLDER, as seen from there. False: not there. */
static bool find_beside(char path[PATH_ROOM], const char *name)
{
    static const char *const folders[] = {"", DEVICE_MODULE_FOLDER "/"};
    char program[PATH_ROOM];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    while (n > 0 && program[n - 1] != '/') n--;
    for (size_t i = 0; i < sizeof folders / sizeof *folders && n > 0; i++) {
        int n_path = snprintf(path, PATH_ROOM, "%.*s%s%s", (int)n, program, folders[i], name);
        if (n_path < PATH_ROOM && access(path, F_OK) == 0) return true;
    }
    return false;
}

/* E_LAYOUT: there is none. */
static int find_module(char path[PATH_ROOM], bool cpu_arithmetic, struct err *err)
{
    const char *named = variable("PILOTFISH_DEVICE_MODULE"), *name;
    int rc = module_name(&name, cpu_arithmetic, err);
    if (rc != OK) return rc;
    if (named && snprintf(path, PATH_ROOM, "%s", named) < PATH_ROOM) return OK;
    if (!named && find_beside(path, name)) return OK;
    return err_set(err, E_LAYOUT,
                   "no module %s for devices beside the program: build or install it (it needs nvcc), or use --device "
                   "cpu",
                   name);
}

int device_module_open(const struct device_table **out, const char *path, struct err *err)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module) return err_set(err, E_LAYOUT, "the module for devices does not open: %.800s", dlerror());
    device_module *table_of = (device_module *)(uintptr_t)dlsym(module, "pf_device");
    if (!table_of) return err_set(err, E_LAYOUT, "%.800s is no module for devices: it has no pf_device", path);
    const struct device_table *table = table_of(DEVICE_VERSION);
    if (!table || table->version != DEVICE_VERSION)
        return err_set(err, E_LAYOUT,
                       "%.800s does not have version %d of the device table: install it and pilotfish alike", path,
                       DEVICE_VERSION);
    *out = table;
    return OK;
}

/* ---- devices ---- */

/* number: below 0: the devices are only counted. */
static int probe(struct device_pick *pick, int number, struct err *err)
{
    const char *why = "";
    pick->n_devices = pick->table->probe(number, number < 0 ? NULL : &pick->about, &why);
    if (pick->n_devices > 0) return OK;
    return err_set(err, E_LAYOUT, "no device answers to %s: %.800s; --device cpu computes without one",
                   pick->table->name, pick->n_devices < 0 ? why : "there is none");
}

static int choose(struct device_pick *pick, const struct device_wish *wish, struct err *err)
{
    int rc = probe(pick, wish->number, err), n = pick->n_devices;
    if (rc == OK && wish->number >= n)
        rc = err_set(err, E_LAYOUT, "--device-number %d: there %s %d %s device%s, counted from 0", wish->number,
                     n == 1 ? "is" : "are", n, pick->table->name, n == 1 ? "" : "s");
    if (rc != OK) return rc;
    pick->number = wish->number < 0 ? wish->n_before % n : wish->number;
    if (wish->number < 0) rc = probe(pick, pick->number, err);
    snprintf(pick->name, sizeof pick->name, "%.40s: %s", pick->table->name, pick->about.name);
    return rc;
}

/* Without module or device auto is the CPU; a module that cannot be opened is an error. */
static int pick_cuda(struct device_pick *pick, const struct device_wish *wish, struct err *err)
{
    char path[PATH_ROOM];
    bool is_auto = wish->kind == DEVICE_KIND_AUTO;
    int rc = find_module(path, wish->cpu_arithmetic, err);
    if (rc == E_LAYOUT && is_auto) return OK;
    if (rc == OK) rc = device_module_open(&pick->table, path, err);
    if (rc == OK && wish->cpu_arithmetic && pick->table->arithmetic != ARITHMETIC_ID) /* it was named */
        rc = err_set(err, E_LAYOUT, "%.800s has no arithmetic of the CPU (--arithmetic cpu)", path);
    if (rc != OK) return rc;
    if (is_auto && probe(pick, -1, err) != OK) {
        *pick = (struct device_pick){0};
        return OK;
    }
    return choose(pick, wish, err);
}

int device_pick(struct device_pick *out, const struct device_wish *wish, struct err *err)
{
    struct device_pick pick = {.table = wish->table};
    int rc = OK;
    if (wish->kind == DEVICE_KIND_REFERENCE && !pick.table) pick.table = &device_ref;
    if (pick.table)
        rc = choose(&pick, wish, err);
    else if (wish->kind != DEVICE_KIND_CPU)
        rc = pick_cuda(&pick, wish, err);
    if (rc == OK) *out = pick;
    return rc;
}
