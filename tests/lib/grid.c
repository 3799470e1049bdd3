#include "tests/lib/grid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "cluster.h"
#include "coordinator/job.h"
#include "proto/files/gguf_open.h"
#include "proto/prefix_hash.h"
#include "worker/roles/slots.h"

static const char *const names[] = {"none", "little", "suffix", "itself", "wrong", "", "dying", "plan"};
static const char *const companies[] = {"alone", "together", "coming"};

static int n_groups(const struct grid *g)
{
    return g->groups ? g->groups : 1;
}

static int n_drafters(const struct grid *g)
{
    return g->drafters ? g->drafters : 1;
}

void cell_name(const struct cell *c, char *out, size_t size)
{
    snprintf(out, size, "drafter %s, draft-max %d, threads %d, tp %d, pp %d, %s", names[c->drafter], c->draft_max,
             c->threads, c->tp, c->pp, companies[c->company]);
}

enum drafter grid_layout_drafter(enum grid_drafter d)
{
    static const enum drafter of[] = {
        [GRID_NONE] = DRAFTER_NONE, [GRID_SUFFIX] = DRAFTER_SUFFIX, [GRID_PLAN] = DRAFTER_PLAN};
    return d == GRID_NONE || d == GRID_SUFFIX || d == GRID_PLAN ? of[d] : DRAFTER_LITTLE;
}

uint64_t grid_vocab_hash(const char *path)
{
    struct gguf g;
    struct err err = {0};
    if (gguf_open(&g, path, &err) != OK) fail_msg("%s", err.text);
    uint64_t h = gguf_vocab_hash(&g);
    gguf_close(&g);
    return h;
}

void grid_init(struct grid *g, const char *big, const char *little, const struct kernels *k)
{
    static const int lengths[GRID_PROMPTS] = {7, 40, 90};
    *g = (struct grid){.big = big,
                       .little = little,
                       .kernels = k,
                       .n_prompts = GRID_PROMPTS,
                       .n_vocab = 512,
                       .n_predict = GRID_PREDICT};
    uint64_t r = 1;
    for (int p = 0; p < GRID_PROMPTS; p++) {
        g->n_prompt[p] = lengths[p];
        for (int i = 0; i < lengths[p]; i++) g->prompts[p][i] = (int32_t)((r = prefix_hash_mix(r + 1)) % 512);
    }
}

void grid_share_prompts(struct grid *g)
{
    enum { EQUAL = 70, BEGINNING = 60 };
    for (int p = 0; p < 2; p++) memcpy(g->prompts[p], g->prompts[2], EQUAL * sizeof *g->prompts[p]);
    g->n_prompt[0] = g->n_prompt[1] = EQUAL;
    for (int i = BEGINNING; i < g->n_prompt[2]; i++) g->prompts[2][i] = (g->prompts[2][i] + 1) % g->n_vocab;
}

/* ---- drafters without a model ---- */

static int32_t right_id(void *arg, const int32_t *ids, int n)
{
    const struct grid *g = arg;
    for (int p = 0; p < g->n_prompts; p++)
        if (n < g->n_text[p] && !memcmp(g->texts[p], ids, (size_t)n * sizeof *ids)) return g->texts[p][n];
    return 0; /* past the text's end, or in the first run: nothing to know */
}

/* Right but for the first: so every draft is refused at once, and what follows never counts. */
static int32_t wrong_id(void *arg, const int32_t *ids, int n)
{
    struct grid *g = arg;
    return (right_id(g, ids, n) + 1) % g->n_vocab;
}

struct proposer grid_wrong_proposer(struct grid *g)
{
    return (struct proposer){grid_vocab_hash(g->big), wrong_id, g, 0};
}

struct proposer grid_dying_proposer(struct grid *g)
{
    return (struct proposer){grid_vocab_hash(g->big), right_id, g, 3};
}

static int post(struct mailbox *mb, struct wire_arena *out, const struct message *m)
{
    struct err err;
    const uint8_t *data;
    size_t n_bytes;
    int rc = wire_encode(out, m, &data, &n_bytes, &err);
    return rc == OK ? mailbox_post(mb, PEER_COORDINATOR, m->tag, data, n_bytes, &err) : rc;
}

