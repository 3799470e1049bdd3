/* split.h -- the pre-tokenizer: cuts a text into the pieces inside which merging happens.
 *
 * One or more expressions for each name of tokenizer.ggml.pre, matched by PCRE2 (compiled to machine code where the
 * library can): the first cuts the text into matches and what stands between them, the next one cuts each of these, and
 * so on. Pieces follow each other without gaps and together are the text, byte for byte: PCRE2 sees only the stretches
 * that are UTF-8; a stretch that is not is a piece of its own. A splitter does not change after split_open and may be
 * shared by threads; each split_run belongs to one.
 */
#ifndef COORDINATOR_TEXT_SPLIT_H
#define COORDINATOR_TEXT_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/err.h"
#include "proto/files/gguf.h"

enum { SPLIT_STEPS = 6 };

struct splitter {
    char pre[24]; /* the first of its names */
    int n_steps;
    void *step[SPLIT_STEPS]; /* owns: pcre2_code */
};

/* E_MODEL, and the names that are known, where `pre` is none of them. */
int split_open(struct splitter *s, struct gguf_str pre, struct err *err);
void split_close(struct splitter *s);

/* A step at work: text[at .. end - 1] is what is left of the segment that it cuts, and match the next it has found. */
struct split_level {
    size_t at, end, match, match_end;
};

struct split_run {
    const struct splitter *splitter;
    void *match, *context; /* owns: pcre2_match_data, pcre2_match_context */
    const char *text;      /* borrowed until the next split_text */
    size_t n, pos;         /* where the next stretch begins */
    int depth;             /* of the step at work; -1: no stretch is */
    struct split_level level[SPLIT_STEPS];
};

int split_run_init(struct split_run *r, const struct splitter *s, struct err *err);
void split_run_free(struct split_run *r);

void split_text(struct split_run *r, const char *text, size_t n);

/* The next piece, never empty; an empty one is the end. */
int split_next(struct split_run *r, struct gguf_str *piece, struct err *err);

#endif
