#include "coordinator/text/bpe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

static bool by_score(const struct bpe *b)
{
    return b->vocab->kind == VOCAB_SENTENCEPIECE;
}

/* ---- pairs and ranks ---- */

static size_t pair_hash(int32_t left, int32_t right)
{
    uint64_t h = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCDull; /* MurmurHash3's finalizer */
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53ull;
    return (size_t)(h ^ h >> 33);
}

/* The slot of a pair: the one that holds it, or the free one where it belongs. */
static struct bpe_pair *pair_slot(const struct bpe *b, int32_t left, int32_t right)
{
    size_t slot = pair_hash(left, right) & b->pairs_mask;
    for (;; slot = (slot + 1) & b->pairs_mask) {
        struct bpe_pair *p = &b->pairs[slot];
        if (p->rank == BPE_NO_RANK || (p->left == left && p->right == right)) return p;
    }
}

/* A merge stands in the file as "left right"; neither holds a space, since the alphabet has none. `joined` has room for
 * the longest token. */
static int add_merge(struct bpe *b, const struct vocab *v, uint32_t rank, struct gguf_str merge, char *joined,
                     struct err *err)
{
    const char *space = merge.n > 2 ? memchr(merge.s + 1, ' ', merge.n - 2) : NULL;
    size_t n_left = space ? (size_t)(space - merge.s) : 0, n_right = space ? merge.n - n_left - 1 : 0;
    int32_t left = -1, right = -1, both = -1;
    if (space && n_left + n_right <= v->longest) {
        memcpy(joined, merge.s, n_left);
        memcpy(joined + n_left, space + 1, n_right);
        left = vocab_find(v, joined, n_left);
        right = vocab_find(v, joined + n_left, n_right);
        both = vocab_find(v, joined, n_left + n_right);
    }
    if (left < 0 || right < 0 || both < 0)
        return err_set(err, E_MODEL, "merge %u \"%.*s\" is not of two tokens that make a third", rank,
                       merge.n < 64 ? (int)merge.n : 64, merge.s);
    b->merged[rank] = both;
    struct bpe_pair *p = pair_slot(b, left, right);
    if (p->rank == BPE_NO_RANK) *p = (struct bpe_pair){left, right, rank}; /* of two equal merges the first counts */
    return OK;
}

static int add_merges(struct bpe *b, const struct vocab *v, const struct gguf *g, const struct gguf_kv *merges,
                      struct err *err)
{
    char *joined = malloc(v->longest + 1);
    if (!joined) return err_set(err, E_FAIL, "out of memory for a token of %zu bytes", v->longest);
    const uint8_t *cursor = merges->data;
    int rc = OK;
    for (uint32_t rank = 0; rank < merges->n_items && rc == OK; rank++) {
        struct gguf_str merge;
        if (!gguf_next_str(g, &cursor, &merge))
            rc = err_set(err, E_MODEL, "tokenizer.ggml.merges ends at item %u", rank);
        else
            rc = add_merge(b, v, rank, merge, joined, err);
    }
    free(joined);
    return rc;
}

static int open_merges(struct bpe *b, const struct vocab *v, const struct gguf *g, struct err *err)
{
    const struct gguf_kv *merges = gguf_find(g, "tokenizer.ggml.merges");
    if (!merges || merges->type != GGUF_ARR || merges->item_type != GGUF_STR || merges->n_items > INT32_MAX / 4)
        return err_set(err, E_MODEL, "no list of merges (tokenizer.ggml.merges)");

    size_t n = (size_t)merges->n_items, n_slots = 16;
    while (n_slots < n * 2) n_slots *= 2;
    b->pairs = malloc(n_slots * sizeof *b->pairs);
    b->merged = malloc((n + 1) * sizeof *b->merged);
    if (!b->pairs || !b->merged) return err_set(err, E_FAIL, "out of memory for %zu merges", n);
    b->pairs_mask = n_slots - 1;
    memset(b->pairs, 0xFF, n_slots * sizeof *b->pairs);
    return add_merges(b, v, g, merges, err);
}

/* ---- scores ---- */

