/* eval_rows.h -- `pilotfish eval rows`: what a text is like inside the big model, for training an exit.
 *
 * The file: a line of JSON, then a record for each token, numbers little-endian, nothing between them:
 *
 *     {"format": "pilotfish-rows", "version": 2, "base": "0123456789abcdef", "exits": [10, 20], "n_embd": 576,
 *      "n_top": 48, "window": 512}
 *     int32 id, int32 pos, float32 x[n_exits, n_embd], int32 top[n_top], float32 lp[n_top]
 *
 * base: the model's fingerprint (proto/files/gguf.h). x: the hidden rows of the id at `pos` behind so many blocks. top,
 * lp: the ids that the whole model finds likeliest next, and their ln p; likeliest first. A window of the text begins
 * at pos 0.
 */
#ifndef WORKER_TOOLS_EVAL_ROWS_H
#define WORKER_TOOLS_EVAL_ROWS_H

#include <stdio.h>

#include "kernels/kernels.h"
#include "proto/err.h"
#include "worker/watch.h"

struct eval_rows_input { /* all borrowed */
    const char *big;
    const int *exits; /* [n_exits] blocks, rising */
    int n_exits;
    const int32_t *ids;
    int n_ids, window;
    const char *save; /* the file */
    int n_threads;
    const struct kernels *kernels;
    struct watch watch;
};

/* Says on `out` what was written. The last window may be shorter. E_MODEL: the model has not so many blocks. E_USAGE:
 * the file cannot be opened, the text has fewer than two tokens, or the window is longer than the model's context.
 * E_FAIL: the file cannot be written. */
int eval_rows(const struct eval_rows_input *in, FILE *out, struct err *err);

#endif
