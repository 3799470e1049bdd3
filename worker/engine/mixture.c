#include "worker/engine/mixture.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/math.h"
#include "worker/engine/buffers.h"

void mixture_pick(struct choice *picks, const float *scores, int n_experts, int n_used)
{
    for (int i = 0; i < n_used; i++) {
        int best = -1;
        for (int k = 0; k < n_experts; k++) {
            bool taken = false;
            for (int j = 0; j < i; j++) taken |= picks[j].expert == k;
            if (!taken && (best < 0 || scores[k] > scores[best])) best = k;
        }
        picks[i] = (struct choice){best, 0};
    }
    float max = scores[picks[0].expert], sum = 0;
    for (int i = 1; i < n_used; i++) /* by id */
        for (int j = i; j > 0 && picks[j].expert < picks[j - 1].expert; j--) {
            struct choice lower = picks[j];
            picks[j] = picks[j - 1];
            picks[j - 1] = lower;
        }
    for (int i = 0; i < n_used; i++) sum += picks[i].weight = math_expf(scores[picks[i].expert] - max);
    for (int i = 0; i < n_used; i++) picks[i].weight /= sum;
}

void mixture_sort(struct mixture *x, int n_rows, int n_experts, int n_used)
{
    int n = n_rows * n_used;
    memset(x->from, 0, ((size_t)n_experts + 1) * sizeof *x->from);
    for (int i = 0; i < n; i++) x->from[x->picks[i].expert + 1]++;
    for (int k = 0; k < n_experts; k++) x->from[k + 1] += x->from[k];
    for (int i = 0; i < n; i++) {
        int pair = x->from[x->picks[i].expert]++; /* runs to the next expert's; set back below */
        x->pair_of[i] = pair;
        x->row_of[pair] = i / n_used;
    }
    for (int k = n_experts; k > 0; k--) x->from[k] = x->from[k - 1];
    x->from[0] = 0;
}

bool mixture_init(struct mixture *x, const struct model *m, size_t max_rows, size_t ld_ff, size_t ld_y)
{
    const struct shape *s = &m->shape;
    if (!s->n_experts) return true;
    size_t n = max_rows * (size_t)s->n_used;
    x->ld_scores = padded(s->n_experts);
    x->picks = calloc(n, sizeof *x->picks);
    x->pair_of = calloc(n, sizeof *x->pair_of);
    x->row_of = calloc(n, sizeof *x->row_of);
    x->from = calloc((size_t)s->n_experts + 1, sizeof *x->from);
    return x->picks && x->pair_of && x->row_of && x->from && floats_init(&x->scores, max_rows * x->ld_scores) &&
           floats_init(&x->ff, n * ld_ff) && floats_init(&x->up, n * ld_ff) && floats_init(&x->y, n * ld_y) &&
           acts_init(&x->norm, m, n, s->n_embd) && acts_init(&x->hidden, m, n, s->n_ff);
}

void mixture_free(struct mixture *x)
{
    void *owned[] = {x->scores, x->picks, x->pair_of, x->row_of, x->from, x->ff, x->up, x->y};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    acts_free(&x->norm);
    acts_free(&x->hidden);
}
