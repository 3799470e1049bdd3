#include "worker/engine/collective.h"

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

struct ranks {
    struct collective base;
    MPI_Comm comm; /* borrows */
    int *counts;   /* [2n] owns: floats of each shard; where they begin */
    float *packed; /* owns: the parts of one gather, one after the other; grows to the largest */
    size_t room;   /* floats */
};

static int mpi_error(const struct ranks *r, int code, struct err *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n;
    MPI_Error_string(code, text, &n);
    return err_set(err, E_PEER, "shard %d: gathering from %d shards: %s", r->base.self, r->base.n, text);
}

static int gather_in_place(struct ranks *r, float *buf, int *begins, struct err *err)
{
    int code = MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, buf, r->counts, begins, MPI_FLOAT, r->comm);
    return code == MPI_SUCCESS ? OK : mpi_error(r, code, err);
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
