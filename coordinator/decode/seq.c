#include "coordinator/decode/seq.h"

#include <stdlib.h>
#include <string.h>

#include "proto/prefix_hash.h"

int seq_init(struct seq *s, const struct seq_config *c, struct err *err)
{
    if (c->n_prompt < 1) return err_set(err, E_USAGE, "the prompt is empty");
    if (c->n_prompt >= c->n_ctx)
        return err_set(err, E_USAGE, "a prompt of %d tokens leaves no room in a context of %d", c->n_prompt, c->n_ctx);
    bool shorter = c->n_predict > 0 && c->n_predict < c->n_ctx - c->n_prompt;
    *s = (struct seq){.index = c->index,
                      .slot = -1,
                      .seed = c->seed,
                      .sample = c->sample,
                      .state = SEQ_WAITING,
                      .n_prompt = c->n_prompt,
                      .n_ids = c->n_prompt,
                      .n_limit = shorter ? c->n_prompt + c->n_predict : c->n_ctx,
                      .prompt = c->prompt,
                      .n_top = c->n_top};
    return OK;
}

int seq_start(struct seq *s, uint64_t root, struct err *err)
{
    size_t n = (size_t)s->n_limit;
    s->ids = calloc(n, sizeof *s->ids);
    s->prefix_hash = calloc(n + 1, sizeof *s->prefix_hash);
    s->lp = calloc(n, sizeof *s->lp);
    s->origin = calloc(n, sizeof *s->origin);
    if (s->n_top) s->top = calloc(n * (size_t)s->n_top, sizeof *s->top);
    if (!s->ids || !s->prefix_hash || !s->lp || !s->origin || (s->n_top && !s->top)) {
        seq_drop(s);
        return err_set(err, E_FAIL, "no memory for a sequence of %d tokens", s->n_limit);
    }
    memcpy(s->ids, s->prompt, (size_t)s->n_prompt * sizeof *s->prompt);
    s->prompt = NULL;
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
    free(s->prefix_hash);
    s->prefix_hash = NULL;
    s->ids = shrink(s->ids, n * sizeof *s->ids);
    s->lp = shrink(s->lp, n * sizeof *s->lp);
    s->origin = shrink(s->origin, n * sizeof *s->origin);
    s->top = shrink(s->top, n * (size_t)s->n_top * sizeof *s->top);
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

void seq_commit(struct seq *s, int32_t id, float lp, enum origin origin, const struct top *top, int n_top)
{
    int i = s->n_ids++;
    s->ids[i] = id;
    s->prefix_hash[i + 1] = prefix_hash_next(s->prefix_hash[i], id);
    s->lp[i] = lp;
    s->origin[i] = (uint8_t)origin;
    for (int k = 0; k < s->n_top && k < n_top; k++) s->top[(size_t)i * (size_t)s->n_top + (size_t)k] = top[k];
}

int seq_check(const struct seq *drafted, const struct seq *plain, struct err *err)
{
    for (int i = drafted->n_prompt; i < drafted->n_ids && i < plain->n_ids; i++) {
        if (drafted->ids[i] != plain->ids[i])
            return err_set(err, E_CHECK, "prompt %d, token %d: id %d with drafts, %d by the big model alone",
                           drafted->index + 1, i - drafted->n_prompt, drafted->ids[i], plain->ids[i]);
        if (memcmp(&drafted->lp[i], &plain->lp[i], sizeof drafted->lp[i]))
            return err_set(err, E_CHECK, "prompt %d, token %d: ln p %.9g with drafts, %.9g by the big model alone",
                           drafted->index + 1, i - drafted->n_prompt, (double)drafted->lp[i], (double)plain->lp[i]);
    }
    if (drafted->n_ids != plain->n_ids)
        return err_set(err, E_CHECK, "prompt %d: %d tokens with drafts, %d by the big model alone", drafted->index + 1,
                       seq_n_generated(drafted), seq_n_generated(plain));
    return OK;
}
