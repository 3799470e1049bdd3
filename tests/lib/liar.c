#include "tests/lib/liar.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 1 << 20 };

const char *const lie_values[N_LIES] = {"0", "-1", "2^31", "NaN"};

const struct lie lies[] = {
    {TAG_HELLO, "version", "555-"},
    {TAG_HELLO, "cores", "555-"},
    {TAG_HELLO, "peer", "555-"},
    {TAG_HELLO, "model", "...-"}, /* of one shard nobody has another to compare */
    {TAG_HELLO, "vocab", "333-"},
    {TAG_HELLO, "plan", "...-"},
    {TAG_HELLO, "arithmetic", "...-"},
    {TAG_HELLO, "selftest", "...-"},
    {TAG_HELLO, "weights_bytes", "55.-"}, /* what it loads is more than nothing */
    {TAG_HELLO, "body_bytes", ".5.-"},
    {TAG_HELLO, "head_bytes", ".5.-"},
    {TAG_HELLO, "kv_position_bytes", ".55-"},
    {TAG_HELLO, "memory_bytes", "4..-"},
    {TAG_HELLO, "n_vocab", "555-"},
    {TAG_HELLO, "n_ctx_max", ".55-"},
    {TAG_HELLO, "max_rows", "555-"},
    {TAG_HELLO, "max_jobs", "555-"},
    {TAG_HELLO, "threads", "555-"},
    {TAG_HELLO, "read_bytes_per_s", ".5.-"},
    {TAG_HELLO, "entry_from", ".55-"},
    {TAG_HELLO, "entry_to", ".55-"},
    {TAG_HELLO, "n_heads", ".55-"},
    {TAG_HELLO, "gather_bytes", ".5.-"},
    {TAG_HELLO, "gather_float_bytes", ".5.-"},
    {TAG_HELLO, "device_bytes", ".5.-"},
    {TAG_LOADING, "n_bytes", ".55-"},
    {TAG_READY, "epoch", "555-"},
    {TAG_PONG, "sent_ns", "...-"}, /* a number of milliseconds in --stats, no more */
    {TAG_PONG, "n_passes", "...-"},
    {TAG_PONG, "block_us", "...-"},
    {TAG_PONG, "waits_for", ".55-"},
    {TAG_PONG, "misses", ".55-"},
    {TAG_PONG, "busy_us", "...-"}, /* counts of /metrics */
    {TAG_PONG, "ready_us", "...-"},
    {TAG_PONG, "n_trials", "...-"},
    {TAG_PONG, "n_dropped", "...-"},
    {TAG_PONG, "", ".---"},
    {TAG_VERDICT, "job", "555-"},
    {TAG_VERDICT, "slot", ".55-"},
    {TAG_VERDICT, "round", "555-"},
    {TAG_VERDICT, "at", "555-"},
    {TAG_VERDICT, "h", "555-"},
    {TAG_VERDICT, "held", "...-"},
    {TAG_VERDICT, "queued_us", "...-"},
    {TAG_VERDICT, "computed_us", "...-"},
    {TAG_VERDICT, "pass_rows", "...-"},
    {TAG_VERDICT, "drafted_us", "...-"},
    {TAG_VERDICT, "next", "?55-"},
    {TAG_VERDICT, "lp_next", "..55"},
    {TAG_VERDICT, "lp_judged", "..55"},
    {TAG_VERDICT, "n_judged", "5---"},
    {TAG_VERDICT, "top_id", ".55-"},
    {TAG_VERDICT, "top_lp", "..55"},
    {TAG_VERDICT, "n_top", "5---"},
    {TAG_VERDICT, "n_rows", "5---"},
    {TAG_VERDICT, "status", "555-"}, /* refused: a gap, full, stale */
    {TAG_VERDICT, "failed", "3553"}, /* well; without a cause; with rows; with a cause that is no line */
    {TAG_VERDICT, "error", "5---"},  /* of what did not fail */
    {TAG_VERDICT, "drafts", "5---"}, /* as if the leader had drafted what it was asked for */
    {TAG_DRAFT, "slot", ".55-"},
    {TAG_DRAFT, "round", "555-"},
    {TAG_DRAFT, "at", "555-"},
    {TAG_DRAFT, "h", "555-"},
    {TAG_DRAFT, "held", "...-"},
    {TAG_DRAFT, "us", "...-"},
    {TAG_DRAFT, "id", ".5.-"}, /* ids that big does not know end a draft */
    {TAG_DRAFT, "p_top", ".555"},
    {TAG_DRAFT, "n_rows", ".---"},
    {TAG_DRAFT, "failed", "..5-"}, /* well; as if nothing were held; with rows */
    {TAG_FAIL, "code", "555-"},    /* in place of Hello */
    {TAG_HELLO, "", "5---"},       /* "": the message comes twice */
    {TAG_LOADING, "", ".---"},
    {TAG_READY, "", "5---"},
    {TAG_VERDICT, "", "5---"},
    {TAG_DRAFT, "", "5---"},
    {TAG_PASS, "", "5---"},
    {TAG_PASS, "pass", "555-"},
    {TAG_PASS, "slot", ".55-"},
    {TAG_PASS, "job", "...-"}, /* nothing is answered by who hears it */
    {TAG_PASS, "round", "...-"},
    {TAG_PASS, "at", "555-"},
    {TAG_PASS, "h", "555-"},
    {TAG_PASS, "id", "555-"},
    {TAG_PASS, "from", ".55-"},
    {TAG_PASS, "error", "55--"}, /* with its hidden rows; without */
    {TAG_PASS, "queued_us", "...-"},
    {TAG_PASS, "computed_us", "...-"},
    {TAG_PASS, "draft", "5---"}, /* there is no plan for one */
    {TAG_PASS, "drafted_us", "...-"},
    {TAG_PASS, "n_tokens", "...-"},
    {TAG_PASS, "draft_plan", ".55-"},
    {TAG_PASS, "dropped", "55--"}, /* likewise; in a first stage no part is */
    {TAG_PASS, "hidden", "???3"},  /* NaN is named by who computes with it */
    {TAG_PASS, "n_hidden", "5---"},
    {TAG_TOKEN, "slot", ".55-"}, /* of the last of two stages to the first */
    {TAG_TOKEN, "id", "555-"},
    {TAG_TOKEN, "number", "...-"},
    {TAG_TOKEN, "h", "...-"},
};
const size_t n_lies = sizeof lies / sizeof *lies;

