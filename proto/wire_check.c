/* wire_check.c -- what the fields of a message may be in any job, from any sender; wire_decode calls it. What depends
 * on a job (its slots, its vocabulary, what was asked) is checked where the message is taken.
 *
 * Fields that are not in these tables may be anything. */
#include "proto/wire.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>

#include "proto/layout.h"
#include "proto/plan.h"

enum kind { U32, I32, U64, F32 };

struct bound {
    const char *name;
    size_t at;
    enum kind kind;
    double low, high; /* both are allowed */
};

#define KIND(member) _Generic((member), uint32_t : U32, int32_t : I32, uint64_t : U64, float : F32)
#define BOUND(type, name, member, low, high)                                                                           \
    {                                                                                                                  \
        name, offsetof(struct type, member), KIND(((struct type *)0)->member), low, high                               \
    }

/* Bytes: sums over all peers, and products with the longest context and the most slots, stay below 2^63. */
static const struct bound of_hello[] = {
    BOUND(hello, "cores", cores, 1, 1 << 20),
    BOUND(hello, "peer", peer, PEER_COORDINATOR + 1, MAX_PEERS - 1),
    BOUND(hello, "weights_bytes", weights_bytes, 0, 0x1p50),
    BOUND(hello, "body_bytes", body_bytes, 0, 0x1p50),
    BOUND(hello, "head_bytes", head_bytes, 0, 0x1p50),
    BOUND(hello, "kv_position_bytes", kv_position_bytes, 0, 1 << 26),
    BOUND(hello, "n_vocab", n_vocab, 0, 1 << 28),
    BOUND(hello, "n_ctx_max", n_ctx_max, 0, INT_MAX),
    BOUND(hello, "max_rows", max_rows, ROWS_LEAST, 1 << 12), /* wanted rows stay together */
    BOUND(hello, "max_jobs", max_jobs, SLOTS_MOST, 1 << 12), /* each sequence may have a part out */
    BOUND(hello, "threads", threads, 1, 1 << 16),
    BOUND(hello, "read_bytes_per_s", read_bytes_per_s, 0, 0x1p50),
    BOUND(hello, "entry_from", entry_from, 0, 1 << 20),
    BOUND(hello, "entry_to", entry_to, 0, 1 << 20),
    BOUND(hello, "n_heads", n_heads, 0, 1 << 20),
    BOUND(hello, "gather_bytes", gather_bytes, 0, 0x1p50),
    BOUND(hello, "gather_float_bytes", gather_float_bytes, 0, 0x1p50),
    BOUND(hello, "device_bytes", device_bytes, 0, 0x1p50),
};
static const struct bound of_welcome[] = {
    BOUND(welcome, "n_slots", n_slots, 1, SLOTS_MOST),
    BOUND(welcome, "n_ctx", n_ctx, 1, CONTEXT_MOST),
};
static const struct bound of_open[] = {
    BOUND(open_slot, "n_ids", n_ids, 0, 1 << 28),
    BOUND(open_slot, "last_position", last_position, 0, CONTEXT_MOST),
    BOUND(open_slot, "self_max", self_max, 0, CONTEXT_MOST),
    BOUND(open_slot, "draft_max", draft_max, 0, DRAFTS_MOST),
    BOUND(open_slot, "draft_plan", draft_plan, 0, DRAFT_PLANS_MOST - 1),
};
static const struct bound of_ack[] = {
    BOUND(ack, "hold_us", hold_us, 0, HOLD_US_MOST),
};
static const struct bound of_pong[] = {
    BOUND(pong, "waits_for", waits_for, PEER_COORDINATOR, MAX_PEERS - 1),
    BOUND(pong, "misses", misses, PEER_COORDINATOR, MAX_PEERS - 1),
};
static const struct bound of_token[] = {
    BOUND(token, "at", at, 1, CONTEXT_MOST),
    BOUND(token, "id", id, 0, INT_MAX),
};
static const struct bound of_sampler[] = {
    BOUND(sampler, "sampler's temp", temp, 0, 1e6),
    BOUND(sampler, "sampler's top_p", top_p, 0x1p-149, 1),
    BOUND(sampler, "sampler's min_p", min_p, 0, 1),
};
static const struct bound of_part[] = {
    BOUND(part, "from", from, 0, SLOTS_MOST),
};
static const struct bound of_verdict_row[] = {
    BOUND(verdict_row, "next", next, 0, INT_MAX),
    BOUND(verdict_row, "lp_next", lp_next, -FLT_MAX, 0),
};
static const struct bound of_top[] = {
    BOUND(top, "best id", id, 0, INT_MAX),
    BOUND(top, "best id's lp", lp, -FLT_MAX, 0),
};
static const struct bound of_ask[] = {
    BOUND(draft_ask, "p_min", p_min, 0, FLT_MAX),
    BOUND(draft_ask, "p_joint_min", p_joint_min, 0, FLT_MAX),
    BOUND(draft_ask, "from", from, 0, SLOTS_MOST),
    BOUND(draft_ask, "draft_plan", draft_plan, 0, DRAFT_PLANS_MOST - 1),
};
static const struct bound of_pass[] = {
    BOUND(pass, "draft_plan", draft_plan, 0, DRAFT_PLANS_MOST - 1),
};
static const struct bound of_draft_row[] = {
    BOUND(draft_row, "id", id, 0, INT_MAX),
    BOUND(draft_row, "p_top", p_top, 0, 1),
};

