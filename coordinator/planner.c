#include "coordinator/planner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/planner_forms.h"
#include "coordinator/shares.h"

/* That passes reach of the read loop, and of bare products; bare products a second of a core with AVX-512 VNNI
 * (PERFORMANCE.md). spare: over the weights, what a worker takes. */
static const double reached = 0.9, reached_products = 0.59, core_products = 234e9, spare = 1.03, host_worth = 0.98;
enum { GATHERS = 4, KINDS_MOST = 2304 }; /* of HOSTS_MOST hosts there are 2212 kinds */

int planner_verifiers(const struct planner_layout *l)
{
    return l->groups * l->tp * l->pp;
}

int planner_drafter_texts(const struct planner_layout *l)
{
    return l->drafters ? (l->n_running + l->drafters - 1) / l->drafters : 0;
}

static bool verifies(const struct planner_layout *l, int host)
{
    for (int i = 0; i < planner_verifiers(l); i++)
        if (l->host[i] == host) return true;
    return false;
}

static bool drafts(const struct planner_layout *l, int host)
{
    for (int i = 0; i < l->drafters; i++)
        if (l->drafter_host[i] == host) return true;
    return false;
}

/* Hosts that it takes, the first one's among them. */
static int hosts_of(const struct planner_layout *l)
{
    int n = planner_verifiers(l);
    if (l->alone) return 1;
    for (int i = 0; i < l->drafters; i++) n += !verifies(l, l->drafter_host[i]);
    return n + (!verifies(l, 0) && !drafts(l, 0));
}

/* ---- what is between hosts ---- */

struct way_between { /* one way */
    double ns, byte_ns;
};

/* Of two that are not the first only the ways over it are known: the slower one counts. */
static struct way_between between(const struct planner_input *in, int a, int b)
{
    const struct host *x = &in->hosts[a], *y = &in->hosts[b];
    if (a == b) return (struct way_between){0};
    double ms = fmax(x->round_trip_ms, y->round_trip_ms), rate = fmin(x->bits_per_s, y->bits_per_s);
    if (rate <= 0) rate = fmax(x->bits_per_s, y->bits_per_s); /* one has no limit */
    return (struct way_between){ms * 1e6 / 2, rate > 0 ? 8e9 / rate : 0};
}

/* The slowest between any two of n hosts. */
static struct way_between among(const struct planner_input *in, const int host[], int n)
{
    struct way_between w = {0};
    for (int i = 0; i < n; i++)
        for (int k = i + 1; k < n; k++) {
            struct way_between pair = between(in, host[i], host[k]);
            w = (struct way_between){fmax(w.ns, pair.ns), fmax(w.byte_ns, pair.byte_ns)};
        }
    return w;
}

/* ---- what a worker takes ---- */

static double byte_ns(const struct planner_input *in, const struct planner_model *m, double ms, int host)
{
    double rate = in->hosts[host].read_bytes_per_s;
    if (!in->timed) return 1e9 / (reached * rate);
    return ms * 1e6 / (m->body + m->head) * in->hosts[0].read_bytes_per_s / rate;
}

/* A row's multiply-adds. */
static double product_ns(const struct planner_input *in, const struct planner_model *m, int host)
{
    const struct host *h = &in->hosts[host];
    double products = h->products_per_s > 0 ? h->products_per_s : h->cores * core_products;
    return m->multiply_adds * 1e9 / (reached_products * products);
}

/* Of a drafter. */
static double little_bytes(const struct planner_input *in, const struct planner_layout *l)
{
    const struct planner_model *m = &in->little;
    double slots = layout_drafter_slots(l->drafters, l->groups, layout_group_slots(l->groups, in->clients));
    return spare * (m->body + m->head + m->embed + m->kv * in->ctx * slots);
}

/* Bytes of a block with its KV, of a whole one. */
static double block_bytes(const struct planner_input *in, const struct planner_layout *l)
{
    const struct planner_model *m = &in->big;
    return (m->body + m->kv * in->ctx * layout_group_slots(l->groups, in->clients)) / m->n_blocks;
}

