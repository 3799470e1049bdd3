#include "worker/roles/role_verifier.h"

#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "worker/roles/drops.h"
#include "worker/roles/lookup.h"
#include "worker/roles/self_draft.h"

struct verifier {
    struct worker *w;
    int stage, shard;
    bool last;
    struct engine_links links; /* hidden rows that do not go through messages */

    /* One pass. Parts with an error have no rows in it. */
    struct part parts[PASS_ROWS_MOST];
    size_t n_parts;
    struct engine_row rows[PASS_ROWS_MOST];
    int n_rows;
    float *x;                         /* [worker_pass_rows, n_embd] owns */
    int kept[PASS_ROWS_MOST], n_came; /* which rows of those that came are the pass's; of the pass, which go on */
    struct verdict_row answers[PASS_ROWS_MOST]; /* of wanted rows, on the last stage */
    uint32_t queued_us, computed_us, drafted_us;
    uint32_t n_tokens; /* that the leader had when it began */

    struct drops drops;    /* owns */
    float *found;          /* [tp, PASS_ROWS_MOST] owns: 1 where a shard has found a part to be of no use */
    uint32_t n_own_tokens; /* of the last stage */

    struct lead *lead;            /* owns; NULL on other shards */
    struct suffix_memory *memory; /* owns; the leader's, if it is to remember earlier texts */
    struct lookup lookup;         /* owns; the leader's, with --draft suffix or --draft-plan */
    struct self_draft self_draft; /* owns; of the first stage, with --draft-plan */
};

/* ---- a pass, on any shard ---- */

static bool is_alive(const struct part *part)
{
    return !part->error && !part->dropped;
}

/* Neither the first stage nor the last: only by Tokens it learns what big says. */
static bool is_between(const struct verifier *v)
{
    return v->stage > 0 && !v->last;
}

static void list_rows(struct verifier *v, const struct part *part)
{
    for (size_t i = 0; i < part->n_rows; i++)
        v->rows[v->n_rows++] =
            (struct engine_row){(int)part->slot, (int)(part->at + i), &part->rows[i], &part->sampler, 0, NULL, 0};
}

/* A part joins the pass and its slot's ids, as the leader has it too. It was checked, and there is room. */
static void append_part(struct verifier *v, const struct part *part)
{
    int32_t ids[PASS_ROWS_MOST];
    for (size_t i = 0; i < part->n_rows; i++) ids[i] = part->rows[i].id;
    list_rows(v, part);
    slots_apply(&v->w->slots, part->slot, part->at, ids, part->n_rows);
}

static void fail_part(struct verifier *v, struct part *part, const char *why)
{
    slots_fail(&v->w->slots, part->slot, part->at, why);
    part->error = slots_error(&v->w->slots, part->slot);
}

/* The slot gets what another one holds here, as the leader decided: all of it, or what could be computed of it. */
static int copy_slot(struct verifier *v, const struct part *part, struct err *err)
{
    struct slots *s = &v->w->slots;
    uint32_t from = part->from - 1;
    enum verdict_status status = slots_check(s, from, part->at, part->prefix_hash, 0);
    bool failed = status == VERDICT_FAILED;
    if ((status != VERDICT_OK && !failed) || part->slot >= (uint32_t)s->n)
        return err_set(err, E_PEER, "peer %d: a Pass that copies what slot %u does not hold", v->w->config->peer, from);
    slots_copy(s, part->slot, from, failed ? slots_held(s, from) : part->at);
    if (failed) slots_fail(s, part->slot, slots_held(s, from), slots_error(s, from));
    return OK;
}

/* A Token may have come to some shards only: what one of them has found, all drop. */
static int agree(struct verifier *v, size_t n_parts, struct err *err)
{
    struct collective *c = v->w->config->collective;
    int from[SHARDS_MOST + 1], tp = v->w->group->tp;
    for (int s = 0; s <= tp; s++) from[s] = s * (int)n_parts;
    float *own = v->found + from[v->shard];
    if (v->shard > 0) memcpy(own, v->found, n_parts * sizeof *own);
    int rc = c->gather(c, v->found, (size_t)from[tp], 1, from, err);
    for (int s = 1; s < tp && rc == OK; s++)
        for (size_t p = 0; p < n_parts; p++) v->found[p] += v->found[(size_t)from[s] + p];
    return rc;
}