static int score_order(const void *a, const void *b, void *scores)
{
    double sa = gguf_item_float(scores, (uint64_t) * (const int32_t *)a),
           sb = gguf_item_float(scores, (uint64_t) * (const int32_t *)b);
    return (sb > sa) - (sb < sa);
}

/* Equal scores have equal ranks: then the place decides. Only tokens that are text may come of a merge. */
static int open_scores(struct bpe *b, const struct vocab *v, const struct gguf *g, struct err *err)
{
    const struct gguf_kv *scores = gguf_find(g, "tokenizer.ggml.scores");
    if (!scores || scores->type != GGUF_ARR || scores->item_type != GGUF_F32 || scores->n_items != (uint64_t)v->n)
        return err_set(err, E_MODEL, "no list of %d scores (tokenizer.ggml.scores)", v->n);
    for (int32_t id = 0; id < v->n; id++)
        if (!isfinite(gguf_item_float(scores, (uint64_t)id)))
            return err_set(err, E_MODEL, "the score of token %d is not a finite number", id);
    int32_t *sorted = malloc((size_t)v->n * sizeof *sorted);
    b->rank = malloc((size_t)v->n * sizeof *b->rank);
    if (!sorted || !b->rank) {
        free(sorted);
        return err_set(err, E_FAIL, "out of memory for %d scores", v->n);
    }
    for (int32_t id = 0; id < v->n; id++) sorted[id] = id;
    qsort_r(sorted, (size_t)v->n, sizeof *sorted, score_order, (void *)scores);
    uint32_t rank = 0;
    for (int i = 0; i < v->n; i++) {
        int32_t id = sorted[i];
        if (i > 0 && score_order(&sorted[i - 1], &id, (void *)scores) != 0) rank++;
        b->rank[id] = v->type[id] == TOKEN_NORMAL || v->type[id] == TOKEN_USER ? rank : BPE_NO_RANK;
    }
    free(sorted);
    return OK;
}

int bpe_open(struct bpe *b, const struct vocab *v, const struct gguf *g, struct err *err)
{
    *b = (struct bpe){.vocab = v, .unknown = -1};
    for (int c = 0; c < 256; c++) b->byte_id[c] = vocab_find_byte(v, (unsigned char)c);
    int rc = by_score(b) ? open_scores(b, v, g, err) : open_merges(b, v, g, err);
    if (rc != OK) bpe_close(b);
    return rc;
}

void bpe_close(struct bpe *b)
{
    if (!b) return;
    free(b->pairs);
    free(b->merged);
    free(b->rank);
    *b = (struct bpe){0};
}

/* ---- a heap of rank << 32 | place: its least is the next merge ---- */