const struct lie *lie_find(const char *message, const char *field)
{
    for (size_t i = 0; i < n_lies; i++)
        if (!strcmp(wire_tags[lies[i].tag].name, message) && !strcmp(lies[i].field, field)) return &lies[i];
    return NULL;
}

int lie_peer(const struct lie *l, const struct layout *layout)
{
    if (l->tag == TAG_TOKEN) return group_last(layout_verifier(layout, 0));
    return group_leader(l->tag == TAG_DRAFT ? layout_drafter(layout, 0) : layout_verifier(layout, 0));
}

/* ---- the change ---- */

static uint64_t whole(int i_value, int n_bits)
{
    uint64_t greatest = n_bits == 31 ? INT_MAX : 1ull << 31;
    return i_value == 0 ? 0 : i_value == 1 ? UINT64_MAX : greatest;
}

static float number(int i_value)
{
    return i_value == 0 ? 0 : i_value == 1 ? -1 : i_value == 2 ? 0x1p31f : NAN;
}

/* `to` is in the arena that the message was decoded into. */
#define SAY(l, i, name, to)                                                                                            \
    if (!strcmp((l)->field, name)) put(to, (i), _Generic(*(to), uint64_t : 64, uint32_t : 32, int32_t : 31, float : 0))

static void put(const void *to, int i_value, int n_bits)
{
    uint64_t n = whole(i_value, n_bits);
    float x = number(i_value);
    const void *from = n_bits ? (const void *)&n : (const void *)&x;
    memcpy((void *)(uintptr_t)to, from, n_bits == 64 ? 8 : 4); /* little-endian, as wire.c asserts */
}

static void tell_hello(const struct lie *l, int i, struct hello *h)
{
    SAY(l, i, "version", &h->version);
    SAY(l, i, "cores", &h->cores);
    SAY(l, i, "peer", &h->peer);
    SAY(l, i, "model", &h->model);
    SAY(l, i, "vocab", &h->vocab);
    SAY(l, i, "plan", &h->plan);
    SAY(l, i, "arithmetic", &h->arithmetic);
    SAY(l, i, "selftest", &h->selftest);
    SAY(l, i, "weights_bytes", &h->weights_bytes);
    SAY(l, i, "body_bytes", &h->body_bytes);
    SAY(l, i, "head_bytes", &h->head_bytes);
    SAY(l, i, "kv_position_bytes", &h->kv_position_bytes);
    SAY(l, i, "memory_bytes", &h->memory_bytes);
    SAY(l, i, "n_vocab", &h->n_vocab);
    SAY(l, i, "n_ctx_max", &h->n_ctx_max);
    SAY(l, i, "max_rows", &h->max_rows);
    SAY(l, i, "max_jobs", &h->max_jobs);
    SAY(l, i, "threads", &h->threads);
    SAY(l, i, "read_bytes_per_s", &h->read_bytes_per_s);
    SAY(l, i, "entry_from", &h->entry_from);
    SAY(l, i, "entry_to", &h->entry_to);
    SAY(l, i, "n_heads", &h->n_heads);
    SAY(l, i, "gather_bytes", &h->gather_bytes);
    SAY(l, i, "gather_float_bytes", &h->gather_float_bytes);
    SAY(l, i, "device_bytes", &h->device_bytes);
}

