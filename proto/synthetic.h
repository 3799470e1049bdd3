/* synthetic.h -- a pair of models that are not there: what they write, and how long they take.
 *
 *   id = [ wrong | curve | prompt | position ]     its place in a text; wrong: only the little model writes it there
 *
 * The simulator and workers without model files both ask here, so a text, and the drafts of it that are right, are the
 * same in both. Big's next id is that of the next position. Little's is the same one, or the wrong one: its draft at a
 * position p is right if u(seed, prompt, p) < S(j) / S(j - 1), where j counts from the last position of the text at
 * which little is wrong. So it does not depend on who drafts, how far and when; settings that are compared have the
 * same luck. S(j), the acceptance curve, is the chance that j drafts in a row are right.
 *
 * A pass of n rows takes T(n): the first ones as listed, each row more a share of T(1) more. A drafted id takes one
 * time each, whatever is read before it. All functions are pure.
 */
#ifndef PROTO_SYNTHETIC_H
#define PROTO_SYNTHETIC_H

#include <stdint.h>

#include "proto/policy.h"

enum {
    SYNTHETIC_PROMPTS = 32,
    SYNTHETIC_CURVES = 8,
    SYNTHETIC_CONTEXT = 4096, /* positions of a text */
    SYNTHETIC_VOCAB = 2 * SYNTHETIC_CURVES * SYNTHETIC_PROMPTS * SYNTHETIC_CONTEXT,
    SYNTHETIC_PASSES = 64, /* T(n) that may be listed */
    SYNTHETIC_CURVE = 32   /* S(j) that may be listed */
};

struct acceptance { /* S(1) .. S(n), falling, each in 0..1; behind them the last two's ratio goes on; S(0) is 1 */
    int n;
    double s[SYNTHETIC_CURVE];
};

/* At which places drafts were right, as told of real texts: in place of luck. What is not told is drawn, right as often
 * as the text's told ones. */
enum synthetic_told { PLACE_NOT_TOLD, PLACE_WRONG, PLACE_RIGHT };
struct synthetic_text_places {
    double right;                    /* share of the told ones */
    uint8_t told[SYNTHETIC_CONTEXT]; /* enum synthetic_told; by position, less `first` */
};
struct synthetic_places {
    int first, n_texts;
    double right;                                          /* mean of the texts */
    struct synthetic_text_places texts[SYNTHETIC_PROMPTS]; /* of prompt i: text i % n_texts */
};

struct synthetic {
    double draft_ms;                  /* tD */
    double pass_ms[SYNTHETIC_PASSES]; /* T(1) .. T(n_pass_ms) */
    int n_pass_ms;                    /* 0: this is no synthetic pair */
    double slope_percent;             /* of T(1), for each row more */
    double beside; /* how many times as long a draft and a pass of one row take beside each other, as their cores share
                      a memory; 0: as long. Only the simulator asks */
    uint32_t seed;
    int n_curves;
    struct acceptance curves[SYNTHETIC_CURVES];
    const struct synthetic_places *places; /* borrowed; NULL: by the curves. Only the simulator has some */
};

/* Fingerprints: of its numbers, of its ids. */
uint64_t synthetic_hash(const struct synthetic *s);
uint64_t synthetic_vocab_hash(void);

/* The id at a position of the text that follows prompt number i_prompt, under a curve. */
int32_t synthetic_id(int i_curve, int i_prompt, int position);

/* What the models write behind an id, the last of a text. p: how likely little is right there. */
int32_t synthetic_big(int32_t id);
int32_t synthetic_little(const struct synthetic *s, int32_t id, float *p);
/* ln p under big of `next` behind `id`. */
float synthetic_lp(const struct synthetic *s, int32_t id, int32_t next);

uint64_t synthetic_pass_ns(const struct synthetic *s, int n_rows);
/* What workers would report before anything is measured: bytes as their times. */
struct cost_prior synthetic_prior(const struct synthetic *s);
/* How many times as long a pass of n rows and a draft take beside each other. Both read weights, a draft as fast as a
 * pass of one row; a pass of n rows reads the same bytes in T(n). Together they ask for (1 + T(1) / T(n)) / 2 of what
 * made both of them `beside` times as long. */
double synthetic_beside(const struct synthetic *s, int n_rows);
/* For an answer with so many drafted ids: a pass of the little model for each, and one if it only reads. */
uint64_t synthetic_draft_ns(const struct synthetic *s, int n_drafted);

#endif
