#include "proto/suffix.h"

#include <stdbool.h>
#include <stdlib.h>

enum {
    N_CHAINS = 2,
    STEPS_MOST = 256, /* of a chain that are looked at: as many cache misses, some tens of microseconds */
    TEXT_END = -1     /* in the memory, behind each text */
};
static const int chain_ids[N_CHAINS] = {16, SUFFIX_MIN_EARLIER}; /* ids that the places of a chain end with */

struct ring { /* the id of position pos, if it is before the end, is ids[pos & mask]; positions wrap */
    const int32_t *ids;
    uint32_t mask, end;
};

struct suffix_memory {
    int32_t *ids;                /* [n] owns; n is a power of two */
    uint32_t *latest[N_CHAINS];  /* [n / 2] owns: by hash, the last position behind such ids */
    uint32_t *earlier[N_CHAINS]; /* [n] owns: by position behind such ids, the one before with the same hash */
    uint32_t n, end, n_held;
};

struct matches { /* of one length, the latest first */
    struct ring in;
    int length, n;
    uint32_t behind[SUFFIX_PLACES]; /* positions of what followed them */
};

/* ---- what followed ---- */

/* Behind the end stands what is drafted. */
static int32_t id_at(const struct ring *r, uint32_t pos, const int32_t *drafted)
{
    uint32_t beyond = pos - r->end;
    return beyond < UINT32_MAX / 2 ? drafted[beyond] : r->ids[pos & r->mask];
}

/* The id that most of them have at the offset, and only those are left. */
static int32_t vote(struct matches *m, int offset, const int32_t *drafted)
{
    int32_t ids[SUFFIX_PLACES], best = TEXT_END;
    int n_best = 0, n_left = 0;
    for (int i = 0; i < m->n; i++) ids[i] = id_at(&m->in, m->behind[i] + (uint32_t)offset, drafted);
    for (int i = 0; i < m->n && n_best < m->n - i; i++) {
        int n = 0;
        for (int k = i; k < m->n; k++) n += ids[k] == ids[i];
        if (n > n_best) n_best = n, best = ids[i];
    }
    for (int i = 0; i < m->n; i++)
        if (ids[i] == best) m->behind[n_left++] = m->behind[i];
    m->n = n_left;
    return best;
}

static struct suffix_draft follow(struct matches m, float p_min, int32_t *out, int n_max)
{
    struct suffix_draft d = {0};
    float chance = 1;
    for (; d.n < n_max && m.n > 0; d.n++) {
        int n_places = m.n;
        int32_t id = vote(&m, d.n, out);
        chance *= ((float)m.n - 1 / (float)(m.length + d.n)) / (float)n_places;
        if (id == TEXT_END || chance < p_min) break;
        out[d.n] = id;
        d.n_right += chance;
    }
    return d;
}

/* ---- the longest matches ---- */

static bool is_full(const struct matches *m)
{
    return m->n == SUFFIX_PLACES;
}

static void admit(struct matches *m, uint32_t behind, int length)
{
    if (length > m->length) {
        m->length = length;
        m->n = 0;
    }
    if (length == m->length && !is_full(m)) m->behind[m->n++] = behind;
}