static void tell_verdict(const struct lie *l, int i, struct verdict *v)
{
    SAY(l, i, "job", &v->job);
    SAY(l, i, "slot", &v->slot);
    SAY(l, i, "round", &v->round);
    SAY(l, i, "at", &v->at);
    SAY(l, i, "h", &v->prefix_hash);
    SAY(l, i, "held", &v->held);
    SAY(l, i, "queued_us", &v->queued_us);
    SAY(l, i, "computed_us", &v->computed_us);
    SAY(l, i, "pass_rows", &v->pass_rows);
    SAY(l, i, "drafted_us", &v->drafted_us);
    if (!strcmp(l->field, "status")) {
        v->status = i == 0 ? VERDICT_GAP : i == 1 ? VERDICT_FULL : VERDICT_STALE;
        v->held = 0;
    }
    if (!strcmp(l->field, "failed")) {
        v->status = VERDICT_FAILED;
        v->error = i == 1 ? NULL : i == 3 ? "a\nb\033[31m" : "a cause";
    }
    if (!strcmp(l->field, "error")) v->error = "a cause";
    if (!strcmp(l->field, "drafts") && v->n_rows > 1) {
        static const int32_t ids[DRAFTS_MOST];
        v->drafts = ids;
        v->n_drafts = v->n_rows - 1;
    }
    if (!strcmp(l->field, "failed") && i == 2) return;
    if (!strcmp(l->field, "n_rows") || v->status != VERDICT_OK) v->n_rows = 0;
    for (size_t r = 0; r < v->n_rows; r++) {
        struct verdict_row *row = (struct verdict_row *)(uintptr_t)&v->rows[r];
        SAY(l, i, "next", &row->next);
        SAY(l, i, "lp_next", &row->lp_next);
        if (row->n_judged) SAY(l, i, "lp_judged", &row->lp_judged[0]);
        if (!strcmp(l->field, "n_judged")) row->n_judged = 0;
        if (row->n_top) SAY(l, i, "top_id", &row->top[0].id);
        if (row->n_top) SAY(l, i, "top_lp", &row->top[0].lp);
        if (!strcmp(l->field, "n_top")) row->n_top = 0;
    }
}

static void tell_pong(const struct lie *l, int i, struct pong *p)
{
    SAY(l, i, "sent_ns", &p->sent_ns);
    SAY(l, i, "n_passes", &p->n_passes);
    SAY(l, i, "block_us", &p->block_us);
    SAY(l, i, "waits_for", &p->waits_for);
    SAY(l, i, "misses", &p->misses);
    SAY(l, i, "busy_us", &p->busy_us);
    SAY(l, i, "n_trials", &p->n_trials);
    SAY(l, i, "n_dropped", &p->n_dropped);
    SAY(l, i, "ready_us", &p->ready_us);
}

static void tell_draft(const struct lie *l, int i, struct draft *d)
{
    SAY(l, i, "slot", &d->slot);
    SAY(l, i, "round", &d->round);
    SAY(l, i, "at", &d->at);
    SAY(l, i, "h", &d->prefix_hash);
    SAY(l, i, "held", &d->held);
    SAY(l, i, "us", &d->us);
    if (!strcmp(l->field, "failed")) {
        d->end = DRAFT_FAILED;
        if (i == 1) d->held = 0;
        if (i != 2) d->n_rows = 0;
    }
    if (!strcmp(l->field, "n_rows")) d->n_rows = 0;
    for (size_t r = 0; r < d->n_rows; r++) {
        SAY(l, i, "id", &d->rows[r].id);
        SAY(l, i, "p_top", &d->rows[r].p_top);
    }
}

