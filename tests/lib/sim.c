#include "tests/lib/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/prefix_hash.h"
#include "simulator.h"
#include "tests/lib/sim_script.h"

enum { MOST_GROUPS = 3, MOST_DRAFTERS = 3, DRAFTER = PEER_COORDINATOR + 1, VERIFIER = DRAFTER + MOST_DRAFTERS };
enum { N_PEERS = VERIFIER + MOST_GROUPS };
enum { JITTER_MS = 20, MS_NS = 1000000, ROWS = 256, IN_FLIGHT = 1024 };
static const int32_t end_ids[] = {'$'};

struct answers { /* of a peer, on their way: the sequences that they are of, in order */
    int seqs[IN_FLIGHT];
    unsigned first, n;
};

struct sim {
    struct sim_config c;
    struct simulator *simulator;
    struct sim_script script;
    const struct sim_text *texts;
    int n_texts;
    struct seq *seqs;
    int32_t (*prompts)[ROWS]; /* [n_texts] owns */
    struct draft_profile profile;
    int seq_of[N_PEERS][ROWS]; /* the sequence whose messages a slot's are */
    struct answers answers[N_PEERS];
    bool fails[N_PEERS][ROWS]; /* the slot's next part or ask */
    int *shown;                /* [n_texts] ids that were noted */
    bool *later;               /* [n_texts] submitted at its moment */
    uint64_t random;
    int n_parts_out, most_parts_out;
    char *trace; /* owns */
    size_t n_trace;
    FILE *tracing;
    char text[1024];
};

/* ---- the trace ---- */

static void note(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct sim *s, const char *fmt, ...)
{
    va_list args;
    fprintf(s->tracing, "[%4d] ", (int)(simulator_now_ns(s->simulator) / MS_NS));
    va_start(args, fmt);
    vfprintf(s->tracing, fmt, args);
    va_end(args);
    fputc('\n', s->tracing);
    fflush(s->tracing);
}

static void blame(struct sim *s, const char *what)
{
    fputs(s->trace, stderr); /* fail_msg cuts what is long */
    fail_msg("%s", what);
}

void sim_expect(const struct sim *s, const char *transcript)
{
    if (!strcmp(s->trace, transcript)) return;
    fprintf(stderr, "expected:\n%s\nbut it was:\n%s", transcript, s->trace);
    fail_msg("another transcript");
}

/* ---- how long they compute ---- */

static uint64_t jittered_ns(struct sim *s, int ms)
{
    if (s->c.jitter) s->random = prefix_hash_mix(s->random + 1);
    return ((uint64_t)ms + (s->c.jitter ? s->random % (JITTER_MS + 1) : 0)) * MS_NS;
}

static uint64_t pass_ns(void *arg, int n_rows)
{
    struct sim *s = arg;
    (void)n_rows;
    return jittered_ns(s, s->c.pass_ms);
}

static uint64_t draft_ns(void *arg, int n_texts, int n_read, int n_drafted)
{
    struct sim *s = arg;
    (void)n_texts;
    return jittered_ns(s, s->c.draft_ms * n_drafted + s->c.read_ms * n_read);
}

/* ---- the coordinator's side: what it sends, checked and noted ---- */

/* Ids as text, with a | before the first wanted one. */
static void check_part(struct sim *s, const struct part *p, char *fed)
{
    char *to = fed;
    bool wanted = false;
    if (p->n_rows < 1 || p->n_rows > (size_t)s->c.max_rows) blame(s, "a part of too many rows, or of none");
    for (size_t i = 0; i < p->n_rows; i++) {
        const struct row *row = &p->rows[i];
        if (wanted && !row->wanted) blame(s, "wanted rows do not stay together");
        if (!wanted && row->wanted) *to++ = '|';
        wanted = row->wanted;
        *to++ = (char)row->id;
        if (!wanted) continue;
        bool last = i + 1 == p->n_rows;
        if (row->n_judge + last < 1 || row->n_judge > 1) blame(s, "every wanted row but the last judges one id");
        if (!last && row->judge[0] != p->rows[i + 1].id) blame(s, "a row judges another id than is fed next");
    }
    *to = 0;
}

