/* rows TYPE N_IN < bytes > floats -- a row of a file's format, by its GGUF number, as the fastest path and the
 * reference read it from a panel; they must agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tests/lib/hard.h"

static void read_row(float *out, const struct kernels *k, enum quant type, int n_in, const uint8_t *row)
{
    const void *rows[PANEL] = {row};
    struct weights w = {type, n_in, PANEL, k->panel_bytes(type, n_in), NULL};
    w.panels = hard_alloc(w.panel_bytes);
    k->pack(w.panels, rows, type, n_in);
    k->row(out, &w, 0);
    free(w.panels);
}

int main(int argc, char **argv)
{
    const char *why;
    int type = argc == 3 ? atoi(argv[1]) : -1, n_in = argc == 3 ? atoi(argv[2]) : 0;
    if (n_in < 256 || n_in % 256 || !kernels_supports(type)) return 2;
    size_t n_bytes = hard_row_bytes((enum quant)type, n_in), size = (size_t)n_in * sizeof(float);
    uint8_t *row = hard_alloc(n_bytes);
    float *out = hard_alloc(size), *of_ref = hard_alloc(size);
    if (fread(row, 1, n_bytes, stdin) != n_bytes) return 1;
    read_row(out, kernels_pick(NULL, &why), (enum quant)type, n_in, row);
    read_row(of_ref, &kernels_ref, (enum quant)type, n_in, row);
    if (memcmp(out, of_ref, size) != 0) return 1;
    return fwrite(out, sizeof *out, (size_t)n_in, stdout) == (size_t)n_in && fflush(stdout) == 0 ? 0 : 1;
}
