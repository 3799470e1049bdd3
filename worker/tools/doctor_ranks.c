#include "worker/tools/doctor_ranks.h"

#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/launcher.h"

/* A whole number from the environment; -1: not there. */
static int env_int(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (!text || !*text) return -1;
    long v = strtol(text, &end, 10);
    return *end || v < 0 || v > INT_MAX ? -1 : (int)v;
}

static int local_ranks(const struct mpi_world *world)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "PMI_LOCAL_SIZE"};
    if (!world) return 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (env_int(names[i]) > 0) return env_int(names[i]);
    return world->size; /* all on this host, as far as we can know */
}

static enum drafter drafter_of(const struct doctor_input *in)
{
    return in->little ? DRAFTER_LITTLE : DRAFTER_NONE;
}

int doctor_layout(const struct doctor_input *in, struct layout *out, struct err *err)
{
    int n = in->world ? in->world->size : 1;
    return layout_make(out, n, in->drafters, in->groups, in->tp, in->pp, drafter_of(in), err);
}

/* Whether the launcher's ranks are those that the layout takes. */
static void say_ranks(struct report *r)
{
    const struct doctor_input *in = r->in;
    struct layout layout;
    struct err err;
    int n_needed = layout_ranks_needed(in->drafters, in->groups, in->tp, in->pp, drafter_of(in));
    if (doctor_layout(in, &layout, &err) != OK && (in->big || in->little))
        report_bad(r, E_LAYOUT, "ranks", "%s. Do: %s -n %d pilotfish ...", err.text, launcher_script(), n_needed);
    else if (in->world)
        report_ok(r, "ranks", "%d, of them %d on this host", in->world->size, r->n_local);
    else
        report_ok(r, "ranks", "no launcher: one process, every role a thread (over ranks: %s -n %d)", launcher_script(),
                  n_needed);
}

/* A line each: where it is, the threads of a worker there, and what a message to it takes. */
static void say_each(struct report *r)
{
    for (int i = 0; r->in->world && r->in->ranks && i < r->in->world->size; i++) {
        const struct mpi_rank *rank = &r->in->ranks[i];
        char topic[24], threads[32] = "", link[120] = "";
        snprintf(topic, sizeof topic, "rank %d", i);
        if (i > 0)
            snprintf(link, sizeof link, "; to rank 0: %s, round trip %.3f ms, %.0f MB/s", rank->transport,
                     rank->round_trip_us * 1e-3, rank->bytes_per_s * 1e-6);
        if (i > 0 && rank->threads)
            snprintf(threads, sizeof threads, ", %d thread%s", rank->threads, rank->threads == 1 ? "" : "s");
        report_ok(r, topic, "host %s, %d of its %d cores%s%s", rank->host, rank->cores, rank->host_cores, threads,
                  link);
    }
}

static void say_slots(struct report *r)
{
    int n_slots = env_int("OMPI_UNIVERSE_SIZE");
    if (!r->in->world || n_slots < 0) return;
    if (n_slots < r->in->world->size)
        report_warn(r, "slots", "%d for %d ranks: they take turns. Do: name more hosts, or start fewer ranks", n_slots,
                    r->in->world->size);
    else
        report_ok(r, "slots", "%d for %d ranks", n_slots, r->in->world->size);
}

/* ---- which MPI ---- */

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int keep_mpi(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    const char *base = strrchr(info->dlpi_name, '/');
    if (!base || strncmp(base, "/libmpi", 7) != 0) return 0;
    snprintf(arg, PATH_MAX, "%s", info->dlpi_name);
    return 1;
}

/* Two MPIs with the same soname can be installed at once: what counts is which one this process has in memory. */
static void say_library(struct report *r)
{
    char loaded[PATH_MAX] = "";
    const char *version = r->in->world ? r->in->world->library : "not started without a launcher";
    dl_iterate_phdr(keep_mpi, loaded);
    if (!*loaded)
        report_ok(r, "mpi", "%s (linked in)", version);
    else if (!same_file(loaded, PILOTFISH_MPI_LIBRARY))
        report_warn(r, "mpi", "%s: %s was loaded, but the build took %s. Do: use the launcher %s", version, loaded,
                    PILOTFISH_MPI_LIBRARY, PILOTFISH_MPI_LAUNCHER);
    else
        report_ok(r, "mpi", "%s: %s", version, loaded);
}