static void note_post(struct sim *s, const struct action *a)
{
    char text[ROWS + 2];
    const struct message *m = &a->message;
    int i_seq = a->seq->request.index;
    if (m->tag == TAG_OPEN && a->peer < VERIFIER) note(s, "open    seq %d: slot %u", i_seq, m->open.slot);
    if (m->tag == TAG_OPEN && a->peer >= VERIFIER)
        note(s, "open    seq %d: %u by itself%s%s", i_seq, m->open.self_max, m->open.draft_max ? ", drafts too" : "",
             m->open.while_right ? ", while they are right" : "");
    if (m->tag == TAG_ACK) note(s, "ack     seq %d: %u", i_seq, m->ack.at);
    if (m->tag == TAG_CUT) note(s, a->peer < VERIFIER ? "stop    seq %d" : "cut     seq %d", i_seq);
    if (m->tag == TAG_DRAFT_ASK) {
        s->seq_of[a->peer][m->ask.slot] = i_seq;
        for (size_t i = 0; i < m->ask.n_ids; i++) text[i] = (char)m->ask.ids[i];
        text[m->ask.n_ids] = 0;
        note(s, "ask     seq %d round %u at %u: \"%s\", up to %u", i_seq, m->ask.round, m->ask.at, text, m->ask.until);
        if (m->ask.from) note(s, "        copied from slot %u", m->ask.from - 1);
    }
    if (m->tag != TAG_VERIFY) return;
    const struct part *p = &m->verify;
    check_part(s, p, text);
    note(s, "verify  seq %d round %u at %u: \"%s\"", i_seq, p->round, p->at, text);
    if (p->from) note(s, "        copied from slot %u", p->from - 1);
    s->seq_of[a->peer][p->slot] = i_seq;
    if (a->peer != VERIFIER) note(s, "        to group %d", a->peer - VERIFIER);
    if (++s->n_parts_out > s->most_parts_out) s->most_parts_out = s->n_parts_out;
    if (s->n_parts_out > s->c.n_groups * s->c.max_jobs) blame(s, "more parts unanswered than the verifier takes");
}

static void note_tokens(struct sim *s, const struct seq *q)
{
    char text[ROWS + 1], origins[ROWS + 1];
    int n = 0;
    for (int i = s->shown[q->request.index]; i < q->n_ids; i++, n++) {
        text[n] = (char)q->ids[i];
        origins[n] = "bdc"[q->origin[i]];
    }
    if (n == 0) blame(s, "tokens are shown, and there are none");
    text[n] = origins[n] = 0;
    s->shown[q->request.index] = q->n_ids;
    note(s, "emit    seq %d: \"%s\" %s", q->request.index, text, origins);
}

static void note_verdict(struct sim *s, int i_seq, const struct verdict *v)
{
    static const char *const why[] = {"ok", "stale", "gap", "full", "failed", "late"};
    char text[ROWS + 1], drafts[DRAFTS_MOST + 1];
    for (size_t i = 0; i < v->n_rows; i++) text[i] = (char)v->rows[i].next;
    text[v->n_rows] = 0;
    for (size_t i = 0; i < v->n_drafts; i++) drafts[i] = (char)v->drafts[i];
    drafts[v->n_drafts] = 0;
    s->n_parts_out -= v->job != 0;
    if (v->n_drafts)
        note(s, "self    seq %d round %u at %u: \"%s\", drafted \"%s\"", i_seq, v->round, v->at, text, drafts);
    else if (v->status == VERDICT_OK)
        note(s, "%s seq %d round %u at %u: \"%s\"", v->job ? "verdict" : "self   ", i_seq, v->round, v->at, text);
    else
        note(s, "verdict seq %d round %u at %u: %s, holds %u", i_seq, v->round, v->at, why[v->status], v->held);
}

static void note_draft(struct sim *s, int i_seq, const struct draft *d)
{
    static const char *const why[] = {"window", "low",  "end id", "nothing", "stale",
                                      "gap",    "full", "doubt",  "failed",  "more"};
    char text[ROWS + 1];
    for (size_t i = 0; i < d->n_rows; i++) text[i] = (char)d->rows[i].id;
    text[d->n_rows] = 0;
    note(s, "draft   seq %d round %u at %u: \"%s\", %s", i_seq, d->round, d->at, text, why[d->end]);
}

static void show(struct sim *s, const struct action *a)
{
    const struct job_watch *watch = s->c.watch;
    struct err err = {0};
    if (a->kind == ACTION_POST || !watch) return;
    if ((a->kind == ACTION_TOKENS ? watch->tokens : watch->done)(watch->arg, a->seq, &err) != OK) blame(s, err.text);
}

