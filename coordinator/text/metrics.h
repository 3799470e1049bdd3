/* metrics.h -- how alike two texts are, by the field's usual numbers. Pure.
 *
 * BLEU as sacrebleu computes it over a corpus with one reference each (Post, 1804.08771): tokenizer 13a, n-grams of 1
 * to 4, smoothing "exp". ROUGE-L as rouge-score computes it (Lin 2004): words of a-z and 0-9 in lower case, no
 * stemming, the F measure of the longest common subsequence. A byte that is not UTF-8 counts as a character.
 */
#ifndef COORDINATOR_TEXT_METRICS_H
#define COORDINATOR_TEXT_METRICS_H

#include <stddef.h>

enum { BLEU_ORDERS = 4 };

struct bleu { /* sums over a corpus; zeroed to begin with */
    long long n_right[BLEU_ORDERS], n_all[BLEU_ORDERS];
    long long n_words, n_reference;
};

/* 0; -1: out of memory. */
int bleu_add(struct bleu *b, const char *text, size_t n_text, const char *reference, size_t n_reference);
double bleu_score(const struct bleu *b); /* 0 .. 100 */

/* 0 .. 1; negative: out of memory. */
double rouge_l(const char *text, size_t n_text, const char *reference, size_t n_reference);

#endif