static int answer(const struct proposer *p, struct slots *slots, struct wire_arena *out, struct mailbox *mb,
                  const struct draft_ask *ask)
{
    struct draft_row rows[64];
    size_t n = 0;
    bool copies = ask->from && slots_check(slots, ask->from - 1, ask->at, ask->prefix_hash, 0) == VERDICT_OK;
    if (copies) slots_copy(slots, ask->slot, ask->from - 1, ask->at);
    if (slots_check(slots, ask->slot, ask->at, ask->prefix_hash, ask->n_ids) != VERDICT_OK) return E_FAIL;
    slots_apply(slots, ask->slot, ask->at, ask->ids, ask->n_ids);
    struct slot *s = &slots->slot[ask->slot];
    uint32_t at = (uint32_t)s->len;
    while ((uint32_t)s->len < ask->until && n < 64) {
        int32_t id = p->propose(p->arg, s->ids, s->len);
        rows[n++] = (struct draft_row){id, 0.9f};
        slots_apply(slots, ask->slot, (uint32_t)s->len, &id, 1);
    }
    struct message m = {.tag = TAG_DRAFT,
                        .draft = {.slot = ask->slot,
                                  .round = ask->round,
                                  .at = at,
                                  .prefix_hash = s->prefix_hash[at],
                                  .rows = rows,
                                  .n_rows = n}};
    return post(mb, out, &m);
}

int proposer_run(void *arg, struct mailbox *mb)
{
    const struct proposer *p = arg;
    struct err err;
    struct wire_arena in = {0}, out = {0};
    struct slots slots = {0};
    struct message m = {.tag = TAG_HELLO,
                        .hello = {.version = WIRE_VERSION,
                                  .host = "here",
                                  .cores = 1,
                                  .peer = mb->self,
                                  .vocab = p->vocab_hash,
                                  .path = "",
                                  .memory_bytes = UINT64_MAX,
                                  .max_rows = 128,
                                  .max_jobs = SLOTS_MOST,
                                  .threads = 1,
                                  .cpu = ""}};
    int rc = wire_arena_init(&in, 1 << 18, &err);
    if (rc == OK) rc = wire_arena_init(&out, 1 << 18, &err);
    if (rc == OK) rc = post(mb, &out, &m);
    int n_asks = 0;
    for (bool quit = false, dead = false; rc == OK && !quit;) {
        struct mail mail;
        rc = mailbox_wait(mb, &mail, -1, &err);
        if (rc != OK) break;
        rc = wire_decode(&in, mail.tag, mail.data, mail.n_bytes, &m, &err);
        mail_free(&mail);
        if (rc != OK) break;
        quit = m.tag == TAG_QUIT;
        if (m.tag == TAG_WELCOME) {
            rc = slots_init(&slots, (int)m.welcome.n_slots, (int)m.welcome.n_ctx, m.welcome.root, &err);
            if (rc == OK) rc = post(mb, &out, &(struct message){.tag = TAG_READY, .ready = {1}});
        }
        if (m.tag != TAG_DRAFT_ASK || dead) continue;
        dead = p->n_asks && n_asks++ == p->n_asks;
        const struct message fail = {.tag = TAG_FAIL, .fail = {E_FAIL, "a test ends here"}};
        rc = dead ? post(mb, &out, &fail) : answer(p, &slots, &out, mb, &m.ask);
    }
    slots_free(&slots);
    wire_arena_free(&in);
    wire_arena_free(&out);
    return rc;
}

/* ---- one cell ---- */

static int ignore(void *arg, const struct seq *s, struct err *err)
{
    (void)arg, (void)s, (void)err;
    return OK;
}