/* Of one that has `part` of a stage's heads, without its blocks. */
static double fixed_bytes(const struct planner_input *in, const struct planner_layout *l, int stage, int shard,
                          double part)
{
    const struct planner_model *m = &in->big;
    bool whole = l->tp * l->pp == 1, embeds = stage == 0 && shard == 0 && !(whole && m->tied);
    return (stage == l->pp - 1 ? m->head * part : 0) + (embeds ? m->embed : 0);
}

static double room(const struct planner_input *in, const struct planner_layout *l, int host)
{
    return (in->hosts[host].memory_bytes - (drafts(l, host) ? little_bytes(in, l) : 0)) / spare;
}

/* ---- shares of a group ---- */

struct dealt { /* of a group: blocks of each stage, heads of each shard */
    int blocks[HOSTS_MOST], heads[HOSTS_MOST];
};

static double rate_of(const struct planner_input *in, int host, bool uneven)
{
    return uneven ? in->hosts[host].read_bytes_per_s : 1;
}

static bool cut_heads(struct dealt *c, const struct planner_input *in, const struct planner_layout *l, const int host[],
                      bool uneven)
{
    double none[HOSTS_MOST] = {0}, rate[HOSTS_MOST] = {0};
    int most[HOSTS_MOST];
    for (int shard = 0; shard < l->tp; shard++) most[shard] = in->big.n_heads;
    for (int i = 0; i < l->tp * l->pp; i++) rate[i % l->tp] += rate_of(in, host[i], uneven);
    return shares_deal(c->heads, in->big.n_heads, l->tp, none, rate, most);
}

static bool cut_blocks(struct dealt *c, const struct planner_input *in, const struct planner_layout *l,
                       const int host[], bool uneven)
{
    const struct planner_model *m = &in->big;
    double base[HOSTS_MOST] = {0}, rate[HOSTS_MOST];
    int most[HOSTS_MOST];
    for (int stage = 0; stage < l->pp; stage++) {
        most[stage] = m->n_blocks;
        for (int shard = 0; shard < l->tp; shard++) {
            double part = (double)c->heads[shard] / m->n_heads;
            int i = stage * l->tp + shard;
            double own = rate_of(in, host[i], uneven) / part,
                   left = room(in, l, host[i]) - fixed_bytes(in, l, stage, shard, part),
                   fit = left > 0 ? floor(left / (block_bytes(in, l) * part)) : 0;
            if (fit < most[stage]) most[stage] = (int)fit;
            if (shard == 0 || own < rate[stage]) rate[stage] = own;
        }
        if (!uneven && most[stage] < 1) return false;
    }
    base[l->pp - 1] = m->head / (m->body / m->n_blocks);
    if (uneven) return shares_deal(c->blocks, m->n_blocks, l->pp, base, rate, most);
    int all[HOSTS_MOST];
    for (int stage = 0; stage < l->pp; stage++) all[stage] = m->n_blocks;
    if (!shares_deal(c->blocks, m->n_blocks, l->pp, base, rate, all)) return false;
    for (int stage = 0; stage < l->pp; stage++)
        if (c->blocks[stage] > most[stage]) return false;
    return true;
}

/* ---- a group's passes ---- */

static double at_eight(const struct planner_input *in, const struct planner_pass *p)
{
    return planner_pass_ns(in, p, 8);
}

static struct planner_pass stage_pass(const struct planner_input *in, const struct planner_layout *l,
                                      const struct dealt *c, const int host[], int stage)
{
    const struct planner_model *m = &in->big;
    const int *at = host + stage * l->tp;
    struct planner_pass p = {0};
    double reads = m->body * c->blocks[stage] / m->n_blocks + (stage == l->pp - 1 ? m->head : 0);
    for (int shard = 0; shard < l->tp; shard++) {
        double part = (double)c->heads[shard] / m->n_heads;
        double whole = reads / (m->body + m->head);
        p.base_ns = fmax(p.base_ns, part * reads * byte_ns(in, m, in->pair.pass_ms[0], at[shard]));
        p.product_ns = fmax(p.product_ns, part * whole * product_ns(in, m, at[shard]));
    }
    if (l->tp == 1) return p;
    struct way_between w = among(in, at, l->tp);
    p.fixed_ns = ceil(log2(l->tp)) * w.ns * (GATHERS * c->blocks[stage] + (stage == l->pp - 1));
    p.row_ns = m->row_gather * c->blocks[stage] / m->n_blocks * (l->tp - 1) / l->tp * w.byte_ns;
    return p;
}

