#include "tests/lib/gathers.h"

#include <stdlib.h>

static const struct {
    int n_rows, ld, offset; /* the first part begins at column `offset` */
    int width[4];           /* of the parts, by shard; those past the last shard are left out */
} rows[] = {
    {1, 40, 0, {10, 10, 10, 10}},
    {5, 40, 0, {10, 10, 10, 10}},
    {3, 50, 2, {7, 1, 16, 3}}, /* ragged, a gap at both ends */
    {4, 32, 0, {0, 8, 0, 5}},  /* the first and another are empty */
    {7, 20, 1, {6, 0, 0, 0}},  /* one has all */
    {1, 20, 1, {0, 0, 3, 2}},
    {2, 8, 3, {0, 0, 0, 0}}, /* nothing to do */
    {0, 8, 0, {2, 2, 2, 2}}, /* no rows */
    {33, 2100, 0, {513, 512, 511, 509}},
};

enum { UNTOUCHED = -7 };

/* Exact in fp32. */
static float value(int round, int row, int column)
{
    return (float)(round * 131 % 997 * 4096 + row * 64 * 37 % 4096 + column % 1024);
}

static int check(const float *buf, int i_case, int round, int from, int to)
{
    int n_wrong = 0, ld = rows[i_case].ld;
    for (int r = 0; r < rows[i_case].n_rows; r++)
        for (int i = 0; i < ld; i++)
            n_wrong += buf[r * ld + i] != (i >= from && i < to ? value(round, r, i) : (float)UNTOUCHED);
    return n_wrong;
}

int gathers_run(struct collective *c, int round, int *n_wrong, struct err *err)
{
    int rc = OK;
    for (size_t k = 0; k < sizeof rows / sizeof *rows && rc == OK; k++) {
        int from[5] = {rows[k].offset}, ld = rows[k].ld;
        for (int i = 0; i < c->n; i++) from[i + 1] = from[i] + rows[k].width[i];
        size_t n = (size_t)(rows[k].n_rows * ld);
        float *buf = malloc((n + 1) * sizeof *buf);
        if (!buf) return err_set(err, E_FAIL, "out of memory");
        for (size_t i = 0; i < n; i++) buf[i] = UNTOUCHED;
        for (int r = 0; r < rows[k].n_rows; r++)
            for (int i = from[c->self]; i < from[c->self + 1]; i++) buf[r * ld + i] = value(round, r, i);
        rc = c->gather(c, buf, (size_t)ld, rows[k].n_rows, from, err);
        if (rc == OK) *n_wrong += check(buf, (int)k, round, from[0], from[c->n]);
        free(buf);
    }
    return rc;
}