/* Sets found[p] of parts that are of no use any more. */
static int find_dropped(struct verifier *v, const struct pass *pass, struct err *err)
{
    bool looks = v->stage > 0 && !v->w->config->drops_nothing;
    for (size_t p = 0; p < pass->n_parts; p++) {
        const struct part *part = &pass->parts[p];
        if (part->dropped && v->stage < 2)
            return err_set(err, E_PEER, "peer %d: a Pass with a part that nobody can have dropped", v->w->config->peer);
        v->found[p] = part->dropped || (looks && drops_find(&v->drops, part, pass->n_tokens));
    }
    return looks && is_between(v) && v->w->group->tp > 1 ? agree(v, pass->n_parts, err) : OK;
}

/* A part of a Pass that came. If it is alive its hidden rows came, the first of them `row`, with the message (or NULL).
 */
static int join_part(struct verifier *v, struct part *part, bool found, int row, const float *hidden, struct err *err)
{
    size_t n_embd = (size_t)v->w->info.shape.n_embd;
    part->dropped = drops_settle(&v->drops, part, found);
    if (part->dropped) {
        part->error = NULL;
        return OK;
    }
    int rc = part->from ? copy_slot(v, part, err) : OK;
    if (rc != OK) return rc;
    enum verdict_status status = slots_check(&v->w->slots, part->slot, part->at, part->prefix_hash, part->n_rows);
    if ((status != VERDICT_OK && status != VERDICT_FAILED) || (part->error && v->stage == 0))
        return err_set(err, E_PEER, "peer %d: a Pass that does not fit", v->w->config->peer);
    if (part->error || status == VERDICT_FAILED) {
        fail_part(v, part, part->error);
        return OK;
    }
    if (hidden) memcpy(v->x + (size_t)v->n_rows * n_embd, hidden, part->n_rows * n_embd * sizeof *hidden);
    for (int i = 0; i < (int)part->n_rows; i++) v->kept[v->n_rows + i] = row + i;
    append_part(v, part);
    return OK;
}

/* Whether hidden rows come to this shard, or go from it to a peer, by devices. */
static bool comes_by_device(const struct verifier *v)
{
    return v->stage == 0 ? v->links.shares : v->links.receives;
}

static int join_parts(struct verifier *v, const struct pass *pass, struct err *err)
{
    size_t n_embd = (size_t)v->w->info.shape.n_embd, n_rows = 0, n_computed = 0;
    for (size_t p = 0; p < pass->n_parts; p++) {
        const struct part *part = &pass->parts[p];
        int rc = part_check(part, PASS_ROWS, v->w->info.shape.n_vocab, err);
        if (rc != OK) return rc;
        n_rows += part->n_rows;
        n_computed += is_alive(part) ? part->n_rows : 0;
    }
    size_t n_hidden = comes_by_device(v) ? 0 : n_computed * n_embd;
    if (n_rows > PASS_ROWS || pass->n_hidden != n_hidden)
        return err_set(err, E_PEER, "peer %d: a Pass of %zu rows with %zu numbers", v->w->config->peer, n_rows,
                       pass->n_hidden);
    int rc = find_dropped(v, pass, err);
    size_t row = 0;
    for (v->n_rows = 0, v->n_parts = 0; v->n_parts < pass->n_parts && rc == OK; v->n_parts++) {
        struct part *part = &v->parts[v->n_parts];
        *part = pass->parts[v->n_parts];
        size_t n = is_alive(part) ? part->n_rows : 0;
        const float *hidden = n_hidden ? pass->hidden + row * n_embd : NULL;
        rc = join_part(v, part, v->found[v->n_parts] > 0, (int)row, hidden, err);
        row += n;
    }
    v->n_came = (int)n_computed;
    v->w->pulse.n_dropped = v->drops.n_rows;
    return rc;
}

static int pass_post(struct verifier *v, int to, bool by_device, struct err *err)
{
    size_t n_hidden = by_device ? 0 : (size_t)v->n_rows * (size_t)v->w->info.shape.n_embd;
    struct message m = {.tag = TAG_PASS,
                        .pass = {.pass = v->w->pulse.n_passes,
                                 .parts = v->parts,
                                 .n_parts = v->n_parts,
                                 .hidden = v->x,
                                 .n_hidden = n_hidden,
                                 .queued_us = v->queued_us,
                                 .computed_us = v->computed_us,
                                 .drafted_us = v->drafted_us,
                                 .n_tokens = v->n_tokens}};
    return worker_post(v->w, to, &m, err);
}