static void add_pass(struct planner_pass *to, const struct planner_pass *p)
{
    *to = (struct planner_pass){to->base_ns + p->base_ns, to->product_ns + p->product_ns, to->fixed_ns + p->fixed_ns,
                                to->row_ns + p->row_ns};
}

static void set_group(struct planner_group *g, const struct planner_input *in, const struct planner_layout *l,
                      const struct dealt *c, const int host[])
{
    *g = (struct planner_group){0};
    for (int stage = 0; stage < l->pp; stage++) {
        struct planner_pass p = stage_pass(in, l, c, host, stage);
        struct way_between w = between(in, host[stage * l->tp], host[(stage + 1) % l->pp * l->tp]);
        struct planner_pass hop = {0, 0, w.ns, stage < l->pp - 1 ? in->big.row_stage * w.byte_ns : 0};
        add_pass(&g->all, &p);
        add_pass(&g->all, &hop);
        if (at_eight(in, &p) > at_eight(in, &g->slowest)) g->slowest = p;
    }
    if (l->alone) return;
    struct way_between to = between(in, 0, host[0]), from = between(in, host[(l->pp - 1) * l->tp], 0);
    g->rtt_ns = to.ns + from.ns;
    g->byte_ns = fmax(to.byte_ns, from.byte_ns);
}

/* ---- its drafters ---- */

/* All count as the slowest of them, as far away as the farthest. */
static void set_drafters(struct planner_layout *l, const struct planner_input *in)
{
    const struct planner_model *m = &in->little;
    for (int i = 0; i < l->drafters; i++) {
        int host = l->drafter_host[i];
        struct planner_pass pass = {.base_ns = (m->body + m->head) * byte_ns(in, m, in->pair.draft_ms, host),
                                    .product_ns = product_ns(in, m, host)};
        struct way_between way = l->alone ? (struct way_between){0} : between(in, 0, host);
        if (at_eight(in, &pass) > at_eight(in, &l->draft)) l->draft = pass;
        l->draft_rtt_ns = fmax(l->draft_rtt_ns, 2 * way.ns);
        l->draft_byte_ns = fmax(l->draft_byte_ns, way.byte_ns);
        l->shares_cores |= verifies(l, host);
    }
}

/* False: its shares do not fit. */
static bool set_groups(struct planner_layout *l, const struct planner_input *in, bool uneven)
{
    int n = l->tp * l->pp;
    for (int i = 0; i < l->groups; i++) {
        struct dealt c;
        const int *host = l->host + i * n;
        if (!cut_heads(&c, in, l, host, uneven) || !cut_blocks(&c, in, l, host, uneven)) return false;
        set_group(&l->group[i], in, l, &c, host);
    }
    l->uneven = uneven;
    set_drafters(l, in);
    forms_apply(in, l);
    return true;
}

/* ---- all layouts ---- */

struct list {
    const struct planner_input *in;
    struct planner_layout *best; /* [KINDS_MOST] owns: of each kind one */
    int n;
};

static double score(const struct planner_layout *l)
{
    return l->tokens_per_s * pow(host_worth, hosts_of(l) - 1 + (l->tp > 1));
}

static bool same_kind(const struct planner_layout *a, const struct planner_layout *b)
{
    return a->groups == b->groups && a->tp == b->tp && a->pp == b->pp && a->alone == b->alone &&
           a->drafters == b->drafters;
}