static void on_action(void *arg, const struct action *a)
{
    static const char *const ends[] = {"running", "end id", "length", "context", "aborted", "stop", "failed"};
    struct sim *s = arg;
    if (a->kind == ACTION_TOKENS) note_tokens(s, a->seq);
    if (a->kind == ACTION_DONE) note(s, "done    seq %d: %s", a->seq->request.index, ends[a->seq->end]);
    if (a->kind == ACTION_POST) note_post(s, a);
    show(s, a);
}

static void on_departure(void *arg, int from, int to, const struct message *m)
{
    struct sim *s = arg;
    struct answers *a = &s->answers[from];
    if (to != PEER_COORDINATOR) return;
    if (a->n == IN_FLIGHT) blame(s, "too many messages");
    a->seqs[(a->first + a->n++) % IN_FLIGHT] = s->seq_of[from][m->tag == TAG_DRAFT ? m->draft.slot : m->verdict.slot];
}

static void on_arrival(void *arg, int from, int to, const struct message *m)
{
    struct sim *s = arg;
    struct answers *a = &s->answers[from];
    if (to != PEER_COORDINATOR) return;
    int i_seq = a->seqs[a->first++ % IN_FLIGHT];
    a->n--;
    if (m->tag == TAG_DRAFT)
        note_draft(s, i_seq, &m->draft);
    else
        note_verdict(s, i_seq, &m->verdict);
}

/* ---- what happens at a moment ---- */

static void step(struct sim *s, const struct event *event)
{
    struct err err;
    if (simulator_step(s->simulator, event, &err) != OK) blame(s, err.text);
}

static void submit(struct sim *s, int i)
{
    if (simulator_now_ns(s->simulator)) note(s, "submit  seq %d", i);
    step(s, &(struct event){.kind = EVENT_SUBMIT, .seq = &s->seqs[i]});
}

static void cancel(struct sim *s, int i)
{
    note(s, i < 0 ? "cancel  all" : "cancel  seq %d", i);
    step(s, &(struct event){.kind = EVENT_CANCEL, .seq = i < 0 ? NULL : &s->seqs[i]});
}

static void kill_drafter(struct sim *s)
{
    note(s, "fault   the drafter dies");
    step(s, &(struct event){.kind = EVENT_DRAFTER_LOST, .why = "the drafter died"});
}

static void lose_text(struct sim *s, enum sim_fault fault, int i_slot)
{
    static const char *const what[] = {"verifier forgets half", "verifier strays", "drafter forgets half",
                                       "drafter strays"};
    int peer = fault < SIM_DRAFTER_FORGETS ? VERIFIER : DRAFTER;
    struct slot *slot = &simulator_slots(s->simulator, peer)->slot[i_slot];
    note(s, "fault   slot %d: %s", i_slot, what[fault]);
    if (fault == SIM_VERIFIER_FORGETS || fault == SIM_DRAFTER_FORGETS) slot->len /= 2;
    for (int i = 0; (fault == SIM_VERIFIER_STRAYS || fault == SIM_DRAFTER_STRAYS) && i < slot->len; i++) {
        slot->ids[i] = '?';
        slot->prefix_hash[i + 1] = prefix_hash_next(slot->prefix_hash[i], '?');
    }
}

static int go_wrong(void *arg, int fault, int i, struct err *err)
{
    struct sim *s = arg;
    (void)err;
    switch (fault) {
    case SIM_SUBMIT: submit(s, i); break;
    case SIM_CANCEL: cancel(s, i); break;
    case SIM_CANCEL_ALL: cancel(s, -1); break;
    case SIM_DRAFTER_DIES: kill_drafter(s); break;
    case SIM_PART_FAILS: s->fails[VERIFIER][i] = true; break;
    case SIM_ASK_FAILS: s->fails[DRAFTER][i] = true; break;
    default: lose_text(s, (enum sim_fault)fault, i);
    }
    return OK;
}

static const char *fails(void *arg, int peer, uint32_t slot)
{
    struct sim *s = arg;
    bool now = s->fails[peer][slot];
    s->fails[peer][slot] = false;
    return now ? "block 3" : NULL;
}

void sim_fault(struct sim *s, int at_ms, enum sim_fault fault, int i)
{
    struct err err;
    if (simulator_at(s->simulator, (uint64_t)at_ms * MS_NS, fault, i, &err) != OK) blame(s, err.text);
}

void sim_run(struct sim *s)
{
    struct err err;
    for (int i = 0; i < s->n_texts; i++) {
        if (!s->later[i]) submit(s, i);
    }
    if (simulator_run(s->simulator, &err) != OK) blame(s, err.text);
    if (s->n_parts_out) blame(s, "a part was not answered exactly once");
}

/* ---- open, close, looking back ---- */