static void heap_push(struct bpe_work *w, uint64_t key)
{
    size_t i = w->n_heap++;
    for (; i > 0 && w->heap[(i - 1) / 2] > key; i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = key;
}

static uint64_t heap_pop(struct bpe_work *w)
{
    uint64_t least = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
        if (child + 1 < w->n_heap && w->heap[child + 1] < w->heap[child]) child++;
        if (w->heap[child] >= last) break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return least;
}

/* ---- merging ---- */

/* Room for a piece of n bytes: n symbols, and two heap entries each, since n - 1 pairs are pushed at first and each of
 * at most n - 1 merges takes one entry out and puts at most two in. */
static int work_reserve(struct bpe_work *w, size_t n, struct err *err)
{
    if (n <= w->cap) return OK;
    size_t cap = n < 256 ? 256 : n;
    struct bpe_symbol *symbols = realloc(w->symbols, cap * sizeof *symbols);
    if (symbols) w->symbols = symbols;
    uint64_t *heap = realloc(w->heap, 2 * cap * sizeof *heap);
    if (heap) w->heap = heap;
    if (!symbols || !heap) return err_set(err, E_FAIL, "out of memory for a word of %zu bytes", n);
    w->cap = cap;
    return OK;
}

void bpe_work_free(struct bpe_work *w)
{
    if (!w) return;
    free(w->symbols);
    free(w->heap);
    *w = (struct bpe_work){0};
}

/* The token that n bytes of the piece are, if it may come of a merge; -1: none. */
static int32_t text_token(const struct bpe *b, const struct bpe_work *w, int32_t at, int32_t n)
{
    if ((size_t)n > b->vocab->longest) return -1;
    int32_t id = vocab_find(b->vocab, w->piece + at, (size_t)n);
    return id >= 0 && b->rank[id] != BPE_NO_RANK ? id : -1;
}

static uint32_t pair_rank(const struct bpe *b, const struct bpe_work *w, const struct bpe_symbol *s)
{
    const struct bpe_symbol *next = &w->symbols[s->next];
    if (!by_score(b)) return pair_slot(b, s->id, next->id)->rank;
    int32_t id = text_token(b, w, s->at, s->n + next->n);
    return id < 0 ? BPE_NO_RANK : b->rank[id];
}

/* A symbol's rank is always that of its present pair: a heap entry with another rank is stale. One with the same rank
 * is as good as new. */
static void rank_pair(const struct bpe *b, struct bpe_work *w, int32_t at)
{
    struct bpe_symbol *s = &w->symbols[at];
    s->rank = s->next < 0 ? BPE_NO_RANK : pair_rank(b, w, s);
    if (s->rank != BPE_NO_RANK) heap_push(w, (uint64_t)s->rank << 32 | (uint32_t)at);
}

static void merge_pair(const struct bpe *b, struct bpe_work *w, int32_t at)
{
    struct bpe_symbol *s = &w->symbols[at], *gone = &w->symbols[s->next];
    s->id = by_score(b) ? text_token(b, w, s->at, s->n + gone->n) : b->merged[s->rank];
    s->n += gone->n;
    s->next = gone->next;
    gone->rank = BPE_NO_RANK;
    if (s->next >= 0) w->symbols[s->next].prev = at;
    rank_pair(b, w, at);
    if (s->prev >= 0) rank_pair(b, w, s->prev);
}

/* Bytes, or characters and what is none. Returns how many. */
static int32_t put_symbols(const struct bpe *b, struct bpe_work *w, int32_t n_bytes)
{
    int32_t n = 0;
    for (int32_t at = 0, len; at < n_bytes; at += len, n++) {
        uint32_t cp;
        len = by_score(b) ? utf8_next(w->piece + at, (size_t)(n_bytes - at), &cp) : 1;
        if (len < 1) len = 1;
        int32_t id = by_score(b) ? text_token(b, w, at, len) : b->byte_id[(unsigned char)w->piece[at]];
        w->symbols[n] = (struct bpe_symbol){id, n - 1, n + 1, BPE_NO_RANK, at, len};
    }
    w->symbols[n - 1].next = -1;
    return n;
}

/* What is no token stands as its bytes. */
static int put_ids(const struct bpe *b, const struct bpe_work *w, int32_t *ids, size_t *n_ids, struct err *err)
{
    size_t n = 0;
    for (int32_t i = 0; i >= 0; i = w->symbols[i].next) {
        const struct bpe_symbol *s = &w->symbols[i];
        if (s->id >= 0) {
            ids[n++] = s->id;
            continue;
        }
        for (int32_t k = s->at; k < s->at + s->n; k++) {
            int byte = (unsigned char)w->piece[k];
            int32_t id = b->byte_id[byte] >= 0 ? b->byte_id[byte] : b->unknown;
            if (id < 0) return err_set(err, E_USAGE, "the vocabulary has no token for byte 0x%02x", byte);
            ids[n++] = id;
        }
    }
    *n_ids = n;
    return OK;
}

int bpe_encode(const struct bpe *b, struct bpe_work *w, struct gguf_str piece, int32_t *ids, size_t *n_ids,
               struct err *err)
{
    int rc = work_reserve(w, piece.n, err);
    if (rc != OK) return rc;
    w->piece = piece.s;
    int32_t n = put_symbols(b, w, (int32_t)piece.n);

    w->n_heap = 0;
    for (int32_t i = 0; i < n; i++) rank_pair(b, w, i);
    while (w->n_heap > 0) {
        uint64_t key = heap_pop(w);
        int32_t at = (int32_t)(uint32_t)key;
        if (w->symbols[at].rank == (uint32_t)(key >> 32)) merge_pair(b, w, at);
    }

    return put_ids(b, w, ids, n_ids, err);
}
