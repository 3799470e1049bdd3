#include "tests/lib/sim.h"

#include <setjmp.h>
#include <ctype.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/prefix_hash.h"
#include "proto/layout.h"
#include "worker/roles/lead.h"
#include "worker/roles/lookup.h"

enum { MOST_GROUPS = 3, DRAFTER = PEER_COORDINATOR + 1, VERIFIER, N_PEERS = VERIFIER + MOST_GROUPS };
enum { ARENA = 1 << 18, JITTER_MS = 20, ROWS = 256, MAX_PACKETS = 1 << 16, FAULT = -1 };
enum { ROOT = 77 };
static const int32_t end_ids[] = {'$'};

struct packet {               /* on its way; or a fault that waits for its moment */
    int ms, from, to, tag, i; /* i: the sequence; of a fault the slot or the text */
    uint64_t order;
    uint8_t *data; /* owns */
    size_t n_bytes;
};

struct fake {
    struct slots slots;
    struct lead *lead;              /* a verifier's */
    struct lookup lookup;           /* the same */
    struct token tokens[PASS_ROWS]; /* of the pass in work */
    int n_tokens;
    bool in_pass;
    int busy_until;
    int *n_fed;       /* the drafter's, of each slot: ids whose KV rows are good */
    bool fails[ROWS]; /* the slot's next part or ask */
};

struct sim {
    struct sim_config c;
    const struct sim_text *texts;
    int n_texts;
    struct seq *seqs;
    int32_t (*prompts)[ROWS]; /* [n_texts] owns */
    struct spec *spec;
    struct draft_profile profile;
    struct fake fakes[N_PEERS];
    int seq_of[N_PEERS][ROWS]; /* the sequence whose messages a slot's are */
    int *shown;                /* [n_texts] ids that were noted */
    bool *later;               /* [n_texts] submitted at its moment */

    int now;
    struct packet *packets; /* [MAX_PACKETS] owns */
    size_t n_packets;
    uint64_t n_posted, random;
    int channel_ms[N_PEERS][N_PEERS]; /* when the last message from one to another arrives: none overtakes it */