static int or_else(int n, int otherwise)
{
    return n ? n : otherwise;
}

static void fill_in(struct sim_config *c)
{
    c->n_groups = or_else(c->n_groups, 1);
    c->n_slots = or_else(c->n_slots, 1);
    c->n_ctx = or_else(c->n_ctx, 64);
    c->max_rows = or_else(c->max_rows, 16);
    c->max_jobs = or_else(c->max_jobs, 8);
    c->draft_ctx = or_else(c->draft_ctx, c->n_ctx);
    c->n_ids = or_else(c->n_ids, 256);
    c->link_ms = or_else(c->link_ms, 1);
    c->pass_ms = or_else(c->pass_ms, 10);
    c->draft_ms = or_else(c->draft_ms, 1);
}

static void open_seq(struct sim *s, int i)
{
    const struct sim_text *t = &s->texts[i];
    int32_t *ids = s->prompts[i];
    struct err err;
    int n = (int)strlen(t->prompt);
    for (int k = 0; k < n; k++) ids[k] = t->prompt[k];
    s->shown[i] = n;
    struct request r = {.index = i, .prompt = ids, .n_prompt = n, .settings = sim_settings(&s->c)};
    r.settings.n_predict = t->n_predict;
    if (seq_init(&s->seqs[i], &r, s->c.n_ctx, &err) != OK) blame(s, err.text);
}

void sim_request(struct sim *s, int i, int at_ms, int cancel_ms, const struct settings *settings)
{
    int n_predict = s->texts[i].n_predict;
    s->later[i] = at_ms > 0;
    if (at_ms) sim_fault(s, at_ms, SIM_SUBMIT, i);
    if (cancel_ms) sim_fault(s, cancel_ms, SIM_CANCEL, i);
    if (settings) s->seqs[i].request.settings = *settings;
    s->seqs[i].request.settings.n_predict = n_predict;
}

struct settings sim_settings(const struct sim_config *c)
{
    return (struct settings){.rule = c->rule,
                             .drafting = c->draft_max > 0,
                             .adaptive = c->adaptive,
                             .draft_ahead = c->draft_ahead ? c->draft_ahead : -1,
                             .draft_block = c->draft_block,
                             .draft_max = c->draft_max,
                             .draft_ctx = c->draft_ctx ? c->draft_ctx : 64,
                             .fallback = c->fallback,
                             .end_ids = end_ids,
                             .n_end_ids = !c->ignore_eos,
                             .stops = c->stops_of,
                             .n_top = 1};
}

static struct spec_config spec_config(struct sim *s)
{
    const struct sim_config *c = &s->c;
    struct spec_config spec = {.n_ctx = c->n_ctx,
                               .root = SIM_SCRIPT_ROOT,
                               .drafter = {.kind = c->suffix ? DRAFTER_SUFFIX : DRAFTER_LITTLE,
                                           .peer = DRAFTER,
                                           .n = c->n_drafters,
                                           .prior = c->prior,
                                           .shares_cores = c->shares_cores,
                                           .n_ids = c->n_ids,
                                           .n_proposed = c->n_ids},
                               .n_groups = c->n_groups,
                               .self_max = c->self_max,
                               .stops = c->stops};
    for (int i = 0; i < c->n_groups; i++)
        spec.groups[i] = (struct spec_group){.peer = VERIFIER + i,
                                             .n_slots = c->n_slots,
                                             .max_rows = c->max_rows,
                                             .max_jobs = c->max_jobs,
                                             .n_vocab = 128,
                                             .profile = &s->profile};
    return spec;
}

static struct simulator_config simulator_config(struct sim *s)
{
    const struct net_path path = {.delay_ns = (uint64_t)s->c.link_ms * MS_NS,
                                  .jitter_ns = s->c.jitter ? (uint64_t)JITTER_MS * MS_NS : 0};
    return (struct simulator_config){.spec = spec_config(s),
                                     .max_parts = s->c.shares_passes ? 0 : 1,
                                     .n_stages = s->c.n_stages,
                                     .drops_nothing = s->c.drops_nothing,
                                     .to = {path, path},
                                     .link = {.rtt_ns = (uint64_t)s->c.rtt_ms * MS_NS},
                                     .seed = s->c.jitter,
                                     .models = sim_script_models(&s->script),
                                     .costs = {pass_ns, draft_ns, s, NULL},
                                     .watch = {on_action, on_departure, on_arrival, fails, go_wrong, s}};
}