/* How many ids before position `behind` are those that end the text, at most `most`. */
static int match_length(const struct ring *r, uint32_t behind, const int32_t *text_end, int most)
{
    int n = 0;
    while (n < most && r->ids[(behind - 1 - (uint32_t)n) & r->mask] == text_end[-1 - n]) n++;
    return n;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Most places fail at the last id, or at the first that would make them long enough. */
static struct matches in_text(const int32_t *ids, int n_ids)
{
    struct matches m = {.in = {ids, UINT32_MAX, (uint32_t)n_ids}, .length = SUFFIX_MIN};
    const int32_t *end = ids + n_ids;
    for (int behind = n_ids - 1; behind >= SUFFIX_MIN; behind--) {
        int needed = m.length + is_full(&m);
        if (needed > SUFFIX_MAX) break;
        if (ids[behind - 1] != end[-1] || behind < needed || ids[behind - needed] != end[-needed]) continue;
        admit(&m, (uint32_t)behind, match_length(&m.in, (uint32_t)behind, end, least(behind, SUFFIX_MAX)));
    }
    return m;
}

static uint32_t hash_of(const struct suffix_memory *m, const int32_t *ids, int n)
{
    uint32_t h = 0;
    for (int i = 0; i < n; i++) h = (h ^ (uint32_t)ids[i]) * 0x9e3779b1u, h ^= h >> 15;
    return h & (m->n / 2 - 1);
}

/* Of one chain, whose places are older and older. One that was overwritten may be anything: it is compared, or ends it.
 */
static struct matches in_chain(const struct suffix_memory *m, int chain, const int32_t *ids, int n_ids)
{
    struct matches found = {.in = {m->ids, m->n - 1, m->end}, .length = chain_ids[chain]};
    if (n_ids < found.length) return found;
    uint32_t at = m->latest[chain][hash_of(m, ids + n_ids - found.length, found.length)], age = 0;
    for (int i = 0; i < STEPS_MOST && m->end - at > age && m->end - at <= m->n_held; i++) {
        age = m->end - at;
        int most = least(least(n_ids, SUFFIX_MAX), (int)(m->n_held - age));
        admit(&found, at, match_length(&found.in, at, ids + n_ids, most));
        at = m->earlier[chain][at & (m->n - 1)];
    }
    return found;
}

static struct matches in_memory(const struct suffix_memory *m, const int32_t *ids, int n_ids)
{
    struct matches found = {0};
    for (int chain = 0; chain < N_CHAINS && !found.n; chain++) found = in_chain(m, chain, ids, n_ids);
    return found;
}

struct suffix_draft suffix_draft(const struct suffix_memory *memory, const int32_t *ids, int n_ids, float p_min,
                                 int32_t *out, int n_max)
{
    struct matches own = in_text(ids, n_ids);
    struct suffix_draft d = follow(own, p_min, out, n_max);
    if (!memory) return d;
    struct suffix_draft other = follow(in_memory(memory, ids, n_ids), p_min, out, n_max);
    return other.n_right > d.n_right ? other : follow(own, p_min, out, n_max);
}

/* ---- the memory ---- */

static void put(struct suffix_memory *m, int32_t id)
{
    m->ids[m->end++ & (m->n - 1)] = id;
    m->n_held += m->n_held < m->n;
}

void suffix_memory_add(struct suffix_memory *m, const int32_t *ids, int n_ids)
{
    for (int i = 0; i < n_ids; i++) {
        put(m, ids[i]);
        for (int k = 0; k < N_CHAINS; k++) {
            if (i + 1 < chain_ids[k]) continue;
            uint32_t *latest = &m->latest[k][hash_of(m, ids + i + 1 - chain_ids[k], chain_ids[k])];
            m->earlier[k][m->end & (m->n - 1)] = *latest;
            *latest = m->end;
        }
    }
    put(m, TEXT_END);
}

int suffix_memory_open(struct suffix_memory **out, size_t n_bytes, struct err *err)
{
    struct suffix_memory *m = calloc(1, sizeof *m);
    bool ok = m;
    size_t n = 2;
    while (n * 2 <= n_bytes / 16 && n < (size_t)1 << 31) n *= 2;
    if (ok) {
        m->n = (uint32_t)n;
        ok = (m->ids = calloc(n, sizeof *m->ids)) != NULL;
    }
    for (int k = 0; k < N_CHAINS && ok; k++) {
        m->latest[k] = calloc(n / 2, sizeof *m->latest[k]);
        m->earlier[k] = calloc(n, sizeof *m->earlier[k]);
        ok = m->latest[k] && m->earlier[k];
    }
    if (!ok) {
        suffix_memory_close(m);
        return err_set(err, E_LAYOUT, "no memory for %zu bytes of earlier texts: give a smaller --draft-memory",
                       n_bytes);
    }
    *out = m;
    return OK;
}

void suffix_memory_close(struct suffix_memory *m)
{
    if (!m) return;
    for (int k = 0; k < N_CHAINS; k++) {
        free(m->latest[k]);
        free(m->earlier[k]);
    }
    free(m->ids);
    free(m);
}