    bool drafter_dead;
    int n_parts_out, most_parts_out, n_drafter_rows;
    struct wire_arena in, out;
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
    fprintf(s->tracing, "[%4d] ", s->now);
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

/* ---- what the models write ---- */

static bool by_place(const struct sim *s)
{
    return s->c.rule.kind != RULE_EXACT;
}

/* The script that a text is on, by its last ids: a drafter has those only. NULL: none. */
static const struct sim_text *script_of(const struct sim *s, const int32_t *ids, int n, int *i_next)
{
    for (int t = 0; t < s->n_texts; t++) {
        *i_next = n - (int)strlen(s->texts[t].prompt);
        if (by_place(s)) return *i_next >= 0 && *i_next < (int)strlen(s->texts[t].big) ? &s->texts[t] : NULL;
        char all[1024];
        int n_all = snprintf(all, sizeof all, "%s%s", s->texts[t].prompt, s->texts[t].big), from = 0;
        for (int end = n; end < n_all; end++, from++) {
            int i = 0;
            while (i < n && all[from + i] == ids[i]) i++;
            *i_next = end - (int)strlen(s->texts[t].prompt);
            if (i == n && *i_next >= 0) return &s->texts[t];
        }
    }
    return NULL;
}

static uint64_t prefix_hash_of(const int32_t *ids, int n)
{
    uint64_t h = ROOT;
    for (int i = 0; i < n; i++) h = prefix_hash_next(h, ids[i]);
    return h;
}

static int32_t big_next(const struct sim *s, const int32_t *ids, int n)
{
    int i;
    const struct sim_text *t = script_of(s, ids, n, &i);
    return t ? t->big[i] : 'a' + (int32_t)(prefix_hash_of(ids, n) % 26);
}

static int32_t little_next(const struct sim *s, const int32_t *ids, int n)
{
    int i;
    const struct sim_text *t = script_of(s, ids, n, &i);
    if (t) return t->little && i < (int)strlen(t->little) ? t->little[i] : t->big[i];
    uint64_t h = prefix_hash_of(ids, n);
    bool wrong = prefix_hash_mix(h + 1) % 100 < (uint64_t)s->c.wrong_percent;
    return 'a' + (int32_t)((h + wrong) % 26);
}

/* Some number that depends on the ids before and the id alone. */
static float lp_of(const struct sim *s, const int32_t *ids, int n, int32_t id)
{
    if (by_place(s)) return isupper(id) ? -5 : isdigit(id) ? -4 : -1;
    return -(float)(prefix_hash_next(prefix_hash_of(ids, n), id) % 1000) / 128;
}

/* ---- messages ---- */

static int jitter(struct sim *s)
{
    if (!s->c.jitter) return 0;
    s->random = prefix_hash_mix(s->random + 1);
    return (int)(s->random % (JITTER_MS + 1));
}

static void send_packet(struct sim *s, int from, int to, int leaves_ms, int i_seq, const struct message *m)
{
    const uint8_t *data;
    struct err err;
    size_t n_bytes;
    if (wire_encode(&s->out, m, &data, &n_bytes, &err) != OK) blame(s, err.text);
    int *last = &s->channel_ms[from][to], arrives = leaves_ms + s->c.link_ms + jitter(s);
    *last = arrives > *last ? arrives : *last;
    if (s->n_packets == MAX_PACKETS) blame(s, "too many messages");
    struct packet *l = &s->packets[s->n_packets++];
    *l = (struct packet){*last, from, to, (int)m->tag, i_seq, s->n_posted++, malloc(n_bytes + 1), n_bytes};
    if (n_bytes) memcpy(l->data, data, n_bytes);
}

void sim_fault(struct sim *s, int at_ms, enum sim_fault fault, int i)
{
    s->packets[s->n_packets++] = (struct packet){at_ms, FAULT, FAULT, (int)fault, i, s->n_posted++, NULL, 0};
}

static struct packet take_first(struct sim *s)
{
    size_t first = 0;
    for (size_t i = 1; i < s->n_packets; i++) {
        const struct packet *a = &s->packets[i], *b = &s->packets[first];
        if (a->ms < b->ms || (a->ms == b->ms && a->order < b->order)) first = i;
    }
    struct packet l = s->packets[first];
    s->packets[first] = s->packets[--s->n_packets];
    return l;
}

/* A peer works on one thing after the other. Returns when this one is done. */
static int work(struct sim *s, int peer, int ms)
{
    struct fake *p = &s->fakes[peer];
    int start = p->busy_until > s->now ? p->busy_until : s->now;
    return p->busy_until = start + ms + jitter(s);
}

/* ---- the verifier: its leader, and what an engine would say ---- */

/* Big's answers to a part that is in its slot. */
static struct verdict answer(struct sim *s, const struct slots *slots, const struct part *part,
                             struct verdict_row rows[ROWS], struct top tops[ROWS], float judged[ROWS])
{
    struct verdict v = {.rows = rows, .computed_us = (uint32_t)s->c.pass_ms * 1000};
    const int32_t *all = slots->slot[part->slot].ids;
    for (size_t i = 0; i < part->n_rows; i++) {
        int n = (int)(part->at + i) + 1;
        int32_t next = big_next(s, all, n);
        const struct row *row = &part->rows[i];
        if (!row->wanted) continue;
        float lp = lp_of(s, all, n, next);
        tops[v.n_rows] = (struct top){next, lp};
        if (row->n_judge) judged[v.n_rows] = lp_of(s, all, n, row->judge[0]);
        rows[v.n_rows] = (struct verdict_row){next, lp, &judged[v.n_rows], row->n_judge, &tops[v.n_rows], row->n_top};
        v.n_rows++;
    }
    return v;
}

static void compute_part(struct sim *s, int peer, const struct part *part, int done_ms)
{
    struct fake *p = &s->fakes[peer];
    struct verdict_row rows[ROWS];
    struct top tops[ROWS];
    float judged[ROWS];
    struct verdict v = {.status = VERDICT_FAILED, .error = "block 3"};
    if (p->fails[part->slot])
        slots_fail(&p->slots, part->slot, part->at, v.error);
    else
        v = answer(s, &p->slots, part, rows, tops, judged);
    p->fails[part->slot] = false;
    struct token *token = &p->tokens[p->n_tokens];
    if (part->token && v.status == VERDICT_OK && token_of(part, v.rows, token)) {
        token->prefix_hash = p->slots.slot[part->slot].prefix_hash[token->at];
        p->n_tokens++;
    }
    int32_t drafts[DRAFTS_MOST];
    if (part->job == 0 && v.status == VERDICT_OK) {
        v.drafts = drafts;
        v.n_drafts = drafts_of(part, drafts);
    }
    v.job = part->job;
    v.slot = part->slot;
    v.round = part->round;
    v.at = part->at;
    v.prefix_hash = part->prefix_hash;
    v.held = slots_held(&p->slots, part->slot);
    send_packet(s, peer, PEER_COORDINATOR, done_ms, s->seq_of[peer][part->slot],
                &(struct message){.tag = TAG_VERDICT, .verdict = v});
}

/* The next pass, where none is in work. */
static void lead_pass(struct sim *s, int peer)
{
    struct fake *p = &s->fakes[peer];
    if (p->in_pass) return;
    struct lead_step step = lead_next(p->lead, (uint64_t)s->now * 1000);
    for (size_t i = 0; i < step.n_refused; i++)
        send_packet(s, peer, PEER_COORDINATOR, s->now, s->seq_of[peer][step.refused[i].slot],
                    &(struct message){.tag = TAG_VERDICT, .verdict = step.refused[i]});
    if (!step.n_parts) return;
    int done_ms = work(s, peer, s->c.pass_ms);
    p->in_pass = true;
    for (size_t i = 0; i < step.n_parts; i++) compute_part(s, peer, &step.parts[i], done_ms);
    sim_fault(s, done_ms, SIM_PASS_DONE, peer);
}

static void end_pass(struct sim *s, int peer)
{
    struct fake *p = &s->fakes[peer];
    struct err err;
    for (int i = 0; i < p->n_tokens; i++)
        if (lead_on_token(p->lead, &p->tokens[i], (uint64_t)s->now * 1000, &err) != OK) blame(s, err.text);
    p->n_tokens = 0;
    p->in_pass = false;
    lead_pass(s, peer);
}

static void to_leader(struct sim *s, int peer, const struct message *m)
{
    struct lead *lead = s->fakes[peer].lead;
    struct err err;
    int rc = OK;
    switch (m->tag) {
    case TAG_VERIFY: rc = lead_on_verify(lead, &m->verify, (uint64_t)s->now * 1000, &err); break;
    case TAG_OPEN: rc = lead_on_open(lead, &m->open, &err); break;
    case TAG_ACK: rc = lead_on_ack(lead, &m->ack, &err); break;
    default: rc = lead_on_cut(lead, &m->cut, &err);
    }
    if (rc != OK) blame(s, err.text);
    lead_pass(s, peer);
}

/* An ask for n-grams takes no time beside the passes. */
static void look_up(struct sim *s, int peer, const struct draft_ask *ask)
{
    struct message m = {.tag = TAG_DRAFT};
    struct err err;
    if (lookup_draft(&s->fakes[peer].lookup, ask, &m.draft, &err) != OK) blame(s, err.text);
    send_packet(s, peer, PEER_COORDINATOR, s->now, s->seq_of[peer][ask->slot], &m);
}

/* ---- the fake drafter ---- */

static void answer_ask(struct sim *s, const struct draft_ask *ask)
{
    static const enum draft_end ends[] = {
        [VERDICT_STALE] = DRAFT_STALE, [VERDICT_GAP] = DRAFT_GAP, [VERDICT_FULL] = DRAFT_FULL};
    struct fake *p = &s->fakes[DRAFTER];
    struct slot *slot = &p->slots.slot[ask->slot];
    struct draft d = {
        .slot = ask->slot, .round = ask->round, .at = ask->at, .prefix_hash = ask->prefix_hash, .end = DRAFT_WINDOW};
    struct draft_row rows[ROWS];
    enum verdict_status status = slots_check(&p->slots, ask->slot, ask->at, ask->prefix_hash, ask->n_ids);
    if (status == VERDICT_OK && p->fails[ask->slot]) {
        d.end = DRAFT_FAILED;
        p->fails[ask->slot] = false;
    } else if (status == VERDICT_OK) {
        int *n_fed = &p->n_fed[ask->slot], kept = slots_apply(&p->slots, ask->slot, ask->at, ask->ids, ask->n_ids);
        kept += (int)ask->at;
        if (kept < *n_fed) *n_fed = kept;
        float chance = 1;
        d.at = (uint32_t)slot->len;
        d.prefix_hash = slot->prefix_hash[slot->len];
        while (d.end == DRAFT_WINDOW && (uint32_t)slot->len < ask->until) {
            s->n_drafter_rows += *n_fed < slot->len ? slot->len - *n_fed : 1;
            int32_t id = little_next(s, slot->ids, slot->len);
            *n_fed = slot->len;
            float sure = id == '?' ? 0.25f : 0.75f;
            if (sure < ask->p_min) {
                d.end = DRAFT_LOW;
                break;
            }
            rows[d.n_rows++] = (struct draft_row){id, sure};
            slots_apply(&p->slots, ask->slot, (uint32_t)slot->len, &id, 1);
            if ((chance *= sure) < ask->p_joint_min) d.end = DRAFT_JOINT_LOW;
            if (id == '$' && !s->c.ignore_eos) d.end = DRAFT_EOS;
        }
        d.rows = rows;
    } else {
        d.end = ends[status];
    }
    d.held = slots_held(&p->slots, ask->slot);
    int ms = s->c.draft_ms * (int)d.n_rows + s->c.read_ms * (int)ask->n_ids;
    d.us = (uint32_t)ms * 1000;
    send_packet(s, DRAFTER, PEER_COORDINATOR, work(s, DRAFTER, ms), s->seq_of[DRAFTER][ask->slot],
                &(struct message){.tag = TAG_DRAFT, .draft = d});
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
        if (row->n_judge != !last) blame(s, "every wanted row but the last judges one id");
        if (!last && row->judge[0] != p->rows[i + 1].id) blame(s, "a row judges another id than is fed next");
    }
    *to = 0;
}

