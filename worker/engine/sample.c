#include "worker/engine/sample.h"

#include <math.h>
#include <string.h>

#include "kernels/math.h"
#include "kernels/noise.h"
#include "worker/engine/pass.h"

/* ln p of a logit: on raw logits, in fp32, but for ln of the sum. */
static float ln_p(float logit, struct head_part all)
{
    return (logit - all.max) - (float)math_ln((double)all.sum);
}

static struct head_part merge_chunks(const struct engine *e, size_t i_wanted)
{
    const struct engine_row *row = &e->rows[e->wanted[i_wanted]];
    int n_chunks = n_parts_of(e, row) + (row->n_extra_ids > 0);
    const float *parts = e->parts + i_wanted * (size_t)e->n_chunks * 3;
    struct head_part all, part;
    memcpy(&all, parts, sizeof all);
    for (int c = 1; c < n_chunks; c++) {
        memcpy(&part, parts + 3 * c, sizeof part);
        all = head_merge(all, part);
    }
    return all;
}

static int shard_of(const struct engine *e, int32_t id)
{
    const int *from = e->head_from;
    int shard = 0;
    while (shard + 1 < e->model.share.n_shards && from[shard + 1] < e->n_choices && id >= id_of(e, from[shard + 1]))
        shard++;
    return shard;
}

/* The shards' lists as one, best first, up to the end of the first list that ends: what comes after is not known. A
 * list that holds all ids of its shard ends in ids that lose to any. Returns how many there are. */
static int merge_best(struct engine *e, size_t i_wanted)
{
    size_t shards = (size_t)e->model.share.n_shards, n_best = (size_t)e->n_best;
    const struct top *lists = e->best + i_wanted * shards * n_best;
    size_t at[MAX_SHARDS] = {0};
    int n = 0;
    for (;;) {
        size_t from = 0;
        for (size_t s = 0; s < shards; s++) {
            if (at[s] == n_best) return n;
            const struct top *a = &lists[s * n_best + at[s]], *b = &lists[from * n_best + at[from]];
            if (better(a->lp, a->id, b->lp, b->id)) from = s;
        }
        struct top next = lists[from * n_best + at[from]++];
        if (next.id == INT32_MAX) return n; /* all ids are there */
        e->merged[n++] = next;
    }
}

static void keep_greater(struct head_pick *pick, const struct sampler *s, int pos, struct top id)
{
    float noise = noise_gumbel(s->seed, s->sample, s->offset + (uint32_t)pos + 1, (uint32_t)id.id);
    float key = fmaf(id.lp, 1.0f / s->temp, noise);
    if (better(key, id.id, pick->key, pick->id)) *pick = (struct head_pick){key, id.lp, id.id};
}

/* The greatest key among the ids that top-k, then top-p of what that leaves, then min-p keep, in order of their logits.
 * False: the last of them may not be among the n that are known. */
static bool pick_from_truncated(const struct engine *e, const struct engine_row *row, struct head_part all, int n,
                                struct head_pick *pick)
{
    const struct sampler *s = row->sampler;
    int n_ids = id_limit(e, row), most = s->top_k && s->top_k < (uint32_t)n_ids ? (int)s->top_k : n_ids;
    float least = s->min_p > 0 ? all.max + (float)math_ln((double)s->min_p) : -INFINITY;
    double sum = 0, enough = INFINITY;
    if (s->top_p < 1 && most < n_ids)
        for (int i = 0; i < most; i++) sum += (double)math_expf(e->merged[i].lp - all.max);
    if (s->top_p < 1) enough = (double)s->top_p * (most < n_ids ? sum : (double)all.sum);
    sum = 0;
    *pick = (struct head_pick){-INFINITY, -INFINITY, INT32_MAX};
    for (int i = 0; i < most && sum < enough; i++) {
        if (i == n) return false;
        if (e->merged[i].lp < least) break;
        keep_greater(pick, s, row->pos, e->merged[i]);
        sum += (double)math_expf(e->merged[i].lp - all.max);
    }
    return true;
}

static struct head_pick best_pick(const struct engine *e, size_t i_wanted)
{
    size_t shards = (size_t)e->model.share.n_shards;
    struct head_pick best = e->picks[i_wanted * shards];
    for (size_t s = 1; s < shards; s++) {
        const struct head_pick *p = &e->picks[i_wanted * shards + s];
        if (better(p->key, p->id, best.key, best.id)) best = *p;
    }
    return best;
}

static bool answer(struct engine *e, size_t i_wanted)
{
    const struct engine_row *row = &e->rows[e->wanted[i_wanted]];
    const struct row *ask = row->ask;
    struct head_part all = merge_chunks(e, i_wanted);
    struct head_pick next = {0, all.max, id_of(e, all.id)};
    int n = e->n_best ? merge_best(e, i_wanted) : 0;
    if (row->sampler && truncates(row->sampler) && !pick_from_truncated(e, row, all, n, &next)) return false;
    if (row->sampler && samples(row->sampler) && !truncates(row->sampler)) next = best_pick(e, i_wanted);

    size_t shards = (size_t)e->model.share.n_shards, judges = (size_t)e->n_judge_max;
    float *lp = e->lp_judged + i_wanted * judges;
    for (size_t k = 0; k < ask->n_judge; k++) {
        size_t shard = (size_t)shard_of(e, ask->judge[k]);
        lp[k] = ln_p(e->judged[(i_wanted * shards + shard) * judges + k], all);
    }
    struct top *top = e->top + i_wanted * ENGINE_TOP_MOST;
    size_t n_top = ask->n_top < (uint32_t)n ? ask->n_top : (size_t)n;
    for (size_t k = 0; k < n_top; k++) top[k] = (struct top){e->merged[k].id, ln_p(e->merged[k].lp, all)};
    e->answers[i_wanted] = (struct verdict_row){.next = next.id,
                                                .lp_next = ln_p(next.logit, all),
                                                .lp_judged = lp,
                                                .n_judged = ask->n_judge,
                                                .top = top,
                                                .n_top = n_top};
    return true;
}

bool sample_answers(struct engine *e)
{
    for (size_t i = 0; i < (size_t)e->n_wanted; i++) {
        if (row_is_bad(e, e->wanted[i]))
            e->answers[i] = (struct verdict_row){0};
        else if (!answer(e, i))
            return false;
    }
    return true;
}
