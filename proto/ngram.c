#include "proto/ngram.h"

/* How many ids before `a` and before `b`, a < b, are equal: at most NGRAM_MAX. */
static int match_length(const int32_t *ids, int a, int b)
{
    int most = a < NGRAM_MAX ? a : NGRAM_MAX;
    int n = 0;
    while (n < most && ids[a - 1 - n] == ids[b - 1 - n]) n++;
    return n;
}

/* Where the best match ends (its continuation begins); 0: there is none. */
static int match_end(const int32_t *ids, int n_ids)
{
    int best = 0, best_length = NGRAM_MIN - 1;
    for (int end = n_ids - 1; end >= NGRAM_MIN && best_length < NGRAM_MAX; end--) {
        if (ids[end - 1] != ids[n_ids - 1]) continue;
        int length = match_length(ids, end, n_ids);
        if (length <= best_length) continue;
        best = end;
        best_length = length;
    }
    return best;
}

int ngram_draft(const int32_t *ids, int n_ids, int32_t *out, int n_max)
{
    int from = n_ids > NGRAM_MIN ? match_end(ids, n_ids) : 0;
    if (!from) return 0;
    for (int i = 0; i < n_max; i++) out[i] = from + i < n_ids ? ids[from + i] : out[from + i - n_ids];
    return n_max > 0 ? n_max : 0;
}