/* What was found about a part, with the rest of what a verdict on it says. The coordinator does not know the drafts of
 * the leader's own rows. */
static int post_verdict(struct verifier *v, const struct part *part, struct verdict found, struct err *err)
{
    int32_t drafts[DRAFTS_MOST];
    if (part->job == 0 && is_alive(part)) {
        found.drafts = drafts;
        found.n_drafts = drafts_of(part, drafts);
    }
    found.job = part->job;
    found.slot = part->slot;
    found.round = part->round;
    found.at = part->at;
    found.prefix_hash = part->prefix_hash;
    return worker_post(v->w, PEER_COORDINATOR, &(struct message){.tag = TAG_VERDICT, .verdict = found}, err);
}

/* The draft that stood in the Token's place is not big's id. */
static bool is_contradicted(const struct part *part, const struct token *token)
{
    const struct row *row = &part->rows[token->at - 1 - part->at];
    return row->n_judge > 0 && row->judge[0] != token->id;
}

/* Big's next id, to those who want to know it: the leader, if it asked for it. */
static int post_token(struct verifier *v, const struct part *part, const struct verdict_row *answers, struct err *err)
{
    const struct group *g = v->w->group;
    struct token token;
    if (!part->token || !token_of(part, answers, &token)) return OK;
    token.prefix_hash = v->w->slots.slot[part->slot].prefix_hash[token.at];
    token.number = ++v->n_own_tokens;
    drops_note(&v->drops, &v->w->slots, &token);
    if (v->shard > 0) return OK;
    if (v->lead) return lead_on_token(v->lead, &token, clock_now_us(), err);
    const struct message m = {.tag = TAG_TOKEN, .token = token};
    int from = group_peer(g, 1, 0), to = is_contradicted(part, &token) ? group_peer(g, g->pp - 1, 0) : from;
    int rc = worker_post(v->w, group_leader(g), &m, err);
    for (int peer = from; peer < to && rc == OK; peer++) rc = worker_post(v->w, peer, &m, err);
    return rc;
}

static int answer_part(struct verifier *v, const struct part *part, size_t n_wanted, const struct verdict_row *answers,
                       struct err *err)
{
    struct verdict found = {.status = VERDICT_OK,
                            .held = part->at + (uint32_t)part->n_rows,
                            .rows = answers,
                            .n_rows = n_wanted,
                            .queued_us = v->queued_us,
                            .computed_us = v->computed_us,
                            .pass_rows = (uint32_t)v->n_rows,
                            .drafted_us = v->drafted_us,
                            .error = part->error};
    if (part->error) {
        found.status = VERDICT_FAILED;
        found.held = slots_held(&v->w->slots, part->slot);
    } else if (part->dropped) {
        found.status = VERDICT_GAP;
        found.held = drops_held(&v->drops, part);
    }
    return post_verdict(v, part, found, err);
}

/* On every shard of the last stage: all know what big says, one answers. */
static int answer_parts(struct verifier *v, struct err *err)
{
    const struct verdict_row *answers = v->answers;
    int rc = OK;
    for (size_t p = 0; p < v->n_parts && rc == OK; p++) {
        const struct part *part = &v->parts[p];
        size_t n_wanted = 0;
        for (size_t i = 0; i < part->n_rows && is_alive(part); i++) n_wanted += part->rows[i].wanted;
        if (v->shard == 0) rc = answer_part(v, part, n_wanted, answers, err);
        if (rc == OK && n_wanted) rc = post_token(v, part, answers, err);
        answers += n_wanted;
    }
    return rc;
}

static bool is_computed(const struct verifier *v, const struct part *part, int row, struct err *why)
{
    for (int i = row; i < row + (int)part->n_rows; i++)
        if (engine_row_error(v->w->engine, i, why) != OK) return false;
    return true;
}