static uint64_t hash_seq(const struct seq *s)
{
    uint64_t h = 0;
    uint32_t bits;
    for (int i = s->n_prompt; i < s->n_ids; i++) {
        memcpy(&bits, &s->lp[i], sizeof bits);
        h = prefix_hash_mix(prefix_hash_next(h, s->ids[i]) ^ bits);
        for (int k = 0; k < GRID_TOP; k++) {
            const struct top *t = &s->top[i * GRID_TOP + k];
            memcpy(&bits, &t->lp, sizeof bits);
            h = prefix_hash_mix(prefix_hash_next(h, t->id) ^ bits);
        }
    }
    return h;
}

static void check_counts(struct grid *g, const struct cell *c, const struct seq *s, const char *name)
{
    uint32_t refused = 0;
    for (int i = s->n_prompt; i < s->n_ids; i++) refused += s->origin[i] == ORIGIN_CORRECTION;
    if (g->rule.kind != RULE_REPO && s->stats.n_judged != s->stats.n_accepted + refused) /* repo's last goes unseen */
        fail_msg("%s: judged is not accepted + first refused", name);
    bool is_used = s->stats.n_judged > 0 || (g->draft_ahead && s->stats.n_asks > 0); /* all of it may come too late */
    bool must_judge = c->drafter == GRID_ITSELF || c->drafter == GRID_WRONG;
    if (must_judge && !is_used) fail_msg("%s: nothing was judged", name);
    if (c->drafter == GRID_WRONG && s->stats.n_accepted) fail_msg("%s: a wrong draft was accepted", name);
    if (c->drafter == GRID_ITSELF && s->stats.n_accepted != s->stats.n_judged) fail_msg("%s: big refuses itself", name);
    if (c->drafter == GRID_NONE && s->stats.n_drafted) fail_msg("%s: drafts without a drafter", name);
    if (c->drafter == GRID_SUFFIX) {
        g->n_suffix_judged += s->stats.n_judged;
        g->n_suffix_accepted += s->stats.n_accepted;
    }
    if (c->drafter == GRID_PLAN) {
        if ((s->stats.n_asks > 0) != (g->rule.kind != RULE_EXACT))
            fail_msg("%s: %u asks for a plan's drafts, which lossy texts alone send", name, s->stats.n_asks);
        g->n_planned_judged += s->stats.n_judged;
        g->n_planned_accepted += s->stats.n_accepted;
    }
    if (c->drafter != GRID_LITTLE || g->fallback > 1) return; /* who falls back always never drafts */
    if (!is_used) fail_msg("%s: nothing was judged", name);
    g->n_judged += s->stats.n_judged;
    g->n_accepted += s->stats.n_accepted;
}

/* Fallbacks, rollbacks, and all else that the method says, and no haste changes. */
static void note_bild(struct grid *g, const struct seq_stats *t)
{
    const uint32_t counts[] = {t->n_asks, t->n_drafted, t->n_judged,    t->n_accepted,
                               t->n_lows, t->n_windows, t->n_rollbacks, t->n_taken_back};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) g->bild = prefix_hash_next(g->bild, (int32_t)counts[i]);
    g->n_early += t->n_early;
}

static void check_seqs(struct grid *g, const struct cell *c, const struct seq *seqs, int n, const char *name)
{
    g->bild = 0;
    for (int i = 0; i < n; i++) {
        uint64_t h = hash_seq(&seqs[i]);
        note_bild(g, &seqs[i].stats);
        if (g->have_expected && h != g->expected[i])
            fail_msg("%s: prompt %d gives %016llx, big alone %016llx", name, i, (unsigned long long)h,
                     (unsigned long long)g->expected[i]);
        if (seq_n_generated(&seqs[i]) != g->n_predict)
            fail_msg("%s: prompt %d: %d tokens", name, i, seq_n_generated(&seqs[i]));
        check_counts(g, c, &seqs[i], name);
        g->n_copied += seqs[i].stats.n_prompt_copied;
        if (g->have_expected) continue;
        g->expected[i] = h;
        g->n_text[i] = seqs[i].n_ids;
        memcpy(g->texts[i], seqs[i].ids, (size_t)seqs[i].n_ids * sizeof *seqs[i].ids);
    }
}

