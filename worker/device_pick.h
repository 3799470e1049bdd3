/* device_pick.h -- which device computes a worker's passes: the CPU, or one behind a table of kernels/device.h. A table
 * is built in, or of a module that is opened at run time: so the program starts where neither module nor driver is.
 *
 * A module is the file that PILOTFISH_DEVICE_MODULE names, else pilotfish_cuda.so beside the program, or in the folder
 * of libraries that the program was installed with; pilotfish_cuda_cpu.so for the CPU's arithmetic.
 * PILOTFISH_CUDA=emulated takes pilotfish_cuda_emulated.so or pilotfish_cuda_cpu_emulated.so, whose device is the CPU.
 * A module that was opened stays.
 */
#ifndef WORKER_DEVICE_PICK_H
#define WORKER_DEVICE_PICK_H

#include "kernels/device.h"
#include "proto/err.h"

enum device_kind {
    DEVICE_KIND_CPU,
    DEVICE_KIND_CUDA,
    DEVICE_KIND_AUTO, /* cuda if a device answers */
    DEVICE_KIND_REFERENCE
};

struct device_wish {
    enum device_kind kind;
    const struct device_table *table; /* tests: in place of what kind says; NULL: none. Borrowed */
    int number;                       /* of the device; below 0: the workers of a host take its devices in turn: */
    int n_before;                     /* so many have come before this one */
    bool cpu_arithmetic;              /* of cuda: the CPU's bits, slowly */
};

static inline bool device_wished(const struct device_wish *w)
{
    return w->table || w->kind != DEVICE_KIND_CPU;
}

struct device_pick {
    const struct device_table *table; /* NULL: this CPU, by the kernels */
    int number, n_devices;            /* of those that answer */
    struct device_about about;
    char name[160]; /* for people: "cuda: NVIDIA H200 at 0000:1b:00.0"; "": this CPU */
};

/* E_LAYOUT: no module, driver or device, a module of another version or arithmetic, or no device of this number.
 * E_USAGE: PILOTFISH_CUDA is not "emulated". */
int device_pick(struct device_pick *out, const struct device_wish *wish, struct err *err);

/* The table of the module in a file. E_LAYOUT: there is none, or of another version. */
int device_module_open(const struct device_table **out, const char *path, struct err *err);

#endif