/* After the engine: parts that it could not compute fail. The rows and answers of the others move up. */
static void settle_parts(struct verifier *v, const struct verdict_row *answers)
{
    size_t n_embd = (size_t)v->w->info.shape.n_embd;
    struct verdict_row *kept = v->answers;
    struct err why;
    int row = 0, n_kept = 0;
    for (size_t p = 0; p < v->n_parts; p++) {
        struct part *part = &v->parts[p];
        if (!is_alive(part)) continue;
        bool follows = part->at > slots_held(&v->w->slots, part->slot); /* one that failed in this pass */
        if (follows || !is_computed(v, part, row, &why)) fail_part(v, part, why.text);
        for (size_t i = 0; i < part->n_rows; i++, row++) {
            bool answered = v->last && part->rows[i].wanted;
            if (!part->error && answered) *kept++ = *answers;
            if (!part->error) v->kept[n_kept] = row;
            if (!part->error && n_kept++ < row && !v->links.sends)
                memcpy(v->x + (size_t)(n_kept - 1) * n_embd, v->x + (size_t)row * n_embd, n_embd * sizeof *v->x);
            answers += answered;
        }
    }
    v->n_rows = n_kept;
}

/* This shard's share over v->parts and v->x. All parts of a pass have one plan. */
static int compute(struct verifier *v, const struct verdict_row **answers, struct err *err)
{
    const struct engine_info *info = &v->w->info;
    struct engine_span all = {ENGINE_SERVED, info->entry_from, info->entry_to, v->rows, v->n_rows, v->x, NULL, false};
    if (v->parts[0].plan) {
        all.plan = ENGINE_OTHER;
        int rc = engine_set_other(v->w->engine, v->parts[0].plan, &all.from, &all.to, err);
        return rc == OK ? engine_run(v->w->engine, &all, answers, err) : rc;
    }
    if (v->self_draft.w) return self_draft_pass(&v->self_draft, v->parts, v->n_parts, &all, answers, err);
    return engine_run(v->w->engine, &all, answers, err);
}

/* What slots get from others, in order, before any row is computed. */
static int copy_rows(struct verifier *v, struct err *err)
{
    int rc = OK;
    for (size_t p = 0; p < v->n_parts && rc == OK; p++) {
        const struct part *part = &v->parts[p];
        if (part->from && !part->dropped)
            rc = engine_copy(v->w->engine, (int)part->slot, (int)part->from - 1, (int)part->at, err);
    }
    return rc;
}

/* Computes, and hands on what comes out. After worker_begin_pass. */
static int pass_run(struct verifier *v, struct err *err)
{
    const struct verdict_row *answers = NULL;
    uint64_t start = clock_now_us();
    int rc = copy_rows(v, err);
    if (rc == OK && v->links.receives && v->n_came)
        rc = engine_receive(v->w->engine, v->n_came, v->kept, v->n_rows, err);
    if (rc == OK && v->n_rows) rc = compute(v, &answers, err);
    if (rc != OK) return rc;
    settle_parts(v, answers);
    if (v->links.sends && v->n_rows) rc = engine_send(v->w->engine, v->kept, v->n_rows, err);
    if (rc != OK) return rc;
    v->computed_us += (uint32_t)(clock_now_us() - start);
    if (!v->last)
        rc = pass_post(v, group_peer(v->w->group, v->stage + 1, v->shard), v->links.sends, err);
    else
        rc = answer_parts(v, err);
    worker_end_pass(v->w);
    return rc;
}

/* A Pass from the leader, or from the same shard of the stage before. */
static int pass_take(struct verifier *v, const struct pass *pass, struct err *err)
{
    uint32_t next = v->w->pulse.n_passes;
    if (pass->pass != next)
        return err_set(err, E_PEER, "peer %d: Pass %u where %u was next", v->w->config->peer, pass->pass, next);
    if (pass->n_parts < 1 || pass->n_parts > PASS_ROWS)
        return err_set(err, E_PEER, "peer %d: a Pass of %zu parts", v->w->config->peer, pass->n_parts);
    if (pass->draft) return self_draft_step(&v->self_draft, pass, err);
    worker_begin_pass(v->w); /* shards may have to agree first */
    int rc = join_parts(v, pass, err);
    if (rc != OK) return rc;
    v->n_tokens = pass->n_tokens;
    v->drafted_us = pass->drafted_us;
    v->queued_us = pass->queued_us;
    v->computed_us = pass->computed_us;
    return pass_run(v, err);
}

/* ---- the leader ---- */

static int post_refusals(struct verifier *v, const struct lead_step *step, struct err *err)
{
    int rc = OK;
    for (size_t i = 0; i < step->n_refused && rc == OK; i++)
        rc = worker_post(v->w, PEER_COORDINATOR, &(struct message){.tag = TAG_VERDICT, .verdict = step->refused[i]},
                         err);
    return rc;
}