/* Requests that come at once to empty groups are in different ones. */
static void check_groups(const struct grid *g, const struct cell *c, const struct seq *seqs, int n, const char *name)
{
    bool *taken = calloc((size_t)n_groups(g), sizeof *taken);
    for (int i = 0; i < n && i < n_groups(g) && c->company == TOGETHER; i++) {
        if (taken[seqs[i].group]) fail_msg("%s: prompt %d is not in a group of its own", name, i);
        taken[seqs[i].group] = true;
    }
    free(taken);
}

static int n_plans(const struct grid *g)
{
    int n = 0;
    while (n < DRAFT_PLANS_MOST && g->draft_plans[n]) n++;
    return n;
}

static void init_seq(const struct grid *g, const struct cell *c, int i, int plan, struct seq *out)
{
    struct err err;
    struct request r = {.index = i, .prompt = g->prompts[i], .n_prompt = g->n_prompt[i]};
    r.settings = (struct settings){.n_predict = g->n_predict,
                                   .sampler = g->sampler,
                                   .rule = g->rule,
                                   .fresh = g->fresh,
                                   .drafting = c->drafter != GRID_NONE,
                                   .draft_plan = c->drafter == GRID_PLAN ? plan % n_plans(g) : 0,
                                   .draft_max = c->draft_max,
                                   .draft_ahead = g->draft_ahead,
                                   .draft_block = 1 + g->draft_ahead % 3,
                                   .draft_ctx = GRID_CTX,
                                   .fallback = g->fallback,
                                   .n_top = GRID_TOP};
    r.settings.sampler.sample = (uint32_t)i;
    assert_int_equal(seq_init(out, &r, GRID_CTX, &err), OK);
}

static bool has_written(const struct seq *s, int n)
{
    return s->state == SEQ_DONE || seq_n_generated(s) >= n;
}

/* While the first writes the second comes, then one like the first, which is cancelled for the third. */
static int run_coming(struct job *job, struct seq *seqs, int n, struct seq *guest, struct err *err)
{
    static const struct job_watch watch = {.tokens = ignore, .done = ignore};
    int n_here = 0, rc = OK;
    bool over = false;
    job_set_watch(job, &watch);
    while (rc == OK && !over) {
        const bool now[] = {true, has_written(&seqs[0], 5), has_written(&seqs[1], 3), has_written(guest, 2)};
        if (n_here < 4 && now[n_here]) {
            if (n_here == 3) rc = job_cancel(job, guest, err);
            if (rc == OK) rc = job_submit(job, n_here == 2 ? guest : &seqs[n_here < 2 ? n_here : 2], err);
            n_here++;
            continue;
        }
        uv_run(job_loop(job), UV_RUN_ONCE);
        rc = job_error(job, err);
        over = n_here == 4;
        for (int i = 0; i < n; i++) over &= seqs[i].state == SEQ_DONE;
    }
    return rc;
}

static void run_texts(struct grid *g, const struct cell *c, int turn, struct job *job, const char *name)
{
    static const struct job_watch watch = {.tokens = ignore, .done = ignore};
    struct err err = {0};
    struct seq seqs[GRID_PROMPTS] = {0}, guest;
    int n = c->company == ALONE ? 1 : g->n_prompts;
    for (int i = 0; i < n; i++) init_seq(g, c, i, i + turn, &seqs[i]);
    init_seq(g, c, 0, turn, &guest);
    int rc = c->company == COMING ? run_coming(job, seqs, n, &guest, &err) : job_run(job, seqs, n, &watch, &err);
    if (rc != OK) fail_msg("%s: %s", name, err.text);
    check_seqs(g, c, seqs, n, name);
    check_groups(g, c, seqs, n, name);
    for (int i = 0; i < n; i++) seq_free(&seqs[i]);
    seq_free(&guest);
}

/* Of several plans each text has each, one after the other: slots go on with what they hold of the turn before. A lossy
 * text depends on its drafts: it has one. */
