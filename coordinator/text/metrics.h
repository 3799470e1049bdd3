/* metrics.h -- how alike two texts are, by the field's usual numbers. Pure.
 *
 * BLEU as sacrebleu computes it over a corpus with one reference each (Post, 1804.08771): tokenizer 13a, n-grams of 1
 * to 4, smoothing "exp". ROUGE as rouge-score computes it (Lin 2004): words of a-z and 0-9 in lower case, no stemming,
 * F measures; of words (1), of pairs of words (2), of the longest common subsequence of the texts (L), and of the words
 * of each line of the reference that one with some line of the text has (Lsum). A byte that is not UTF-8 counts as a
 * character.
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

struct rouge { /* 0 .. 1 each */
    double one, two, l, l_sum;
};

/* 0; -1: out of memory. */
int rouge_score(struct rouge *out, const char *text, size_t n_text, const char *reference, size_t n_reference);

/* Whether the last number of a text is the one that a solution of GSM8K has behind "####". Commas within a number do
 * not count. -1: the solution has none. */
int gsm8k_right(const char *text, size_t n_text, const char *solution, size_t n_solution);

#endif