static int lead_pass(struct verifier *v, struct err *err)
{
    struct lead_step step = lead_next(v->lead, clock_now_us());
    if (v->self_draft.rc != OK) *err = v->self_draft.err;
    int rc = v->self_draft.rc == OK ? post_refusals(v, &step, err) : v->self_draft.rc;
    if (rc != OK || !step.n_rows) return rc;
    int32_t ids[PASS_ROWS_MOST];
    v->n_rows = 0;
    for (v->n_parts = 0; v->n_parts < step.n_parts; v->n_parts++) {
        v->parts[v->n_parts] = step.parts[v->n_parts];
        list_rows(v, &v->parts[v->n_parts]);
    }
    for (int i = 0; i < v->n_rows; i++) ids[i] = v->rows[i].ask->id;
    engine_embed(v->w->engine, ids, v->n_rows, v->x);
    v->n_tokens = step.n_tokens;
    v->queued_us = step.queued_us;
    v->drafted_us = step.drafted_us;
    v->computed_us = 0;
    const struct group *g = v->w->group;
    for (int s = 1; s < g->tp && rc == OK; s++) rc = pass_post(v, group_peer(g, 0, s), v->links.shares, err);
    worker_begin_pass(v->w);
    if (rc == OK) rc = pass_run(v, err);
    if (rc == OK && !step.parts[0].plan) lead_note_pass(v->lead, step.n_rows, v->computed_us);
    return rc;
}

/* ---- messages ---- */

static int unexpected(const struct verifier *v, const struct message *m, struct err *err)
{
    return err_set(err, E_PEER, "peer %d: an unexpected %s", v->w->config->peer, wire_tags[m->tag].name);
}

static int answer_ask(struct verifier *v, const struct draft_ask *ask, struct err *err)
{
    struct message m = {.tag = TAG_DRAFT};
    uint64_t start = clock_now_us();
    int rc = lookup_draft(&v->lookup, ask, &m.draft, err);
    if (v->self_draft.rc != OK) *err = v->self_draft.err;
    if (rc == OK) rc = v->self_draft.rc;
    m.draft.us = (uint32_t)(clock_now_us() - start);
    return rc == OK ? worker_post(v->w, PEER_COORDINATOR, &m, err) : rc;
}

static int take_as_leader(struct verifier *v, const struct message *m, struct err *err)
{
    switch (m->tag) {
    case TAG_VERIFY: return lead_on_verify(v->lead, &m->verify, clock_now_us(), err);
    case TAG_OPEN: return lead_on_open(v->lead, &m->open, err);
    case TAG_ACK: return lead_on_ack(v->lead, &m->ack, err);
    case TAG_CUT: return lead_on_cut(v->lead, &m->cut, err);
    case TAG_TOKEN: return lead_on_token(v->lead, &m->token, clock_now_us(), err);
    case TAG_DRAFT_ASK: return v->lookup.slots.n ? answer_ask(v, &m->ask, err) : unexpected(v, m, err);
    default: return unexpected(v, m, err);
    }
}

/* Tokens go before Passes that came earlier: their parts may be of no use any more. */
static int take_tokens(struct verifier *v, struct err *err)
{
    struct message m;
    int rc;
    while ((rc = worker_next_of(v->w, &v->w->in, TAG_TOKEN, &m, err)) == OK)
        drops_note(&v->drops, &v->w->slots, &m.token);
    return rc == MAIL_NONE ? OK : rc;
}

static int take(struct verifier *v, uint64_t wait_us, struct err *err)
{
    struct worker *w = v->w;
    struct message m;
    int rc = is_between(v) ? take_tokens(v, err) : OK;
    if (rc != OK) return rc;
    if (v->lead && lead_is_full(v->lead, clock_now_us()))
        return MAIL_NONE; /* messages wait in the mailbox until there is room */
    rc = worker_next(w, &w->in, wait_us, &m, err);
    if (rc != OK || m.tag == TAG_QUIT) return rc;
    if (v->lead) return take_as_leader(v, &m, err);
    if (m.tag == TAG_PASS) return pass_take(v, &m.pass, err);
    if (m.tag == TAG_TOKEN && is_between(v)) return drops_note(&v->drops, &w->slots, &m.token), OK;
    return unexpected(v, &m, err);
}