static void note_post(struct sim *s, const struct action *a)
{
    char text[ROWS + 2];
    const struct message *m = &a->message;
    int i_seq = a->seq->request.index;
    if (m->tag == TAG_OPEN && a->peer == DRAFTER) note(s, "open    seq %d: slot %u", i_seq, m->open.slot);
    if (m->tag == TAG_OPEN && a->peer != DRAFTER)
        note(s, "open    seq %d: %u by itself%s%s", i_seq, m->open.self_max, m->open.draft_max ? ", drafts too" : "",
             m->open.while_right ? ", while they are right" : "");
    if (m->tag == TAG_ACK) note(s, "ack     seq %d: %u", i_seq, m->ack.at);
    if (m->tag == TAG_CUT) note(s, "cut     seq %d", i_seq);
    if (m->tag == TAG_DRAFT_ASK) {
        s->seq_of[a->peer][m->ask.slot] = i_seq;
        for (size_t i = 0; i < m->ask.n_ids; i++) text[i] = (char)m->ask.ids[i];
        text[m->ask.n_ids] = 0;
        note(s, "ask     seq %d round %u at %u: \"%s\", up to %u", i_seq, m->ask.round, m->ask.at, text, m->ask.until);
    }
    if (m->tag != TAG_VERIFY) return;
    const struct part *p = &m->verify;
    check_part(s, p, text);
    note(s, "verify  seq %d round %u at %u: \"%s\"", i_seq, p->round, p->at, text);
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
    text[n] = origins[n] = 0;
    s->shown[q->request.index] = q->n_ids;
    note(s, "emit    seq %d: \"%s\" %s", q->request.index, text, origins);
}