static bool path_find(const char *name, char *out, size_t size)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t n = strcspn(path, ":");
        int n_text = snprintf(out, size, "%.*s/%s", (int)n, path, name);
        if (n > 0 && n_text < (int)size && access(out, X_OK) == 0) return true;
        path += n + (path[n] == ':');
    }
    return false;
}

static void say_launcher(struct report *r)
{
    char found[PATH_MAX];
    if (!path_find("mpirun", found, sizeof found))
        report_warn(r, "launcher", "no mpirun on PATH. Do: use %s, which belongs to the MPI of the build",
                    PILOTFISH_MPI_LAUNCHER);
    else if (!same_file(found, PILOTFISH_MPI_LAUNCHER))
        report_warn(r, "launcher", "%s is another than the build's. Do: use %s", found, PILOTFISH_MPI_LAUNCHER);
    else
        report_ok(r, "launcher", "%s", found);
}

/* ---- who runs where ---- */

static void say_binding(struct report *r)
{
    const struct memory *m = &r->memory;
    if (m->affinity_cores >= m->host_cores)
        report_ok(r, "binding", "none: all %d cores of this host", m->host_cores);
    else if (r->in->world && m->affinity_cores * r->n_local < m->host_cores)
        report_warn(r, "binding",
                    "this rank may use %d of %d cores, and others stay idle. Do: %s, or mpirun "
                    "--bind-to none",
                    m->affinity_cores, m->host_cores, launcher_script());
    else
        report_ok(r, "binding", "%d of %d cores", m->affinity_cores, m->host_cores);
}

static void say_threads(struct report *r)
{
    /* The ranks of a host that are bound to cores of their own have more between them than one of them sees. */
    int cores = memory_cores_of(&r->memory) * (r->memory.affinity_cores < r->memory.host_cores ? r->n_local : 1);
    if (cores > r->memory.host_cores) cores = r->memory.host_cores;
    int n = r->n_workers, each = r->n_threads;
    if (n > cores)
        report_warn(r, "threads",
                    "%d workers at once on %d cores: they take turns. Do: smaller --groups, --tp, --pp, or more hosts",
                    n, cores);
    else if (n * each > cores)
        report_warn(r, "threads",
                    "%d workers at once with %d threads each on %d cores: they take turns. Do: --threads %d", n, each,
                    cores, cores / n);
    else
        report_ok(r, "threads", "%d worker%s at once with %d thread%s each on %d cores", n, n == 1 ? "" : "s", each,
                  each == 1 ? "" : "s", cores);
    if (r->memory.cgroup_cores > 0 && r->memory.cgroup_cores < r->memory.affinity_cores)
        report_warn(r, "quota", "this control group may use %.2f of %d cores. Do: raise its cpu.max, if you may",
                    r->memory.cgroup_cores, r->memory.affinity_cores);
}

/* The coordinator and, while the shards work, the drafter mostly wait: they are not counted. */
static int local_workers(const struct report *r)
{
    int n_shards = r->in->groups * r->in->tp * r->in->pp;
    int n_others = r->in->world ? 1 + (r->in->little != NULL) : 0;
    if (!r->in->world || r->n_local == r->in->world->size) return n_shards;
    return r->n_local > n_others ? r->n_local - n_others : 1; /* rank 0's host has the coordinator and the drafter */
}

void doctor_ranks(struct report *r)
{
    r->n_local = local_ranks(r->in->world);
    r->n_workers = local_workers(r);
    r->n_threads = r->in->threads > 0 ? r->in->threads : memory_cores_of(&r->memory);
    say_ranks(r);
    say_each(r);
    say_slots(r);
    say_library(r);
    say_launcher(r);
    say_binding(r);
    say_threads(r);
}