static void run_job(struct grid *g, const struct cell *c, struct job *job, const char *name)
{
    int n_turns = c->drafter == GRID_PLAN && g->rule.kind == RULE_EXACT ? n_plans(g) : 1;
    for (int turn = 0; turn < n_turns; turn++) run_texts(g, c, turn, job, name);
}

void grid_emulate(const struct grid *g, const struct layout *l, struct router *router)
{
    struct err err = {0};
    const struct net net = {.to = {g->path, g->path}};
    if (router_emulate(router, l, &net, &err) != OK) fail_msg("%s", err.text);
}

static void name_run(const struct grid *g, const struct cell *c, char *out, size_t size)
{
    cell_name(c, out, size);
    size_t n = strlen(out);
    snprintf(out + n, size - n,
             ", groups %d, drafters %d, max-rows %d, self-max %d, ahead %d, %g ms + %g ms, hold %u us%s", n_groups(g),
             n_drafters(g), g->max_rows, g->self_max, g->draft_ahead, (double)g->path.delay_ns * 1e-6,
             (double)g->path.jitter_ns * 1e-6, g->hold_us, g->drops_nothing ? ", nothing dropped" : "");
}

void grid_run_over(struct grid *g, const struct cell *c, const struct layout *l, struct router *router)
{
    char name[224];
    struct err err = {0};
    struct job *job = NULL;
    struct job_info info;
    name_run(g, c, name, sizeof name);
    struct job_config config = {
        .layout = *l, .vocab_big = grid_vocab_hash(g->big), .n_ctx = GRID_CTX, .n_slots = GRID_PROMPTS};
    config.n_ids = config.n_proposed = g->n_vocab;
    config.self_max = g->self_max;
    config.vocab_little = config.vocab_big; /* toys have one vocabulary */
    if (job_open(&job, &config, router, &err) != OK) fail_msg("%s: %s", name, err.text);
    job_info(job, &info);
    if (info.n_workers != n_groups(g) * c->tp * c->pp + layout_n_drafters(l) ||
        info.n_threads != (g->device ? 1 : c->threads))
        fail_msg("%s: %d workers of %d threads", name, info.n_workers, info.n_threads);
    run_job(g, c, job, name);
    job_close(job);
    job_quit(router, l, OK, "");
}

void grid_run(struct grid *g, const struct cell *c)
{
    struct err err = {0};
    struct layout l;
    struct cluster *cluster = NULL;
    bool dies = c->drafter == GRID_DYING;
    struct proposer proposer = dies ? grid_dying_proposer(g) : grid_wrong_proposer(g);
    if (layout_make(&l, 1, n_drafters(g), n_groups(g), c->tp, c->pp, grid_layout_drafter(c->drafter), &err) != OK)
        fail_msg("%s", err.text);
    struct cluster_config config = {.launch = {.layout = l,
                                               .plan = g->plan,
                                               .stage_share = g->stage_share,
                                               .shard_share = g->shard_share,
                                               .max_rows = g->max_rows,
                                               .requantize = c->drafter == GRID_LITTLE && !g->draft_device},
                                    .big = g->big,
                                    .little = g->little,
                                    .kernels = g->kernels,
                                    .device = {.table = g->device, .number = -1}, /* each one of its own */
                                    .draft_device = {.table = g->draft_device},
                                    .n_threads = c->threads,
                                    .draft_memory_bytes = 1 << 14,
                                    .drops_nothing = g->drops_nothing,
                                    .hold_us = g->hold_us};
    if (c->drafter == GRID_PLAN) memcpy(config.launch.draft_plans, g->draft_plans, sizeof g->draft_plans);
    if (c->drafter == GRID_ITSELF) config.little = g->big;
    if (c->drafter == GRID_WRONG || dies) {
        config.drafter = proposer_run;
        config.drafter_arg = &proposer;
    }
    struct router *router = router_open(l.n_peers);
    assert_non_null(router);
    if (!net_path_is_zero(&g->path)) grid_emulate(g, &l, router);
    if (cluster_start(&cluster, &config, router, &err) != OK) fail_msg("%s", err.text);
    grid_run_over(g, c, &l, router);
    cluster_join(cluster);
    router_close(router);
}
