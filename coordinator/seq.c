#include "coordinator/seq.h"

#include <stdlib.h>
#include <string.h>

#include "proto/history.h"

int seq_init(struct seq *s, int index, const int32_t *prompt, int n_prompt, int n_predict, int n_ctx, int n_top,
             uint64_t root, struct err *err)
{
    int limit = n_predict > 0 && n_predict < n_ctx - n_prompt ? n_prompt + n_predict : n_ctx;
    if (n_prompt < 1) return err_set(err, E_USAGE, "the prompt is empty");
    if (n_prompt >= n_ctx)
        return err_set(err, E_USAGE, "a prompt of %d tokens leaves no room in a context of %d: use a larger --ctx",
                       n_prompt, n_ctx);
    size_t n = (size_t)limit;
    *s = (struct seq){
        .index = index, .slot = -1, .state = SEQ_WAITING, .n_prompt = n_prompt, .n_limit = limit, .n_top = n_top};
    s->ids = calloc(n, sizeof *s->ids);
    s->h = calloc(n + 1, sizeof *s->h);
    s->lp = calloc(n, sizeof *s->lp);
    s->origin = calloc(n, sizeof *s->origin);
    if (n_top) s->top = calloc(n * (size_t)n_top, sizeof *s->top);
    if (!s->ids || !s->h || !s->lp || !s->origin || (n_top && !s->top)) {
        seq_free(s);
        return err_set(err, E_FAIL, "no memory for a sequence of %d tokens", limit);
    }
    memcpy(s->ids, prompt, (size_t)n_prompt * sizeof *prompt);
    s->h[0] = root;
    for (int i = 0; i < n_prompt; i++) s->h[i + 1] = history_next(s->h[i], prompt[i]);
    s->n_ids = n_prompt;
    return OK;
}

void seq_free(struct seq *s)
{
    if (!s) return;
    free(s->ids);
    free(s->h);
    free(s->lp);
    free(s->origin);
    free(s->top);
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
    s->h[i + 1] = history_next(s->h[i], id);
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
