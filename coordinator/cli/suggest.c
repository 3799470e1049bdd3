#include "coordinator/cli/suggest.h"

#include <string.h>

enum { LONGEST = 32 }; /* no name of ours is longer */

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance over three rows. */
static int distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    int rows[3][LONGEST + 1];
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= n_b; j++) above[j] = (int)j;
    for (size_t i = 1; i <= n_a; i++) {
        row[0] = (int)i;
        for (size_t j = 1; j <= n_b; j++) {
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        int *oldest = before;
        before = above, above = row, row = oldest;
    }
    return above[n_b];
}

const char *suggest(const char *typed, size_t n_typed, const char *const *names, size_t n)
{
    const char *best = NULL;
    int best_edits = (int)(n_typed + 2) / 3 + 1; /* one edit in three letters is a typo, more is another word */
    if (n_typed > LONGEST) return NULL;
    for (size_t i = 0; i < n; i++) {
        if (!names[i] || strlen(names[i]) > LONGEST) continue;
        int edits = distance(typed, n_typed, names[i], strlen(names[i]));
        if (edits < best_edits) best = names[i], best_edits = edits;
    }
    return best;
}
