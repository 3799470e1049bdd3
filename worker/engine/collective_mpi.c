#include "worker/engine/collective.h"

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/layout.h"

struct ranks {
    struct collective base;
    MPI_Comm comm; /* borrows */
    int *counts;   /* [2n] owns: floats of each shard; where they begin */
    float *packed; /* owns: the parts of one gather, one after the other; grows to the largest */
    size_t room;   /* floats */
    MPI_Request requests[2 * SHARDS_MOST];
};

enum { WAITS_US = 1000 }; /* between two calls of `waits` */

static int mpi_error(const struct ranks *r, int code, struct err *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n;
    MPI_Error_string(code, text, &n);
    return err_set(err, E_PEER, "shard %d: gathering from %d shards: %s", r->base.self, r->base.n, text);
}

/* Every shard sends its part to every other. What comes and what goes are requests [0, n) and [n, 2n). */
static int begin(struct ranks *r, float *buf, const int *begins)
{
    int n = r->base.n, self = r->base.self, code = MPI_SUCCESS;
    for (int i = 0; i < 2 * n; i++) r->requests[i] = MPI_REQUEST_NULL;
    for (int i = 0; i < n && code == MPI_SUCCESS; i++)
        if (i != self) code = MPI_Irecv(buf + begins[i], r->counts[i], MPI_FLOAT, i, 0, r->comm, &r->requests[i]);
    for (int i = 1; i < n && code == MPI_SUCCESS; i++) { /* not all to the same one first */
        int to = (self + i) % n;
        code = MPI_Isend(buf + begins[self], r->counts[self], MPI_FLOAT, to, 0, r->comm, &r->requests[n + to]);
    }
    return code;
}

/* *missing: the first shard whose part has not come, or one that has not taken this one's; n: none. */
static int test_all(struct ranks *r, int *missing)
{
    int n = r->base.n, done, code = MPI_SUCCESS;
    *missing = n;
    for (int i = 2 * n; i-- > 0 && code == MPI_SUCCESS;) {
        code = MPI_Test(&r->requests[i], &done, MPI_STATUS_IGNORE);
        if (!done) *missing = i % n;
    }
    return code;
}

static int gather_in_place(struct ranks *r, float *buf, const int *begins, struct err *err)
{
    int n = r->base.n, missing = n, rc = OK, code = begin(r, buf, begins);
    uint64_t next_us = 0;
    r->base.n_gathers++;
    while (code == MPI_SUCCESS && rc == OK) {
        code = test_all(r, &missing);
        if (code != MPI_SUCCESS || missing == n) break;
        uint64_t now_us = clock_now_us();
        if (!next_us) next_us = now_us + WAITS_US;
        if (now_us < next_us || !r->base.waits) continue;
        next_us = now_us + WAITS_US;
        rc = r->base.waits(r->base.waits_arg, missing, err);
    }
    if (code != MPI_SUCCESS) rc = mpi_error(r, code, err);
    r->base.broken |= rc != OK;
    return rc;
}

/* Columns [from, to) of all rows <-> one row after the other. */
static void pack(float *packed, const float *buf, size_t ld, int n_rows, int from, int to)
{
    size_t width = (size_t)(to - from);
    for (size_t i = 0; i < (size_t)n_rows; i++) memcpy(packed + i * width, buf + i * ld + from, width * sizeof *buf);
}

static void unpack(float *buf, const float *packed, size_t ld, int n_rows, int from, int to)
{
    size_t width = (size_t)(to - from);
    for (size_t i = 0; i < (size_t)n_rows; i++) memcpy(buf + i * ld + from, packed + i * width, width * sizeof *buf);
}

static int packed_room(struct ranks *r, size_t n, struct err *err)
{
    if (n > INT_MAX) return err_set(err, E_FAIL, "a gather of %zu floats is too large for MPI", n);
    if (n <= r->room) return OK;
    float *more = realloc(r->packed, n * sizeof *more);
    if (!more) return err_set(err, E_LAYOUT, "out of memory for a gather of %zu floats", n);
    r->packed = more;
    r->room = n;
    return OK;
}

static int mpi_gather(struct collective *c, float *buf, size_t ld, int n_rows, const int *from, struct err *err)
{
    struct ranks *r = (struct ranks *)c;
    int n = c->n, self = c->self, *begins = r->counts + n;
    size_t n_floats = (size_t)(from[n] - from[0]) * (size_t)n_rows;
    if (n_floats == 0) return OK;
    int rc = packed_room(r, n_floats, err);
    if (rc != OK) return rc;
    for (int i = 0; i < n; i++) {
        r->counts[i] = (from[i + 1] - from[i]) * n_rows;
        begins[i] = (from[i] - from[0]) * n_rows;
    }
    /* One row's parts lie as MPI wants them: decoding copies nothing. */
    if (n_rows == 1) return gather_in_place(r, buf + from[0], begins, err);
    pack(r->packed + begins[self], buf, ld, n_rows, from[self], from[self + 1]);
    rc = gather_in_place(r, r->packed, begins, err);
    for (int i = 0; i < n && rc == OK; i++)
        if (i != self) unpack(buf, r->packed + begins[i], ld, n_rows, from[i], from[i + 1]);
    return rc;
}

static void mpi_close(struct collective *c)
{
    struct ranks *r = (struct ranks *)c;
    free(r->packed);
    free(r->counts);
    free(r);
}

int collective_mpi_open(struct collective **out, void *comm, struct err *err)
{
    struct ranks *r = calloc(1, sizeof *r);
    if (!r) return err_set(err, E_LAYOUT, "out of memory");
    r->base = (struct collective){.gather = mpi_gather, .close = mpi_close};
    r->comm = *(MPI_Comm *)comm;
    int code = MPI_Comm_set_errhandler(r->comm, MPI_ERRORS_RETURN);
    if (code == MPI_SUCCESS) code = MPI_Comm_size(r->comm, &r->base.n);
    if (code == MPI_SUCCESS) code = MPI_Comm_rank(r->comm, &r->base.self);
    int rc = code == MPI_SUCCESS ? OK : mpi_error(r, code, err);
    if (rc == OK && !(r->counts = malloc(2 * (size_t)r->base.n * sizeof *r->counts)))
        rc = err_set(err, E_LAYOUT, "out of memory for %d shards", r->base.n);
    if (rc == OK)
        *out = &r->base;
    else
        mpi_close(&r->base);
    return rc;
}