static uint64_t wait_us(const struct verifier *v)
{
    return v->lead ? lead_wait_us(v->lead, clock_now_us()) : UINT64_MAX;
}

static int verifier_loop(struct verifier *v, struct err *err)
{
    while (!v->w->quit) {
        uint64_t idle_us = wait_us(v);
        v->w->pulse.busy = idle_us == 0;
        int rc = take(v, idle_us, err);
        while (rc == OK && !v->w->quit && wait_us(v) == 0) rc = take(v, 0, err); /* all that is there, then a pass */
        if (rc == MAIL_NONE) rc = OK;
        if (rc == OK && wait_us(v) == 0 && !v->w->quit) rc = lead_pass(v, err);
        if (rc != OK) return rc;
    }
    return OK;
}

/* How much of a token's time is the way between stages is not known before the first trial: at its best for drafts,
 * which go no such way, most of it. */
static double way_of(const struct verifier *v)
{
    enum { WAY = 4 };
    return v->w->group->pp > 1 ? WAY : 1;
}

/* The source of the leader's drafts. */
static int drafts_open(struct verifier *v, struct lead_drafts *out, struct err *err)
{
    struct self_draft *d = &v->self_draft;
    if (!d->w) return OK;
    const struct engine_info *info = &v->w->info;
    *out = (struct lead_drafts){.write = self_draft_write, .arg = d, .n = info->n_drafts};
    for (int i = 0; i < info->n_drafts; i++) out->costs[i] = info->drafts[i].cost / way_of(v);
    if (d->searches) out->look = self_draft_look;
    return d->searches ? self_draft_search(d, way_of(v), err) : OK;
}

static int leader_open(struct verifier *v, struct err *err)
{
    struct slots *slots = &v->w->slots;
    int n_vocab = v->w->info.shape.n_vocab, max_rows = worker_max_rows(v->w);
    size_t n_bytes = v->w->config->draft_memory_bytes;
    int rc = n_bytes ? suffix_memory_open(&v->memory, n_bytes, err) : OK;
    if (rc != OK) return rc;
    struct lead_config lead = {.slots = slots, .memory = v->memory, .max_rows = max_rows, .n_vocab = n_vocab};
    lead.drops_nothing = v->w->config->drops_nothing;
    lead.hold_us = v->w->config->hold_us;
    rc = drafts_open(v, &lead.drafts, err);
    if (rc == OK) rc = lead_open(&v->lead, &lead, err);
    bool at_leader = v->w->config->layout.drafter == DRAFTER_SUFFIX || v->self_draft.w;
    if (rc != OK || !at_leader) return rc;
    rc = lookup_init(&v->lookup, slots->n, slots->n_ctx, slots->slot[0].prefix_hash[0], n_vocab, err);
    if (v->self_draft.w) v->lookup.writer = (struct lookup_writer){self_draft_answer, &v->self_draft};
    return rc;
}

int verifier_serve(struct worker *w, struct err *err)
{
    const struct group *g = w->group;
    struct verifier *v = calloc(1, sizeof *v);
    if (!v) return err_set(err, E_LAYOUT, "out of memory");
    v->w = w;
    v->stage = group_stage(g, w->config->peer);
    v->shard = group_shard(g, w->config->peer);
    v->last = v->stage == g->pp - 1;
    v->links = engine_links(w->engine);
    int rc = OK;
    v->x = calloc((size_t)worker_pass_rows(w) * (size_t)w->info.shape.n_embd, sizeof *v->x);
    v->found = calloc((size_t)g->tp * PASS_ROWS_MOST, sizeof *v->found);
    if (!v->x || !v->found) rc = err_set(err, E_LAYOUT, "out of memory");
    if (rc == OK) rc = drops_init(&v->drops, w->slots.n, err);
    if (rc == OK) rc = self_draft_open(&v->self_draft, w, err);
    if (rc == OK && v->stage == 0 && v->shard == 0) rc = leader_open(v, err);
    if (rc == OK) rc = verifier_loop(v, err);
    lead_close(v->lead);
    suffix_memory_close(v->memory);
    lookup_free(&v->lookup);
    self_draft_close(&v->self_draft);
    drops_free(&v->drops);
    free(v->found);
    free(v->x);
    free(v);
    return rc;
}
