/* split.h -- the pre-tokenizer: it cuts a text into the pieces inside which tokens are merged.
 *
 * For each name of tokenizer.ggml.pre there are one or more expressions, matched by PCRE2 (compiled to machine code
 * where the library can). The first cuts the text into matches and what is between them, the next one cuts each of
 * these, and so on. Pieces follow each other without gaps and together are the text, byte for byte: PCRE2 sees only
 * the stretches that are UTF-8; a stretch that is not is a piece. A splitter does not change after split_open and may
 * be shared by threads; each split_run belongs to one thread.
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

/* A running step: text[at .. end - 1] is the rest of the segment that it cuts; match .. match_end is its next match. */
struct split_level {
    size_t at, end, match, match_end;
};

struct split_run {
    const struct splitter *splitter;
    void *match, *context; /* owns: pcre2_match_data, pcre2_match_context */
    const char *text;      /* borrowed until the next split_text */
    size_t n, pos;         /* where the next stretch begins */
    int depth;             /* index of the running step; -1: none */
    struct split_level level[SPLIT_STEPS];
};

int split_run_init(struct split_run *r, const struct splitter *s, struct err *err);
void split_run_free(struct split_run *r);

void split_text(struct split_run *r, const char *text, size_t n);

/* The next piece; an empty one means the end of the text. */
int split_next(struct split_run *r, struct gguf_str *piece, struct err *err);

#endif