static void tell_pass(const struct lie *l, int i, struct pass *p)
{
    const struct part *part = &p->parts[0];
    SAY(l, i, "pass", &p->pass);
    SAY(l, i, "slot", &part->slot);
    SAY(l, i, "job", &part->job);
    SAY(l, i, "round", &part->round);
    SAY(l, i, "at", &part->at);
    SAY(l, i, "h", &part->prefix_hash);
    SAY(l, i, "from", &part->from);
    SAY(l, i, "id", &part->rows[0].id);
    SAY(l, i, "queued_us", &p->queued_us);
    SAY(l, i, "computed_us", &p->computed_us);
    SAY(l, i, "drafted_us", &p->drafted_us);
    SAY(l, i, "n_tokens", &p->n_tokens);
    SAY(l, i, "draft_plan", &p->draft_plan);
    if (!strcmp(l->field, "draft")) p->draft = true;
    SAY(l, i, "hidden", &p->hidden[0]);
    if (!strcmp(l->field, "error")) {
        memcpy((void *)(uintptr_t)&part->error, &(const char *){"a cause"}, sizeof part->error);
        if (i == 1) p->n_hidden = 0;
    }
    if (!strcmp(l->field, "dropped")) {
        memcpy((void *)(uintptr_t)&part->dropped, &(const bool){true}, sizeof part->dropped);
        if (i == 1) p->n_hidden = 0;
    }
    if (!strcmp(l->field, "n_hidden")) p->n_hidden = 0;
}

static void tell_token(const struct lie *l, int i, struct token *t)
{
    SAY(l, i, "slot", &t->slot);
    SAY(l, i, "id", &t->id);
    SAY(l, i, "number", &t->number);
    SAY(l, i, "h", &t->prefix_hash);
}

static void tell(const struct lie *l, int i, struct message *m)
{
    switch (m->tag) {
    case TAG_HELLO: tell_hello(l, i, &m->hello); break;
    case TAG_LOADING: SAY(l, i, "n_bytes", &m->loading.n_bytes); break;
    case TAG_READY: SAY(l, i, "epoch", &m->ready.epoch); break;
    case TAG_PONG: tell_pong(l, i, &m->pong); break;
    case TAG_VERDICT: tell_verdict(l, i, &m->verdict); break;
    case TAG_DRAFT: tell_draft(l, i, &m->draft); break;
    case TAG_FAIL: SAY(l, i, "code", &m->fail.code); break;
    case TAG_PASS: tell_pass(l, i, &m->pass); break;
    case TAG_TOKEN: tell_token(l, i, &m->token); break;
    default: break;
    }
}

/* ---- its mailbox ---- */

static int liar_post(struct mailbox *mb, int to, int tag, const void *data, size_t n_bytes, struct err *err)
{
    struct liar *liar = (struct liar *)mb;
    bool fails = liar->lie->tag == TAG_FAIL && tag == TAG_HELLO;
    struct message m = {.tag = TAG_FAIL, .fail = {E_MODEL, "a\nb\033[31m\npilotfish: c"}};
    if (tag != (int)liar->lie->tag && !fails) return mailbox_post(liar->inner, to, tag, data, n_bytes, err);
    int rc = fails ? OK : wire_decode(&liar->in, tag, data, n_bytes, &m, err);
    if (rc == OK) tell(liar->lie, liar->i_value, &m);
    const uint8_t *bytes;
    if (rc == OK && !*liar->lie->field && !fails) rc = mailbox_post(liar->inner, to, tag, data, n_bytes, err);
    if (rc == OK) rc = wire_encode(&liar->out, &m, &bytes, &n_bytes, err);
    return rc == OK ? mailbox_post(liar->inner, to, (int)m.tag, bytes, n_bytes, err) : rc;
}

static int liar_poll(struct mailbox *mb, struct mail *out, struct err *err)
{
    return mailbox_poll(((struct liar *)mb)->inner, out, err);
}

static int liar_wait(struct mailbox *mb, struct mail *out, int wait_ms, struct err *err)
{
    return mailbox_wait(((struct liar *)mb)->inner, out, wait_ms, err);
}

int liar_open(struct liar *liar, struct mailbox *inner, const struct lie *lie, int i_value, struct err *err)
{
    static const struct mailbox_ops ops = {liar_post, liar_poll, liar_wait, NULL};
    *liar = (struct liar){.base = {&ops, inner->self}, .inner = inner, .lie = lie, .i_value = i_value};
    int rc = wire_arena_init(&liar->in, ROOM, err);
    return rc == OK ? wire_arena_init(&liar->out, ROOM, err) : rc;
}

void liar_close(struct liar *liar)
{
    wire_arena_free(&liar->in);
    wire_arena_free(&liar->out);
}