struct sim *sim_open(const struct sim_config *config, const struct sim_text *texts, int n_texts)
{
    struct sim *s = calloc(1, sizeof *s);
    struct err err;
    *s = (struct sim){.c = *config, .texts = texts, .n_texts = n_texts, .random = config->jitter};
    fill_in(&s->c);
    s->tracing = open_memstream(&s->trace, &s->n_trace);
    fflush(s->tracing);
    s->shown = calloc((size_t)n_texts, sizeof *s->shown);
    s->later = calloc((size_t)n_texts, sizeof *s->later);
    s->seqs = calloc((size_t)n_texts, sizeof *s->seqs);
    s->prompts = calloc((size_t)n_texts, sizeof *s->prompts);
    for (int i = 0; i < n_texts; i++) open_seq(s, i);
    s->script = (struct sim_script){texts, n_texts, config->rule.kind != RULE_EXACT, config->wrong_percent};
    const struct simulator_config simulator = simulator_config(s);
    if (simulator_open(&s->simulator, &simulator, &err) != OK) blame(s, err.text);
    return s;
}

/* Whatever became of the text, each of its drafted ids is counted once. */
static void check_drafted(const struct seq *q)
{
    const struct seq_stats *t = &q->stats;
    assert_int_equal(t->n_drafted, t->n_judged + t->n_late + t->n_dropped + (uint32_t)q->n_tail);
}

void sim_close(struct sim *s)
{
    for (int i = 0; i < s->n_texts; i++) {
        check_drafted(&s->seqs[i]);
        seq_free(&s->seqs[i]);
    }
    simulator_close(s->simulator);
    fclose(s->tracing);
    free(s->trace);
    free(s->shown);
    free(s->later);
    free(s->seqs);
    free(s->prompts);
    free(s);
}

const struct seq *sim_seq(const struct sim *s, int i)
{
    return &s->seqs[i];
}

const char *sim_written(struct sim *s, int i)
{
    const struct seq *q = &s->seqs[i];
    int n = seq_n_generated(q);
    for (int k = 0; k < n; k++) s->text[k] = (char)q->ids[q->n_prompt + k];
    s->text[n] = 0;
    return s->text;
}

void sim_check_counts(const struct sim *s, int i)
{
    const struct seq *q = &s->seqs[i];
    uint32_t of_drafts = 0, corrections = 0;
    for (int p = q->n_prompt; p < q->n_ids; p++) {
        of_drafts += q->origin[p] == ORIGIN_DRAFT;
        corrections += q->origin[p] == ORIGIN_CORRECTION;
    }
    assert_int_equal(q->stats.n_accepted, of_drafts);
    assert_int_equal(q->stats.n_judged, of_drafts + corrections);
    uint32_t n_drafts = 0, n_kept = 0;
    for (uint32_t n = 0; n <= DRAFTS_MOST; n++) {
        n_drafts += q->stats.n_keeping[n];
        n_kept += n * q->stats.n_keeping[n];
    }
    assert_int_equal(q->stats.n_drafts, n_drafts);
    assert_int_equal(q->stats.n_accepted, n_kept);
}

const struct draft_profile *sim_profile(const struct sim *s)
{
    return &s->profile;
}

int sim_most_parts_out(const struct sim *s)
{
    return s->most_parts_out;
}

int sim_n_drafter_rows(const struct sim *s)
{
    return (int)simulator_counts(s->simulator).n_drafter_rows;
}

void sim_transcript(const struct sim_config *config, const struct sim_text *texts, int n_texts, const char *transcript)
{
    struct sim *s = sim_open(config, texts, n_texts);
    sim_run(s);
    sim_expect(s, transcript);
    sim_close(s);
}

void sim_answer(struct spec *spec, const struct part *part, enum verdict_status status, const char *ids,
                uint64_t now_ns, struct actions *actions)
{
    static const float lp = -1;
    struct verdict_row rows[8];
    struct verdict v = {.job = part->job,
                        .slot = part->slot,
                        .round = part->round,
                        .at = part->at,
                        .prefix_hash = part->prefix_hash,
                        .status = status,
                        .rows = rows,
                        .n_rows = strlen(ids)};
    struct err err;
    for (size_t i = 0; i < v.n_rows; i++)
        rows[i] = (struct verdict_row){.next = ids[i], .lp_next = -1, .lp_judged = &lp, .n_judged = i + 1 < v.n_rows};
    const struct event e = {.kind = EVENT_VERDICT, .now_ns = now_ns, .verdict = &v};
    if (spec_step(spec, &e, actions, &err) != OK) fail_msg("%s", err.text);
}
