#include "worker/engine/buffers.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

static void *aligned(size_t n_bytes)
{
    n_bytes = (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
    void *p = aligned_alloc(ALIGN, n_bytes ? n_bytes : ALIGN);
    if (p) memset(p, 0, n_bytes);
    return p;
}

bool floats_init(float **p, size_t n)
{
    return (*p = aligned(n * sizeof **p)) != NULL;
}

bool acts_init(struct acts *a, const struct model *m, size_t n_rows, int n_in)
{
    size_t n = (size_t)n_in;
    a->n_in = n_in;
    if (m->any_float && !floats_init(&a->x, n_rows * n)) return false;
    if (!m->any_quant || n_in % BLOCK) return true;
    return (a->blocks = aligned(n_rows * (n / BLOCK) * sizeof *a->blocks)) != NULL;
}

void acts_free(struct acts *a)
{
    free(a->x);
    free(a->blocks);
}

size_t padded(int n)
{
    return (size_t)((n + PANEL - 1) / PANEL + 1) * PANEL;
}
