#include "coordinator/decode/seq.h"

#include <stdlib.h>
#include <string.h>

#include "proto/prefix_hash.h"

int seq_init(struct seq *s, const struct request *r, int n_ctx, struct err *err)
{
    int n_predict = r->settings.n_predict;
    if (r->n_prompt < 1) return err_set(err, E_USAGE, "the prompt is empty");
    if (r->n_prompt >= n_ctx)
        return err_set(err, E_USAGE, "a prompt of %d tokens leaves no room in a context of %d", r->n_prompt, n_ctx);
    bool shorter = n_predict > 0 && n_predict < n_ctx - r->n_prompt;
    *s = (struct seq){.request = *r,
                      .group = -1,
                      .slot = -1,
                      .n_prompt = r->n_prompt,
                      .n_ids = r->n_prompt,
                      .n_limit = shorter ? r->n_prompt + n_predict : n_ctx};
    return OK;
}

int seq_start(struct seq *s, uint64_t root, struct err *err)
{
    size_t n = (size_t)s->n_limit, n_top = (size_t)s->request.settings.n_top;
    s->ids = calloc(n, sizeof *s->ids);
    s->prefix_hash = calloc(n + 1, sizeof *s->prefix_hash);
    s->lp = calloc(n, sizeof *s->lp);
    s->origin = calloc(n, sizeof *s->origin);
    if (n_top) s->top = calloc(n * n_top, sizeof *s->top);
    if (!s->ids || !s->prefix_hash || !s->lp || !s->origin || (n_top && !s->top)) {
        seq_drop(s);
        return err_set(err, E_FAIL, "no memory for a sequence of %d tokens", s->n_limit);
    }
    memcpy(s->ids, s->request.prompt, (size_t)s->n_prompt * sizeof *s->ids);
    s->request.prompt = NULL;
    s->prefix_hash[0] = root;
    for (int i = 0; i < s->n_prompt; i++) s->prefix_hash[i + 1] = prefix_hash_next(s->prefix_hash[i], s->ids[i]);
    s->state = SEQ_PROMPT;
    return OK;
}

/* Where it cannot be made smaller it stays as it is. */
static void *shrink(void *list, size_t n_bytes)
{
    void *smaller = list ? realloc(list, n_bytes) : NULL;
    return smaller ? smaller : list;
}

void seq_settle(struct seq *s)
{
    size_t n = (size_t)s->n_ids;
    s->state = SEQ_DONE;
    seq_drop_tail(s);
    free(s->prefix_hash);
    s->prefix_hash = NULL;
    s->ids = shrink(s->ids, n * sizeof *s->ids);
    s->lp = shrink(s->lp, n * sizeof *s->lp);
    s->origin = shrink(s->origin, n * sizeof *s->origin);
    s->top = shrink(s->top, n * (size_t)s->request.settings.n_top * sizeof *s->top);
}

void seq_drop(struct seq *s)
{
    free(s->ids);
    free(s->prefix_hash);
    free(s->lp);
    free(s->origin);
    free(s->top);
    s->ids = NULL;
    s->prefix_hash = NULL;
    s->lp = NULL;
    s->origin = NULL;
    s->top = NULL;
}

void seq_free(struct seq *s)
{
    if (!s) return;
    seq_drop(s);
    *s = (struct seq){0};
}

void seqs_free(struct seq *seqs, int n)
{
    for (int i = 0; seqs && i < n; i++) seq_free(&seqs[i]);
    free(seqs);
}

/* Puts an id at i, behind the ids before it. */
static void put_id(struct seq *s, int i, int32_t id)
{
    s->ids[i] = id;
    s->prefix_hash[i + 1] = prefix_hash_next(s->prefix_hash[i], id);
}

void seq_draft(struct seq *s, int32_t id)
{
    int i = s->n_ids + s->n_tail;
    if (i == s->n_limit) return;
    put_id(s, i, id);
    s->n_tail++;
    s->stats.n_drafted++;
}

void seq_commit(struct seq *s, int32_t id, float lp, enum origin origin, const struct top *top, int n_top)
{
    int i = s->n_ids++, most = s->request.settings.n_top;
    bool drafted = s->n_tail > 0 && s->ids[i] == id;
    s->n_tail = drafted ? s->n_tail - 1 : 0;
    if (!drafted) put_id(s, i, id);
    s->lp[i] = lp;
    s->origin[i] = (uint8_t)origin;
    for (int k = 0; k < most; k++)
        s->top[(size_t)i * (size_t)most + (size_t)k] = k < n_top ? top[k] : (struct top){.id = -1};
}

const struct top *seq_top(const struct seq *s, int at, int *n)
{
    int most = s->request.settings.n_top;
    const struct top *top = s->top + (size_t)at * (size_t)most;
    *n = 0;
    while (*n < most && top[*n].id >= 0) ++*n;
    return top;
}

int seqs_failed(const struct seq *seqs, int n, struct err *err)
{
    int n_failed = 0, first = -1;
    for (int i = n; i-- > 0;)
        if (seqs[i].end == SEQ_FAILED) first = i, n_failed++;
    if (first < 0) return OK;
    *err = seqs[first].why;
    if (n == 1) return err->code;
    return err_wrap(err, "%d of %d prompts failed, the first (number %d, from 0)", n_failed, n,
                    seqs[first].request.index);
}

int seq_check(const struct seq *drafted, const struct seq *plain, struct err *err)
{
    for (int i = drafted->n_prompt; i < drafted->n_ids && i < plain->n_ids; i++) {
        if (drafted->ids[i] != plain->ids[i])
            return err_set(err, E_CHECK, "prompt %d, token %d: id %d with drafts, %d by the big model alone",
                           drafted->request.index + 1, i - drafted->n_prompt, drafted->ids[i], plain->ids[i]);
        if (memcmp(&drafted->lp[i], &plain->lp[i], sizeof drafted->lp[i]))
            return err_set(err, E_CHECK, "prompt %d, token %d: ln p %.9g with drafts, %.9g by the big model alone",
                           drafted->request.index + 1, i - drafted->n_prompt, (double)drafted->lp[i],
                           (double)plain->lp[i]);
    }
    if (drafted->n_ids != plain->n_ids)
        return err_set(err, E_CHECK, "prompt %d: %d tokens with drafts, %d by the big model alone",
                       drafted->request.index + 1, seq_n_generated(drafted), seq_n_generated(plain));
    return OK;
}