/* The best one of a kind; NULL: there is none. */
static struct planner_layout *best_of(const struct list *list, const struct planner_layout *kind)
{
    for (int i = 0; i < list->n; i++)
        if (same_kind(&list->best[i], kind)) return &list->best[i];
    return NULL;
}

static void keep(struct list *list, const struct planner_layout *l)
{
    struct planner_layout *best = best_of(list, l);
    if (best && score(l) > score(best))
        *best = *l;
    else if (!best && list->n < KINDS_MOST)
        list->best[list->n++] = *l;
}

/* Even shares are the default; auto is chosen where it gives more or alone fits. */
static void consider(struct list *list, struct planner_layout l)
{
    const struct planner_input *in = list->in;
    struct planner_layout even = l;
    for (int i = 0; i < l.drafters; i++)
        if (little_bytes(in, &l) > in->hosts[l.drafter_host[i]].memory_bytes) return;
    bool fits = set_groups(&even, in, false);
    bool better = l.tp * l.pp > 1 && set_groups(&l, in, true);
    if (better && fits) better = l.tokens_per_s > 1.02 * even.tokens_per_s;
    if (!better && !fits) return;
    const struct planner_layout *best = better ? &l : &even;
    if (best->drafters && best->way == PLANNER_PLAIN) return; /* then a drafter is in the way */
    keep(list, best);
}

/* ---- which hosts ---- */

static bool comes_first(const struct planner_input *in, int a, int b, bool nearest)
{
    const struct host *x = &in->hosts[a], *y = &in->hosts[b];
    return nearest ? x->round_trip_ms < y->round_trip_ms : x->read_bytes_per_s > y->read_bytes_per_s;
}

static void sort_hosts(const struct planner_input *in, int host[], int n, bool nearest)
{
    for (int i = 1; i < n; i++)
        for (int k = i; k > 0 && comes_first(in, host[k], host[k - 1], nearest); k--) {
            int other = host[k];
            host[k] = host[k - 1];
            host[k - 1] = other;
        }
}

/* Room for an equal share of the model, about. */
static bool has_room(const struct planner_input *in, const struct planner_layout *l, int host)
{
    double blocks = block_bytes(in, l) * in->big.n_blocks / (l->tp * l->pp);
    return room(in, l, host) >= blocks + in->big.head / l->tp;
}

enum { WITH_FIRST = 1, NEAREST = 2, OF_ROOM = 4, N_CHOICES = 8 }; /* of verifiers */
enum drafters_on { BESIDE, NEAREST_LEFT, FASTEST_LEFT, N_PLACES };

/* The layout's hosts, the nearest ones or those that read fastest, side by side by how near they are. WITH_FIRST: the
 * first host is one of them, and comes first. OF_ROOM: hosts for equal shares. False: there are not so many. */
static bool choose_hosts(const struct planner_input *in, struct planner_layout *l, int choice)
{
    int others[HOSTS_MOST], n_others = 0, n = planner_verifiers(l), *out = l->host;
    bool with_first = choice & WITH_FIRST, nearest = choice & NEAREST;
    for (int i = 1; i < in->n_hosts; i++)
        if (!(choice & OF_ROOM) || has_room(in, l, i)) others[n_others++] = i;
    if (n < with_first || n - with_first > n_others) return false;
    sort_hosts(in, others, n_others, nearest);
    sort_hosts(in, others, n - with_first, true);
    out[0] = 0;
    memcpy(out + with_first, others, (size_t)(n - with_first) * sizeof *others);
    return true;
}

/* The drafters' hosts: the leaders', or those without a verifier. False: there are not so many. */
static bool place_drafters(const struct planner_input *in, struct planner_layout *l, enum drafters_on on)
{
    int hosts[HOSTS_MOST], n = 0;
    if (on == BESIDE) {
        for (int i = 0; i < l->groups; i++) hosts[n++] = l->host[i * l->tp * l->pp];
    } else {
        for (int i = 0; i < in->n_hosts; i++)
            if (!verifies(l, i)) hosts[n++] = i;
        sort_hosts(in, hosts, n, on == FASTEST_LEFT);
        sort_hosts(in, hosts, n, on == NEAREST_LEFT);
    }
    if (n < l->drafters) return false;
    memcpy(l->drafter_host, hosts, (size_t)l->drafters * sizeof *hosts);
    return true;
}

