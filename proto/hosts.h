/* hosts.h -- what the hosts of a job can do, as lines of a file: `plan --hosts` reads them; `plan --measure` and
 * `doctor` print them.
 *
 *     # name  cores  memory GiB  read GB/s  round trip ms  Mbit/s  G products/s
 *     node1   16     62          38
 *     node2   16     62          38         0.2            10000
 *
 * Fields are parted by blanks; # begins a comment. The first host is the one that the job is started from. Round trip
 * and rate are those between a host and the first one; of the first itself they are not read. 0 Mbit/s: bytes take no
 * time. Products, bare multiply-adds of bytes, may be left out: then they follow from the cores. Pure, but for the
 * stream that a line is written to.
 */
#ifndef PROTO_HOSTS_H
#define PROTO_HOSTS_H

#include <stdbool.h>
#include <stdio.h>

#include "proto/err.h"

enum { HOSTS_MOST = 64, HOST_NAME = 64, HOST_CORES_MOST = 4096 };
enum { GIB = 1 << 30 }; /* bytes */

struct host {
    char name[HOST_NAME]; /* as launchers take it: letters, digits, and . _ - */
    int cores;
    double memory_bytes, read_bytes_per_s; /* that its cores read together */
    double round_trip_ms, bits_per_s;      /* to the first host; 0: no time */
    double products_per_s;                 /* of its cores together; 0: not known */
};

/* Sets *n to 1 .. HOSTS_MOST. E_USAGE: "line 3: ..." says what is wrong, or that there is no host. */
int hosts_read(struct host out[HOSTS_MOST], int *n, const char *text, struct err *err);

void hosts_put_head(FILE *to);                              /* a comment that names the fields */
void hosts_put(const struct host *h, bool first, FILE *to); /* a line that hosts_read takes */

#endif