static void note_verdict(struct sim *s, int i_seq, const struct verdict *v)
{
    static const char *const why[] = {"ok", "stale", "gap", "full", "failed"};
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
    static const char *const why[] = {"window", "low", "end id", "nothing", "stale", "gap", "full", "doubt", "failed"};
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

static void step(struct sim *s, const struct event *event)
{
    static const char *const ends[] = {"running", "end id", "length", "context", "aborted", "stop", "failed"};
    struct actions actions;
    struct err err = {0};
    if (spec_step(s->spec, event, &actions, &err) != OK) blame(s, err.text);
    for (size_t i = 0; i < actions.n; i++) {
        const struct action *a = &actions.list[i];
        if (a->kind == ACTION_TOKENS) note_tokens(s, a->seq);
        if (a->kind == ACTION_DONE) note(s, "done    seq %d: %s", a->seq->request.index, ends[a->seq->end]);
        show(s, a);
        if (a->kind != ACTION_POST) continue;
        note_post(s, a);
        send_packet(s, PEER_COORDINATOR, a->peer, s->now, a->seq->request.index, &a->message);
    }
}

static struct event event(const struct sim *s, enum event_kind kind)
{
    return (struct event){.kind = kind, .now_ns = (uint64_t)s->now * 1000000};
}

static void to_coordinator(struct sim *s, int from, int i_seq, const struct message *m)
{
    struct event e = event(s, m->tag == TAG_DRAFT ? EVENT_DRAFT : EVENT_VERDICT);
    e.group = from - VERIFIER;
    if (m->tag == TAG_DRAFT) {
        note_draft(s, i_seq, &m->draft);
        e.draft = &m->draft;
    } else {
        note_verdict(s, i_seq, &m->verdict);
        e.verdict = &m->verdict;
    }
    step(s, &e);
}

static void submit(struct sim *s, int i)
{
    struct event e = event(s, EVENT_SUBMIT);
    e.seq = &s->seqs[i];
    if (s->now) note(s, "submit  seq %d", i);
    step(s, &e);
}

static void cancel(struct sim *s, int i)
{
    struct event e = event(s, EVENT_CANCEL);
    e.seq = i < 0 ? NULL : &s->seqs[i];
    note(s, i < 0 ? "cancel  all" : "cancel  seq %d", i);
    step(s, &e);
}

static void kill_drafter(struct sim *s)
{
    struct event e = event(s, EVENT_DRAFTER_LOST);
    e.why = "the drafter died";
    s->drafter_dead = true;
    note(s, "fault   the drafter dies");
    step(s, &e);
}

static void lose_text(struct sim *s, enum sim_fault fault, int i_slot)
{
    static const char *const what[] = {"verifier forgets half", "verifier strays", "drafter forgets half",
                                       "drafter strays"};
    struct fake *p = &s->fakes[fault < SIM_DRAFTER_FORGETS ? VERIFIER : DRAFTER];
    struct slot *slot = &p->slots.slot[i_slot];
    note(s, "fault   slot %d: %s", i_slot, what[fault]);
    p->n_fed[i_slot] = 0;
    if (fault == SIM_VERIFIER_FORGETS || fault == SIM_DRAFTER_FORGETS) slot->len /= 2;
    for (int i = 0; (fault == SIM_VERIFIER_STRAYS || fault == SIM_DRAFTER_STRAYS) && i < slot->len; i++) {
        slot->ids[i] = '?';
        slot->prefix_hash[i + 1] = prefix_hash_next(slot->prefix_hash[i], '?');
    }
}

static void go_wrong(struct sim *s, enum sim_fault fault, int i)
{
    switch (fault) {
    case SIM_SUBMIT: submit(s, i); break;
    case SIM_CANCEL: cancel(s, i); break;
    case SIM_CANCEL_ALL: cancel(s, -1); break;
    case SIM_DRAFTER_DIES: kill_drafter(s); break;
    case SIM_PASS_DONE: end_pass(s, i); break;
    case SIM_PART_FAILS: s->fakes[VERIFIER].fails[i] = true; break;
    case SIM_ASK_FAILS: s->fakes[DRAFTER].fails[i] = true; break;
    default: lose_text(s, fault, i);
    }
}

static void deliver(struct sim *s, const struct packet *l)
{
    struct message m;
    struct err err;
    if (l->to == FAULT) {
        go_wrong(s, (enum sim_fault)l->tag, l->i);
        return;
    }
    if (wire_decode(&s->in, l->tag, l->data, l->n_bytes, &m, &err) != OK) blame(s, err.text);
    switch (m.tag) {
    case TAG_VERIFY:
    case TAG_ACK:
    case TAG_CUT: to_leader(s, l->to, &m); break;
    case TAG_DRAFT_ASK:
        if (l->to != DRAFTER) look_up(s, l->to, &m.ask);
        if (l->to == DRAFTER && !s->drafter_dead) answer_ask(s, &m.ask);
        break;
    case TAG_OPEN:
        if (l->to != DRAFTER) to_leader(s, l->to, &m);
        break;
    default:
        if (l->from != DRAFTER || !s->drafter_dead) to_coordinator(s, l->from, l->i, &m);
    }
}

void sim_run(struct sim *s)
{
    for (int i = 0; i < s->n_texts; i++) {
        if (!s->later[i]) submit(s, i);
    }
    while (s->n_packets) {
        struct packet l = take_first(s);
        s->now = l.ms;
        deliver(s, &l);
        free(l.data);
    }
    if (!spec_idle(s->spec)) blame(s, "nothing moves, and not every text is done");
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
                               .root = ROOT,
                               .drafter = {.kind = c->ngram ? DRAFTER_NGRAM : DRAFTER_LITTLE,
                                           .peer = DRAFTER,
                                           .prior = c->prior,
                                           .profile = &s->profile,
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
                                             .n_vocab = 128};
    return spec;
}

struct sim *sim_open(const struct sim_config *config, const struct sim_text *texts, int n_texts)
{
    struct sim *s = calloc(1, sizeof *s);
    struct err err;
    *s = (struct sim){.c = *config, .texts = texts, .n_texts = n_texts, .random = config->jitter};
    fill_in(&s->c);
    const struct sim_config *c = &s->c;
    s->tracing = open_memstream(&s->trace, &s->n_trace);
    fflush(s->tracing);
    s->packets = calloc(MAX_PACKETS, sizeof *s->packets);
    s->shown = calloc((size_t)n_texts, sizeof *s->shown);
    s->later = calloc((size_t)n_texts, sizeof *s->later);
    s->seqs = calloc((size_t)n_texts, sizeof *s->seqs);
    s->prompts = calloc((size_t)n_texts, sizeof *s->prompts);
    for (int i = 0; i < n_texts; i++) open_seq(s, i);
    for (int p = DRAFTER; p < VERIFIER + c->n_groups; p++) {
        int n_slots = p == DRAFTER ? c->n_groups * c->n_slots : c->n_slots;
        s->fakes[p].n_fed = calloc((size_t)n_slots, sizeof(int));
        if (slots_init(&s->fakes[p].slots, n_slots, c->n_ctx, ROOT, &err) != OK) blame(s, err.text);
        const struct lead_config lead = {
            .slots = &s->fakes[p].slots, .max_rows = c->max_rows, .max_parts = 1, .n_vocab = 256};
        if (p == DRAFTER) continue;
        if (lead_open(&s->fakes[p].lead, &lead, &err) != OK) blame(s, err.text);
        if (lookup_init(&s->fakes[p].lookup, n_slots, c->n_ctx, ROOT, 256, &err) != OK) blame(s, err.text);
    }
    struct spec_config spec = spec_config(s);
    int rc = wire_arena_init(&s->in, ARENA, &err);
    if (rc == OK) rc = wire_arena_init(&s->out, ARENA, &err);
    if (rc == OK) rc = spec_open(&s->spec, &spec, &err);
    if (rc != OK) blame(s, err.text);
    for (int i = 0; i < c->n_groups; i++) spec_set_rtt(s->spec, i, (uint64_t)c->rtt_ms * 1000000);
    return s;
}

void sim_close(struct sim *s)
{
    for (int i = 0; i < s->n_texts; i++) seq_free(&s->seqs[i]);
    for (int p = 0; p < N_PEERS; p++) {
        slots_free(&s->fakes[p].slots);
        lead_close(s->fakes[p].lead);
        lookup_free(&s->fakes[p].lookup);
        free(s->fakes[p].n_fed);
    }
    spec_close(s->spec);
    wire_arena_free(&s->in);
    wire_arena_free(&s->out);
    fclose(s->tracing);
    free(s->trace);
    free(s->packets);
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
    return s->n_drafter_rows;
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
