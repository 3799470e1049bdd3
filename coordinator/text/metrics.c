#include "coordinator/text/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

struct word {
    const char *s;
    size_t n;
};

struct words {
    char *text; /* owns: what the words are parts of */
    int n, room;
    struct word *list; /* owns */
};

static void words_free(struct words *w)
{
    free(w->text);
    free(w->list);
    *w = (struct words){0};
}

static bool add_word(struct words *w, const char *s, size_t n)
{
    if (w->n == w->room) {
        int room = w->room ? 2 * w->room : 64;
        struct word *list = realloc(w->list, (size_t)room * sizeof *list);
        if (!list) return false;
        w->list = list;
        w->room = room;
    }
    w->list[w->n++] = (struct word){s, n};
    return true;
}

/* ---- words of 13a ---- */

/* Bytes of a character that Python's str.split takes for a space; 0: none stands here. */
static size_t space_at(const char *s, size_t n)
{
    uint32_t c;
    int bytes = utf8_next(s, n, &c);
    if (bytes < 1) return 0;
    bool is_space = (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
                    (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
                    c == 0x3000;
    return is_space ? (size_t)bytes : 0;
}

/* Less the spaces at its end. */
static size_t stripped(const char *s, size_t n)
{
    size_t end = 0;
    for (size_t at = 0; at < n;) {
        size_t space = space_at(s + at, n - at);
        at += space ? space : 1;
        if (!space) end = at;
    }
    return end;
}

static bool split(struct words *w, size_t n)
{
    size_t from = 0, at = 0;
    while (at < n) {
        size_t space = space_at(w->text + at, n - at);
        if (space && at > from && !add_word(w, w->text + from, at - from)) return false;
        at += space ? space : 1;
        if (space) from = at;
    }
    return from == n || add_word(w, w->text + from, n - from);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Replaces every `what`, shorter ones in place. Returns the new length. */
static size_t replace(char *s, size_t n, const char *what, const char *by)
{
    size_t n_what = strlen(what), n_by = strlen(by), to = 0;
    for (size_t at = 0; at < n;) {
        if (n - at >= n_what && !memcmp(s + at, what, n_what)) {
            memcpy(s + to, by, n_by);
            to += n_by;
            at += n_what;
        } else {
            s[to++] = s[at++];
        }
    }
    return to;
}

/* Of 13a's four substitutions one after the other; each goes from left to right, and what a match has taken belongs
 * to no other. `to` has room for three times n. Returns the length written. */
static size_t substitute(int which, const char *s, size_t n, char *to)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i], next = i + 1 < n ? s[i + 1] : 0;
        bool pair = i + 1 < n;
        switch (which) {
        case 0: /* ([\{-\~\[-\` -\&\(-\+\:-\@\/]) becomes " \1 " */
            if ((c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') ||
                (c >= ':' && c <= '@') || c == '/') {
                to[m++] = ' ', to[m++] = c, to[m++] = ' ';
                continue;
            }
            break;
        case 1: /* ([^0-9])([\.,]) becomes "\1 \2 " */
            if (pair && !is_digit(c) && (next == '.' || next == ',')) {
                to[m++] = c, to[m++] = ' ', to[m++] = next, to[m++] = ' ';
                i++;
                continue;
            }
            break;
        case 2: /* ([\.,])([^0-9]) becomes " \1 \2" */
            if (pair && (c == '.' || c == ',') && !is_digit(next)) {
                to[m++] = ' ', to[m++] = c, to[m++] = ' ', to[m++] = next;
                i++;
                continue;
            }
            break;
        default: /* ([0-9])(-) becomes "\1 \2 " */
            if (pair && is_digit(c) && next == '-') {
                to[m++] = c, to[m++] = ' ', to[m++] = next, to[m++] = ' ';
                i++;
                continue;
            }
        }
        to[m++] = c;
    }
    return m;
}

/* False: out of memory. */
static bool words_13a(struct words *w, const char *text, size_t n)
{
    static const char *const spelled[][2] = {{"<skipped>", ""}, {"-\n", ""},   {"\n", " "},  {"&quot;", "\""},
                                             {"&amp;", "&"},    {"&lt;", "<"}, {"&gt;", ">"}};
    enum { N_TURNS = 4, GROWS = 3 };
    n = stripped(text, n);
    char *from = malloc(n + 3);
    if (!from) return false;
    from[0] = ' '; /* so that what stands first and last has neighbours */
    memcpy(from + 1, text, n);
    n++;
    for (size_t i = 0; i < sizeof spelled / sizeof *spelled; i++)
        n = 1 + replace(from + 1, n - 1, spelled[i][0], spelled[i][1]);
    from[n++] = ' ';
    for (int i = 0; i < N_TURNS; i++) {
        char *to = malloc(GROWS * n + 1);
        if (to) n = substitute(i, from, n, to);
        free(from);
        if (!to) return false;
        from = to;
    }
    w->text = from;
    return split(w, n);
}

/* ---- BLEU ---- */

static int by_text(const void *a, const void *b)
{
    const struct word *x = *(const struct word *const *)a, *y = *(const struct word *const *)b;
    int order = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* Equal words get equal numbers. ids: of a's words, then of b's. False: out of memory. */
static bool number_words(const struct words *a, const struct words *b, int *ids)
{
    int n = a->n + b->n, id = 0;
    const struct word **sorted = calloc((size_t)n + 1, sizeof *sorted);
    if (!sorted) return false;
    for (int i = 0; i < n; i++) sorted[i] = i < a->n ? &a->list[i] : &b->list[i - a->n];
    qsort(sorted, (size_t)n, sizeof *sorted, by_text);
    for (int i = 0; i < n; i++) {
        if (i && by_text(&sorted[i - 1], &sorted[i])) id++;
        bool in_a = a->n && sorted[i] >= a->list && sorted[i] < a->list + a->n;
        ids[in_a ? sorted[i] - a->list : a->n + (sorted[i] - b->list)] = id;
    }
    free(sorted);
    return true;
}

struct gram {
    int ids[BLEU_ORDERS]; /* -1 past its order */
};

static int by_ids(const void *a, const void *b)
{
    const int *x = ((const struct gram *)a)->ids, *y = ((const struct gram *)b)->ids;
    for (int i = 0; i < BLEU_ORDERS; i++)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return 0;
}

/* All n-grams of an order, sorted. Returns how many. */
static int grams_of(struct gram *to, const int *ids, int n, int order)
{
    int n_grams = n >= order ? n - order + 1 : 0;
    for (int i = 0; i < n_grams; i++)
        for (int k = 0; k < BLEU_ORDERS; k++) to[i].ids[k] = k < order ? ids[i + k] : -1;
    qsort(to, (size_t)n_grams, sizeof *to, by_ids);
    return n_grams;
}

/* How many two sorted lists have in common, each as often as both have it. */
static int n_common(const struct gram *a, int n_a, const struct gram *b, int n_b)
{
    int n = 0;
    for (int i = 0, j = 0; i < n_a && j < n_b;) {
        int order = by_ids(&a[i], &b[j]);
        n += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    return n;
}

int bleu_add(struct bleu *b, const char *text, size_t n_text, const char *reference, size_t n_reference)
{
    struct words w = {0}, r = {0};
    bool ok = words_13a(&w, text, n_text) && words_13a(&r, reference, n_reference);
    size_t n = (size_t)w.n + (size_t)r.n + 1;
    int *ids = calloc(n, sizeof *ids);
    struct gram *grams = calloc(n, sizeof *grams);
    ok = ok && ids && grams && number_words(&w, &r, ids);
    for (int order = 1; ok && order <= BLEU_ORDERS; order++) {
        int n_w = grams_of(grams, ids, w.n, order), n_r = grams_of(grams + n_w, ids + w.n, r.n, order);
        b->n_right[order - 1] += n_common(grams, n_w, grams + n_w, n_r);
        b->n_all[order - 1] += n_w;
    }
    if (ok) b->n_words += w.n, b->n_reference += r.n;
    free(grams);
    free(ids);
    words_free(&w);
    words_free(&r);
    return ok ? 0 : -1;
}

double bleu_score(const struct bleu *b)
{
    double sum = 0, smooth = 1;
    if (b->n_right[0] == 0) return 0; /* nor any longer one */
    for (int i = 0; i < BLEU_ORDERS; i++) {
        if (b->n_all[i] == 0) return 0;
        if (b->n_right[i] == 0) smooth *= 2;
        double right = b->n_right[i] ? (double)b->n_right[i] : 1 / smooth;
        sum += log(right / (double)b->n_all[i]);
    }
    double too_short = b->n_words < b->n_reference ? exp(1 - (double)b->n_reference / (double)b->n_words) : 1;
    return 100 * too_short * exp(sum / BLEU_ORDERS);
}

/* ---- ROUGE ---- */

static bool is_plain(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

static bool words_plain(struct words *w, const char *text, size_t n)
{
    w->text = malloc(n + 1);
    if (!w->text) return false;
    for (size_t i = 0; i < n; i++)
        w->text[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
    for (size_t from = 0, at = 0; from < n; from = at + 1) {
        for (at = from; at < n && is_plain(w->text[at]);) at++;
        if (at > from && !add_word(w, w->text + from, at - from)) return false;
    }
    return true;
}

static double f_measure(int n_common, int n_a, int n_b)
{
    return n_common ? 2.0 * n_common / (n_a + n_b) : 0; /* of n_common / n_a and n_common / n_b */
}

/* Of the words a and b the longest common subsequence; row: room for n_b + 1. */
static int longest_common(const int *a, int n_a, const int *b, int n_b, int *row)
{
    memset(row, 0, (size_t)(n_b + 1) * sizeof *row);
    for (int i = 0; i < n_a; i++)
        for (int j = 0, diagonal = 0; j < n_b; j++) {
            int above = row[j + 1];
            row[j + 1] = a[i] == b[j] ? diagonal + 1 : above > row[j] ? above : row[j];
            diagonal = above;
        }
    return row[n_b];
}

enum { TO_BOTH, TO_A, TO_B };

/* Marks which words of a one longest common subsequence has: of several the one that rouge-score takes. way: room for
 * n_a * n_b; row: for n_b + 1. */
static void mark_common(bool *marks, const int *a, int n_a, const int *b, int n_b, char *way, int *row)
{
    memset(row, 0, (size_t)(n_b + 1) * sizeof *row);
    for (int i = 0; i < n_a; i++)
        for (int j = 0, diagonal = 0; j < n_b; j++) {
            int above = row[j + 1], left = row[j];
            bool both = a[i] == b[j];
            way[(size_t)i * (size_t)n_b + (size_t)j] = both ? TO_BOTH : left > above ? TO_B : TO_A;
            row[j + 1] = both ? diagonal + 1 : above > left ? above : left;
            diagonal = above;
        }
    for (int i = n_a - 1, j = n_b - 1; i >= 0 && j >= 0;) {
        char turn = way[(size_t)i * (size_t)n_b + (size_t)j];
        if (turn == TO_BOTH) marks[i] = true;
        i -= turn != TO_B;
        j -= turn != TO_A;
    }
}

/* Where the line of word i ends, as a number of words. */
static int line_end(const struct words *w, int i)
{
    while (++i < w->n) {
        const char *from = w->list[i - 1].s + w->list[i - 1].n;
        if (memchr(from, '\n', (size_t)(w->list[i].s - from))) break;
    }
    return i;
}

/* Words of the reference that a line of it has in common with any line of the text, none more often than the text has
 * it (Lin 2004, 3.2). -1: out of memory. */
static int n_union(const struct words *w, const struct words *r, const int *ids, int *row)
{
    const int *w_ids = ids, *r_ids = ids + w->n;
    int n_ids = w->n + r->n, n = 0;
    char *way = malloc((size_t)w->n * (size_t)r->n + 1);
    bool *marks = calloc((size_t)r->n + 1, sizeof *marks);
    int *left = calloc((size_t)n_ids + 1, sizeof *left); /* of each word, in the text */
    bool ok = way && marks && left;
    for (int i = 0; i < w->n && ok; i++) left[w_ids[i]]++;
    for (int i = 0, end; i < r->n && ok; i = end) {
        end = line_end(r, i);
        for (int j = 0, to; j < w->n; j = to) {
            to = line_end(w, j);
            mark_common(marks + i, r_ids + i, end - i, w_ids + j, to - j, way, row);
        }
    }
    for (int i = 0; i < r->n && ok; i++)
        if (marks[i] && left[r_ids[i]]-- > 0) n++;
    free(way);
    free(marks);
    free(left);
    return ok ? n : -1;
}

int rouge_score(struct rouge *out, const char *text, size_t n_text, const char *reference, size_t n_reference)
{
    struct words w = {0}, r = {0};
    bool ok = words_plain(&w, text, n_text) && words_plain(&r, reference, n_reference);
    size_t n = (size_t)w.n + (size_t)r.n + 1;
    int *ids = calloc(n, sizeof *ids), *row = calloc(n, sizeof *row);
    struct gram *grams = calloc(n, sizeof *grams);
    ok = ok && ids && row && grams && number_words(&w, &r, ids);
    double of[2] = {0};
    for (int order = 1; ok && order <= 2; order++) {
        int n_w = grams_of(grams, ids, w.n, order), n_r = grams_of(grams + n_w, ids + w.n, r.n, order);
        of[order - 1] = f_measure(n_common(grams, n_w, grams + n_w, n_r), n_w, n_r);
    }
    int n_sum = ok ? n_union(&w, &r, ids, row) : -1;
    if (n_sum >= 0)
        *out = (struct rouge){of[0], of[1], f_measure(longest_common(ids, w.n, ids + w.n, r.n, row), w.n, r.n),
                              f_measure(n_sum, w.n, r.n)};
    free(grams);
    free(row);
    free(ids);
    words_free(&w);
    words_free(&r);
    return n_sum < 0 ? -1 : 0;
}

/* ---- GSM8K ---- */

static bool last_number(const char *text, size_t n, double *out)
{
    char number[64];
    size_t end = n, n_kept = 0;
    while (end && !is_digit(text[end - 1])) end--;
    if (!end) return false;
    size_t from = end;
    while (from && (is_digit(text[from - 1]) || text[from - 1] == ',' || text[from - 1] == '.')) from--;
    while (!is_digit(text[from])) from++; /* a comma or full stop before it is the sentence's */
    if (from && text[from - 1] == '-' && (from == 1 || !is_digit(text[from - 2]))) number[n_kept++] = '-';
    for (size_t i = from; i < end && n_kept + 1 < sizeof number; i++)
        if (text[i] != ',') number[n_kept++] = text[i];
    number[n_kept] = '\0';
    *out = strtod(number, NULL);
    return true;
}

int gsm8k_right(const char *text, size_t n_text, const char *solution, size_t n_solution)
{
    double is, expected;
    size_t at = n_solution;
    while (at >= 4 && memcmp(solution + at - 4, "####", 4)) at--;
    if (at < 4 || !last_number(solution + at, n_solution - at, &expected)) return -1;
    return last_number(text, n_text, &is) && is == expected;
}