static void consider_alone(struct list *list, int drafters)
{
    for (int i = 0; i < list->in->n_hosts; i++)
        consider(
            list,
            (struct planner_layout){
                .groups = 1, .tp = 1, .pp = 1, .alone = true, .drafters = drafters, .host = {i}, .drafter_host = {i}});
}

/* Both models on one host, or the big one alone, are no better than one process there. */
static void consider_hosts(struct list *list, const struct planner_layout *kind)
{
    int n = planner_verifiers(kind);
    for (int choice = 0; choice < N_CHOICES; choice++) {
        struct planner_layout l = *kind;
        if (!choose_hosts(list->in, &l, choice)) continue;
        if (!l.drafters && n > 1) consider(list, l);
        int before[DRAFTERS_MOST] = {-1}, first = n > 1 && forms_requests(list->in) == 1 ? BESIDE : NEAREST_LEFT;
        for (int on = first; on < N_PLACES && l.drafters; on++) {
            bool placed = place_drafters(list->in, &l, on);
            if (placed && memcmp(before, l.drafter_host, sizeof before)) consider(list, l);
            memcpy(before, l.drafter_host, sizeof before);
        }
    }
}

/* One drafter, or more as long as each has fewer texts and they give more. */
static void consider_drafters(struct list *list, struct planner_layout kind)
{
    double fewer = 0;
    for (int d = 1, n_texts = 0; d <= kind.groups && d <= DRAFTERS_MOST; d++) {
        int n = list->n, each = (forms_requests(list->in) + d - 1) / d;
        if (each == n_texts) continue;
        n_texts = each;
        kind.drafters = d;
        consider_hosts(list, &kind);
        const struct planner_layout *best = best_of(list, &kind);
        double rate = best ? best->tokens_per_s : 0;
        if (rate < fewer / host_worth) {
            list->n = n; /* without this kind, the last one */
            return;
        }
        fewer = rate;
    }
}

static void consider_all(struct list *list)
{
    const struct planner_input *in = list->in;
    int n = forms_requests(in), most_groups = n < GROUPS_MOST ? n : GROUPS_MOST; /* a request uses one group */
    for (int drafters = 0; drafters <= in->has_little; drafters++) consider_alone(list, drafters);
    for (int groups = 1; groups <= most_groups && groups <= in->n_hosts; groups++)
        for (int tp = 1; groups * tp <= in->n_hosts && tp <= in->big.n_heads; tp++)
            for (int pp = 1; groups * tp * pp <= in->n_hosts && pp <= in->big.n_blocks; pp++) {
                const struct planner_layout kind = {.groups = groups, .tp = tp, .pp = pp};
                consider_hosts(list, &kind);
                if (in->has_little) consider_drafters(list, kind);
            }
}

void planner_sort(struct planner_layout list[], int n)
{
    for (int i = 1; i < n; i++)
        for (int k = i; k > 0 && score(&list[k]) > score(&list[k - 1]); k--) {
            struct planner_layout other = list[k];
            list[k] = list[k - 1];
            list[k - 1] = other;
        }
}

int planner_rank(struct planner_layout out[], int most, const struct planner_input *in)
{
    struct list list = {in, calloc(KINDS_MOST, sizeof *list.best), 0};
    if (!list.best) return 0;
    consider_all(&list);
    planner_sort(list.best, list.n);
    int n = list.n < most ? list.n : most;
    memcpy(out, list.best, (size_t)n * sizeof *out);
    free(list.best);
    return n;
}

double planner_alone_bytes(const struct planner_input *in)
{
    const struct planner_layout l = {.groups = 1, .tp = 1, .pp = 1, .alone = true};
    return spare * (block_bytes(in, &l) * in->big.n_blocks + fixed_bytes(in, &l, 0, 0, 1));
}
