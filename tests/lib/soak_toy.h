/* soak_toy.h -- a toy model, and requests to it with the text that each has alone: what soak.c compares with.
 *
 * Alone: greedy or sampled, in one process of one thread, one shard and one stage, without drafter and network, in a
 * slot that holds nothing. Everything is drawn from a seed.
 */
#ifndef TESTS_LIB_SOAK_TOY_H
#define TESTS_LIB_SOAK_TOY_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/decode/seq.h"
#include "kernels/kernels.h"

enum { SOAK_TEXTS = 48, SOAK_CTX = 192, SOAK_PROMPT = 170, SOAK_PREDICT = 28, SOAK_TOP = 2, SOAK_IDS = 700 };

struct soak_text {
    int32_t prompt[SOAK_PROMPT];
    struct request request; /* without drafts */
    struct seq alone;       /* owns */
};

struct soak_toy {
    const char *architecture;
    char big[64], little[64]; /* model files: some drafts of the little one are right */
    struct soak_text texts[SOAK_TEXTS];
};

/* Writes the models into the folder. */
int soak_toy_open(struct soak_toy *toy, const char *folder, const char *architecture, uint32_t type, uint64_t seed,
                  const struct kernels *kernels, struct err *err);
void soak_toy_close(struct soak_toy *toy); /* removes them */

/* ---- draws ---- */

uint64_t draw(uint64_t *state);
int draw_below(uint64_t *state, int n);
bool draw_one_of(uint64_t *state, int n); /* true once in n times */

#endif
