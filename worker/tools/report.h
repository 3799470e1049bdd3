/* report.h -- the lines of `doctor`: a verdict, a topic, a sentence. */
#ifndef WORKER_TOOLS_REPORT_H
#define WORKER_TOOLS_REPORT_H

#include <stdio.h>

#include "proto/err.h"
#include "worker/memory.h"
#include "worker/tools/doctor_input.h"

struct report {
    const struct doctor_input *in;
    FILE *out;
    struct memory memory;
    int n_local;                       /* ranks on this host; 1 without a launcher */
    int n_workers;                     /* of this host, that compute at the same time */
    int n_threads;                     /* of a worker */
    double read_bps;                   /* of the read loop */
    int n_devices;                     /* of this host, that verifiers take in turn; 0: none */
    uint64_t device_bytes;             /* of memory, of the one with least; 0: they take the host's */
    const struct device_table *device; /* theirs; NULL: none */
    int n_warnings;
    struct err bad; /* the first; code OK: none */
};

void report_ok(struct report *r, const char *topic, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void report_warn(struct report *r, const char *topic, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void report_bad(struct report *r, int code, const char *topic, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
