#include "coordinator/shares.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* What is not the same in every block or head: kept free, because shares of other sizes are estimated. */
static const double spare = 1.03;

/* Each unit in turn goes to the part that is done with it first. */
bool shares_deal(int units[], int n_units, int n_parts, const double base[], const double rate[], const int most[])
{
    for (int i = 0; i < n_parts; i++) {
        if (most[i] < 1) return false;
        units[i] = 1;
    }
    for (int n = n_parts; n < n_units; n++) {
        int first = -1;
        double least = 0;
        for (int i = 0; i < n_parts; i++) {
            double done = (base[i] + units[i] + 1) / rate[i];
            if (units[i] == most[i] || (first >= 0 && done >= least)) continue;
            first = i;
            least = done;
        }
        if (first < 0) return false;
        units[first]++;
    }
    return n_units >= n_parts;
}

/* ---- what the workers are ---- */

struct place {         /* of a verifier, in numbers of its present share */
    double rate, room; /* bytes a second; of its memory its part, by what the host's workers need now */
    double fixed;      /* bytes: an embedding, a head */
    double grows;      /* bytes that follow blocks and heads, KV with them */
    double reads;      /* of the blocks */
    int blocks, heads;
};

static double kept_bytes(const struct workers *w, const struct worker_seen *s)
{
    return (double)s->h.weights_bytes + (double)workers_worker_kv_bytes(w, (int)(s - w->seen));
}

/* Of all that take the same memory. */
static double host_bytes(const struct workers *w, const struct worker_seen *s)
{
    double sum = 0;
    for (int p = PEER_COORDINATOR + 1; p < w->layout.n_peers; p++)
        if (workers_same_memory(&w->seen[p], s)) sum += kept_bytes(w, &w->seen[p]);
    return sum;
}

static struct place place_of(const struct workers *w, int peer, bool timed)
{
    const struct worker_seen *s = &w->seen[peer];
    double kept = kept_bytes(w, s), kv = kept - (double)s->h.weights_bytes, all = host_bytes(w, s),
           reads = (double)s->h.body_bytes;
    if (reads > (double)s->h.weights_bytes) reads = (double)s->h.weights_bytes; /* a plan reads some twice */
    return (struct place){.rate = timed ? (double)s->h.read_bytes_per_s : 1,
                          .room = all > 0 ? (double)workers_memory_bytes(s) * kept / all : 0,
                          .fixed = (double)s->h.weights_bytes - reads,
                          .grows = reads + kv,
                          .reads = reads,
                          .blocks = (int)(s->h.entry_to - s->h.entry_from),
                          .heads = (int)s->h.n_heads};
}

/* How many of n units fit, where `units` of them take p->grows. */
static int most_units(const struct place *p, int units, int n)
{
    double left = (p->room - p->fixed) * units;
    if (left <= 0) return 0;
    double most = p->grows > 0 ? left / (p->grows * spare) : n;
    return most < n ? (int)most : n;
}

struct view { /* a group's places, stage by stage */
    int tp, pp, n_blocks, n_heads;
    struct place at[MAX_PEERS];
};

static bool view_init(struct view *v, const struct workers *w, const struct group *g)
{
    bool timed = true;
    *v = (struct view){.tp = g->tp, .pp = g->pp};
    for (int i = 0; i < group_n_peers(g); i++) timed &= w->seen[g->first_peer + i].h.read_bytes_per_s > 0;
    for (int i = 0; i < group_n_peers(g); i++) {
        v->at[i] = place_of(w, g->first_peer + i, timed);
        if (v->at[i].blocks < 1 || v->at[i].heads < 1) return false;
        if (i % g->tp == 0) v->n_blocks += v->at[i].blocks;
        if (i < g->tp) v->n_heads += v->at[i].heads;
    }
    return true;
}

/* ---- the lists ---- */

static void write_list(char text[SHARES_TEXT], const int units[], int n)
{
    size_t at = 0;
    *text = 0;
    for (int i = 0; i < n; i++) at += (size_t)snprintf(text + at, SHARES_TEXT - at, "%s%d", i ? "," : "", units[i]);
}

/* One list for the shards of all stages: a shard's rate is its part of its stage's, on average. */
static bool choose_shards(const struct view *v, int heads[])
{
    double base[MAX_PEERS] = {0}, rate[MAX_PEERS] = {0};
    int most[MAX_PEERS];
    for (int shard = 0; shard < v->tp; shard++) most[shard] = v->n_heads;
    for (int stage = 0; stage < v->pp; stage++) {
        const struct place *at = &v->at[stage * v->tp];
        double sum = 0;
        for (int shard = 0; shard < v->tp; shard++) sum += at[shard].rate;
        for (int shard = 0; shard < v->tp; shard++) {
            int fit = most_units(&at[shard], at[shard].heads, v->n_heads);
            rate[shard] += at[shard].rate / sum;
            if (fit < most[shard]) most[shard] = fit;
        }
    }
    return shares_deal(heads, v->n_heads, v->tp, base, rate, most);
}

/* Shards have `heads` each. A stage is as fast as its slowest shard; a head of the vocabulary counts as the blocks that
 * are read in that time. */
static bool choose_stages(const struct view *v, const int heads[], const double head_bytes[], int blocks[])
{
    double base[MAX_PEERS] = {0}, rate[MAX_PEERS], all = 0;
    int most[MAX_PEERS];
    for (int i = 0; i < v->tp * v->pp; i++) all += v->at[i].reads;
    for (int stage = 0; stage < v->pp; stage++) {
        most[stage] = v->n_blocks;
        for (int shard = 0; shard < v->tp; shard++) {
            struct place p = v->at[stage * v->tp + shard];
            double scale = (double)heads[shard] / p.heads, own = p.rate * v->n_heads / heads[shard];
            p.grows *= scale;
            int fit = most_units(&p, p.blocks, v->n_blocks);
            if (fit < most[stage]) most[stage] = fit;
            if (shard == 0 || own < rate[stage]) rate[stage] = own;
        }
        if (all > 0) base[stage] = head_bytes[stage] / (all / v->n_blocks);
    }
    return shares_deal(blocks, v->n_blocks, v->pp, base, rate, most);
}

bool shares_choose(struct shares *out, const struct workers *w, int group, bool stages, bool shards)
{
    const struct group *g = layout_verifier(&w->layout, group);
    struct view v;
    int heads[MAX_PEERS], blocks[MAX_PEERS];
    double head_bytes[MAX_PEERS] = {0};
    *out = (struct shares){0};
    if (!view_init(&v, w, g)) return false;
    for (int i = 0; i < v.tp; i++) heads[i] = v.at[i].heads;
    if (shards && !choose_shards(&v, heads)) return false;
    for (int i = 0; i < v.tp; i++) /* the last stage's: the first one's only drafts */
        head_bytes[v.pp - 1] += (double)w->seen[group_peer(g, v.pp - 1, i)].h.head_bytes;
    if (stages && !choose_stages(&v, heads, head_bytes, blocks)) return false;
    if (shards) write_list(out->shards, heads, v.tp);
    if (stages) write_list(out->stages, blocks, v.pp);
    return true;
}
