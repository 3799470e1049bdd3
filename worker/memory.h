/* memory.h -- how many bytes and cores this process may use, from the kernel and its control groups.
 *
 * Read-only and without state. Every file is read below a root, which is "" on a real machine and a made-up folder in
 * tests. What cannot be read counts as no limit: machines without control groups are common.
 */
#ifndef WORKER_MEMORY_H
#define WORKER_MEMORY_H

#include <stdint.h>

struct memory {
    uint64_t host_bytes;   /* MemAvailable; UINT64_MAX: not known */
    uint64_t cgroup_bytes; /* left below the tightest limit of this process's groups; UINT64_MAX: no limit */
    double cgroup_cores;   /* the tightest quota; 0: none */
    int affinity_cores;    /* cores that the scheduler may run this process on */
    int host_cores;        /* cores that are online */
};

void memory_read(struct memory *m, const char *root);

/* Bytes that can still be taken; UINT64_MAX: not known. */
uint64_t memory_bytes_of(const struct memory *m);

/* Threads that can run at once: the affinity, capped by the quota rounded up; at least 1. */
int memory_cores_of(const struct memory *m);

/* The same of this process now. */
uint64_t memory_available(void);
int memory_cores(void);

#endif