static double value(const struct bound *b, const void *of)
{
    const char *at = (const char *)of + b->at;
    switch (b->kind) {
    case U32: return *(const uint32_t *)(const void *)at;
    case I32: return *(const int32_t *)(const void *)at;
    case U64: return (double)*(const uint64_t *)(const void *)at;
    default: return (double)*(const float *)(const void *)at;
    }
}

struct checked {
    const char *message;
    int rc;
    struct err *err;
};

static void must_be(struct checked *c, const char *name, double x, double low, double high)
{
    if (c->rc == OK && !(x >= low && x <= high)) /* NaN is in no bounds */
        c->rc =
            err_set(c->err, E_PEER, "a %s whose %s is %.17g, expected %.9g to %.9g", c->message, name, x, low, high);
}

static void check(struct checked *c, const struct bound *list, size_t n, const void *of)
{
    for (size_t i = 0; i < n; i++) must_be(c, list[i].name, value(&list[i], of), list[i].low, list[i].high);
}

#define CHECK(c, list, of) check(c, list, sizeof(list) / sizeof *(list), of)

static void check_sampler(struct checked *c, const struct sampler *s)
{
    if (s->temp != 0) CHECK(c, of_sampler, s); /* greedy: the others do not count */
}

static void check_part(struct checked *c, const struct part *part)
{
    for (size_t i = 0; i < part->n_rows; i++) must_be(c, "n_judge", (double)part->rows[i].n_judge, 0, JUDGED_MOST);
    CHECK(c, of_part, part);
    check_sampler(c, &part->sampler);
}

/* Only the leader's own rows bring their drafts; of the others the coordinator knows them. */
static void check_drafts(struct checked *c, const struct verdict *v)
{
    bool own = v->job == 0 && v->status == VERDICT_OK;
    must_be(c, "number of drafts", (double)v->n_drafts, 0, own ? DRAFTS_MOST : 0);
    if (v->n_drafts) must_be(c, "number of rows", (double)v->n_rows, (double)v->n_drafts + 1, (double)v->n_drafts + 1);
    for (size_t i = 0; i < v->n_drafts; i++) must_be(c, "draft", (double)v->drafts[i], 0, INT_MAX);
}

static void check_verdict(struct checked *c, const struct verdict *v)
{
    bool failed = v->status == VERDICT_FAILED;
    must_be(c, "number of errors", v->error != NULL, failed, failed);
    if (failed) must_be(c, "number of rows", (double)v->n_rows, 0, 0);
    check_drafts(c, v);
    for (size_t i = 0; i < v->n_rows; i++) {
        const struct verdict_row *row = &v->rows[i];
        CHECK(c, of_verdict_row, row);
        for (size_t k = 0; k < row->n_judged; k++) must_be(c, "lp_judged", (double)row->lp_judged[k], -INFINITY, 0);
        for (size_t k = 0; k < row->n_top; k++) CHECK(c, of_top, &row->top[k]);
    }
}

int wire_check(const struct message *m, struct err *err)
{
    struct checked c = {wire_tags[m->tag].name, OK, err};
    switch (m->tag) {
    case TAG_HELLO:
        if (m->hello.version == WIRE_VERSION) CHECK(&c, of_hello, &m->hello); /* another version's are its own */
        break;
    case TAG_WELCOME: CHECK(&c, of_welcome, &m->welcome); break;
    case TAG_OPEN:
        CHECK(&c, of_open, &m->open);
        check_sampler(&c, &m->open.sampler);
        break;
    case TAG_ACK: CHECK(&c, of_ack, &m->ack); break;
    case TAG_PONG: CHECK(&c, of_pong, &m->pong); break;
    case TAG_TOKEN: CHECK(&c, of_token, &m->token); break;
    case TAG_VERIFY: check_part(&c, &m->verify); break;
    case TAG_PASS:
        CHECK(&c, of_pass, &m->pass);
        for (size_t i = 0; i < m->pass.n_parts; i++) check_part(&c, &m->pass.parts[i]);
        break;
    case TAG_VERDICT: check_verdict(&c, &m->verdict); break;
    case TAG_DRAFT_ASK:
        CHECK(&c, of_ask, &m->ask);
        check_sampler(&c, &m->ask.sampler);
        break;
    case TAG_DRAFT:
        if (m->draft.end == DRAFT_FAILED) must_be(&c, "number of rows", (double)m->draft.n_rows, 0, 0);
        for (size_t i = 0; i < m->draft.n_rows; i++) CHECK(&c, of_draft_row, &m->draft.rows[i]);
        break;
    default: break;
    }
    return c.rc;
}
