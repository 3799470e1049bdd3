/* mixture.h -- which experts each row of a pass needs (1701.06538), and room for what they compute. A router picks
 * n_used of them for each row; their outputs are weighted by the softmax of their scores. Experts are rows of stacked
 * tensors.
 *
 * Each (row, expert) that was picked is a pair. Pairs are sorted by expert, so that an expert's weights are read once
 * for all rows that need it. A pair's bits depend only on its row, and a row adds up its pairs by increasing expert:
 * so no row's text depends on other rows.
 */
#ifndef WORKER_ENGINE_MIXTURE_H
#define WORKER_ENGINE_MIXTURE_H

#include <stdbool.h>

#include "worker/engine/model.h"

struct choice { /* an expert of a row, and its weight */
    int expert;
    float weight;
};

struct mixture {   /* of one pass; n: rows * n_used. All owned; zeroed where a model has no experts */
    float *scores; /* [max_rows, ld_scores] the router's */
    size_t ld_scores;
    struct choice *picks;     /* [max_rows, n_used] by increasing expert */
    int *pair_of;             /* [max_rows, n_used] the pair of a pick */
    int *row_of;              /* [n] the row of a pair */
    int *from;                /* [n_expert + 1] an expert's pairs */
    struct acts norm, hidden; /* [n]: of each pair, ready for gate and up; for down */
    float *ff, *up, *y;       /* [n, ld_ff], [n, ld_ff], [n, ld_y] */
};

/* The picks of a row: the n_used greatest scores, of equal ones the smaller id; sorted by id, with their softmax. */
void mixture_pick(struct choice *picks, const float *scores, int n_experts, int n_used);
/* Sorts the pairs by expert, then by row, when all rows have their picks. One thread. */
void mixture_sort(struct mixture *x, int n_rows, int n_experts, int n_used);

bool mixture_init(struct mixture *x, const struct model *m, size_t max_rows, size_t ld_ff, size_t ld_y);
void mixture_free(struct mixture *x);

#endif
