#include <assert.h>
#include <string.h>

#include "pilotfish.pb-c.h"
#include "proto/wire_inside.h"

_Static_assert(sizeof(float) == 4 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "hidden rows travel as they lie");

/* n messages of `size` bytes and the list of pointers that the generated code wants. NULL: no room. */
static void *take_list(struct wire_arena *a, size_t n, size_t size, void *list)
{
    uint8_t *items = wire_take(a, n, size);
    void **pointers = wire_take(a, n, sizeof *pointers);
    if (!items || !pointers) return NULL;
    for (size_t i = 0; i < n; i++) pointers[i] = items + i * size;
    memcpy(list, &pointers, sizeof pointers);
    return items;
}

static uint32_t bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float unbits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* *to stays NULL for a greedy one. False: no room. */
static bool sampler_out(struct wire_arena *a, const struct sampler *s, Pf__Sampler **to)
{
    if (s->temp == 0) return true;
    Pf__Sampler *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return false;
    pf__sampler__init(pb);
    pb->temp = bits(s->temp);
    pb->top_k = s->top_k;
    pb->top_p = bits(s->top_p);
    pb->min_p = bits(s->min_p);
    pb->seed = s->seed;
    pb->sample = s->sample;
    pb->offset = s->offset;
    *to = pb;
    return true;
}

static struct sampler sampler_in(const Pf__Sampler *pb)
{
    if (!pb) return (struct sampler){0};
    return (struct sampler){.temp = unbits(pb->temp),
                            .top_k = pb->top_k,
                            .top_p = unbits(pb->top_p),
                            .min_p = unbits(pb->min_p),
                            .seed = pb->seed,
                            .sample = pb->sample,
                            .offset = pb->offset};
}

static const void *open_out(struct wire_arena *a, const struct message *m)
{
    const struct open_slot *o = &m->open;
    Pf__Open *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__open__init(pb);
    pb->slot = o->slot;
    pb->n_ids = o->n_ids;
    pb->end_id = (int32_t *)o->end_ids;
    pb->n_end_id = o->n_end_ids;
    pb->last_position = o->last_position;
    pb->round = o->round;
    pb->n_top = o->n_top;
    pb->self_max = o->self_max;
    pb->draft_max = o->draft_max;
    pb->adaptive = o->adaptive;
    pb->text = o->text;
    pb->while_right = o->while_right;
    pb->draft_plan = o->draft_plan;
    return sampler_out(a, &o->sampler, &pb->sampler) ? pb : NULL;
}

static const char *open_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Open *pb = from;
    (void)a;
    m->open = (struct open_slot){.slot = pb->slot,
                                 .n_ids = pb->n_ids,
                                 .end_ids = pb->end_id,
                                 .n_end_ids = pb->n_end_id,
                                 .last_position = pb->last_position,
                                 .round = pb->round,
                                 .sampler = sampler_in(pb->sampler),
                                 .n_top = pb->n_top,
                                 .self_max = pb->self_max,
                                 .draft_max = pb->draft_max,
                                 .adaptive = pb->adaptive,
                                 .text = pb->text,
                                 .while_right = pb->while_right,
                                 .draft_plan = pb->draft_plan};
    return NULL;
}

static const void *cut_out(struct wire_arena *a, const struct message *m)
{
    Pf__Cut *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__cut__init(pb);
    pb->slot = m->cut.slot;
    pb->round = m->cut.round;
    return pb;
}

static const char *cut_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Cut *pb = from;
    (void)a;
    m->cut = (struct cut){.slot = pb->slot, .round = pb->round};
    return NULL;
}

static const void *ack_out(struct wire_arena *a, const struct message *m)
{
    Pf__Ack *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__ack__init(pb);
    pb->slot = m->ack.slot;
    pb->at = m->ack.at;
    pb->hold_us = m->ack.hold_us;
    return pb;
}

static const char *ack_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Ack *pb = from;
    (void)a;
    m->ack = (struct ack){.slot = pb->slot, .at = pb->at, .hold_us = pb->hold_us};
    return NULL;
}

static const void *token_out(struct wire_arena *a, const struct message *m)
{
    Pf__Token *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__token__init(pb);
    pb->slot = m->token.slot;
    pb->round = m->token.round;
    pb->at = m->token.at;
    pb->prefix_hash = m->token.prefix_hash;
    pb->id = m->token.id;
    pb->job = m->token.job;
    pb->number = m->token.number;
    return pb;
}

static const char *token_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Token *pb = from;
    (void)a;
    m->token = (struct token){.slot = pb->slot,
                              .round = pb->round,
                              .at = pb->at,
                              .prefix_hash = pb->prefix_hash,
                              .id = pb->id,
                              .job = pb->job,
                              .number = pb->number};
    return NULL;
}

static bool rows_out(struct wire_arena *a, const struct part *part, Pf__Part *pb)
{
    Pf__Row *rows = take_list(a, part->n_rows, sizeof *rows, &pb->row);
    if (!rows) return false;
    pb->n_row = part->n_rows;
    for (size_t i = 0; i < part->n_rows; i++) {
        const struct row *row = &part->rows[i];
        pf__row__init(&rows[i]);
        rows[i].id = row->id;
        rows[i].judge = (int32_t *)row->judge;
        rows[i].n_judge = row->n_judge;
        rows[i].wanted = row->wanted;
        rows[i].n_top = row->n_top;
    }
    return true;
}

static bool part_out(struct wire_arena *a, const struct part *part, Pf__Part *pb)
{
    pf__part__init(pb);
    pb->job = part->job;
    pb->slot = part->slot;
    pb->round = part->round;
    pb->at = part->at;
    pb->prefix_hash = part->prefix_hash;
    pb->error = wire_text_out(a, part->error, TEXT_MAX);
    pb->plan = wire_text_out(a, part->plan, PART_PLAN_MOST);
    pb->token = part->token;
    pb->dropped = part->dropped;
    pb->from = part->from;
    return pb->error && pb->plan && rows_out(a, part, pb) && sampler_out(a, &part->sampler, &pb->sampler);
}

static bool rows_in(struct wire_arena *a, const Pf__Part *pb, struct part *part)
{
    struct row *rows = wire_take(a, pb->n_row, sizeof *rows);
    if (!rows) return false;
    for (size_t i = 0; i < pb->n_row; i++) {
        const Pf__Row *row = pb->row[i];
        rows[i] = (struct row){.id = row->id,
                               .wanted = row->wanted != 0,
                               .n_top = row->n_top,
                               .judge = row->judge,
                               .n_judge = row->n_judge};
    }
    part->rows = rows;
    part->n_rows = pb->n_row;
    return true;
}

static bool part_in(struct wire_arena *a, const Pf__Part *pb, struct part *part)
{
    *part = (struct part){.job = pb->job,
                          .slot = pb->slot,
                          .round = pb->round,
                          .at = pb->at,
                          .prefix_hash = pb->prefix_hash,
                          .sampler = sampler_in(pb->sampler),
                          .token = pb->token,
                          .dropped = pb->dropped,
                          .from = pb->from,
                          .error = *pb->error ? wire_text_in(pb->error, TEXT_MAX) : NULL,
                          .plan = *pb->plan ? wire_text_in(pb->plan, PART_PLAN_MOST) : NULL};
    return rows_in(a, pb, part);
}

static const void *verify_out(struct wire_arena *a, const struct message *m)
{
    Pf__Part *pb = wire_take(a, 1, sizeof *pb);
    return pb && part_out(a, &m->verify, pb) ? pb : NULL;
}

static const char *verify_in(struct wire_arena *a, const void *from, struct message *m)
{
    return part_in(a, from, &m->verify) ? NULL : wire_no_room;
}

static bool verdict_row_out(struct wire_arena *a, const struct verdict_row *row, Pf__VerdictRow *pb)
{
    pf__verdict_row__init(pb);
    pb->next = row->next;
    pb->lp_next = bits(row->lp_next);
    pb->lp_judged = (float *)row->lp_judged;
    pb->n_lp_judged = row->n_judged;
    Pf__Top *top = take_list(a, row->n_top, sizeof *top, &pb->top);
    if (!top) return false;
    pb->n_top = row->n_top;
    for (size_t i = 0; i < row->n_top; i++) {
        pf__top__init(&top[i]);
        top[i].id = row->top[i].id;
        top[i].lp = bits(row->top[i].lp);
    }
    return true;
}

static const void *verdict_out(struct wire_arena *a, const struct message *m)
{
    const struct verdict *v = &m->verdict;
    Pf__Verdict *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    assert(v->status <= VERDICT_LATE);
    pf__verdict__init(pb);
    pb->job = v->job;
    pb->slot = v->slot;
    pb->round = v->round;
    pb->at = v->at;
    pb->prefix_hash = v->prefix_hash;
    pb->status = v->status;
    pb->held = v->held;
    pb->queued_us = v->queued_us;
    pb->computed_us = v->computed_us;
    pb->pass_rows = v->pass_rows;
    pb->drafted_us = v->drafted_us;
    pb->error = wire_text_out(a, v->error, TEXT_MAX);
    pb->draft = (int32_t *)v->drafts;
    pb->n_draft = v->n_drafts;
    Pf__VerdictRow *rows = take_list(a, v->n_rows, sizeof *rows, &pb->row);
    if (!rows || !pb->error) return NULL;
    pb->n_row = v->n_rows;
    for (size_t i = 0; i < v->n_rows; i++)
        if (!verdict_row_out(a, &v->rows[i], &rows[i])) return NULL;
    return pb;
}

static bool verdict_row_in(struct wire_arena *a, const Pf__VerdictRow *pb, struct verdict_row *row)
{
    struct top *top = wire_take(a, pb->n_top, sizeof *top);
    if (!top) return false;
    for (size_t i = 0; i < pb->n_top; i++) top[i] = (struct top){pb->top[i]->id, unbits(pb->top[i]->lp)};
    *row = (struct verdict_row){.next = pb->next,
                                .lp_next = unbits(pb->lp_next),
                                .lp_judged = pb->lp_judged,
                                .n_judged = pb->n_lp_judged,
                                .top = top,
                                .n_top = pb->n_top};
    return true;
}

static const char *verdict_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Verdict *pb = from;
    struct verdict_row *rows = wire_take(a, pb->n_row, sizeof *rows);
    if (!rows) return wire_no_room;
    if (pb->status > VERDICT_LATE) return "has a status that does not exist";
    for (size_t i = 0; i < pb->n_row; i++)
        if (!verdict_row_in(a, pb->row[i], &rows[i])) return wire_no_room;
    m->verdict = (struct verdict){.job = pb->job,
                                  .slot = pb->slot,
                                  .round = pb->round,
                                  .at = pb->at,
                                  .prefix_hash = pb->prefix_hash,
                                  .status = (enum verdict_status)pb->status,
                                  .held = pb->held,
                                  .rows = rows,
                                  .n_rows = pb->n_row,
                                  .queued_us = pb->queued_us,
                                  .computed_us = pb->computed_us,
                                  .pass_rows = pb->pass_rows,
                                  .drafted_us = pb->drafted_us,
                                  .error = *pb->error ? wire_text_in(pb->error, TEXT_MAX) : NULL,
                                  .drafts = pb->draft,
                                  .n_drafts = pb->n_draft};
    return NULL;
}

static const void *ask_out(struct wire_arena *a, const struct message *m)
{
    const struct draft_ask *ask = &m->ask;
    Pf__DraftAsk *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__draft_ask__init(pb);
    pb->slot = ask->slot;
    pb->round = ask->round;
    pb->at = ask->at;
    pb->prefix_hash = ask->prefix_hash;
    pb->id = (int32_t *)ask->ids;
    pb->n_id = ask->n_ids;
    pb->until = ask->until;
    pb->p_min = bits(ask->p_min);
    pb->p_joint_min = bits(ask->p_joint_min);
    pb->block = ask->block;
    pb->p_min_from = ask->p_min_from;
    pb->from = ask->from;
    pb->draft_plan = ask->draft_plan;
    return sampler_out(a, &ask->sampler, &pb->sampler) ? pb : NULL;
}

static const char *ask_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__DraftAsk *pb = from;
    (void)a;
    m->ask = (struct draft_ask){.slot = pb->slot,
                                .round = pb->round,
                                .at = pb->at,
                                .prefix_hash = pb->prefix_hash,
                                .ids = pb->id,
                                .n_ids = pb->n_id,
                                .until = pb->until,
                                .p_min = unbits(pb->p_min),
                                .p_joint_min = unbits(pb->p_joint_min),
                                .sampler = sampler_in(pb->sampler),
                                .block = pb->block,
                                .p_min_from = pb->p_min_from,
                                .from = pb->from,
                                .draft_plan = pb->draft_plan};
    return NULL;
}

static const void *draft_out(struct wire_arena *a, const struct message *m)
{
    const struct draft *d = &m->draft;
    Pf__Draft *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    assert(d->end <= DRAFT_MORE);
    pf__draft__init(pb);
    pb->slot = d->slot;
    pb->round = d->round;
    pb->at = d->at;
    pb->prefix_hash = d->prefix_hash;
    pb->end = d->end;
    pb->held = d->held;
    pb->us = d->us;
    Pf__DraftRow *rows = take_list(a, d->n_rows, sizeof *rows, &pb->row);
    if (!rows) return NULL;
    pb->n_row = d->n_rows;
    for (size_t i = 0; i < d->n_rows; i++) {
        pf__draft_row__init(&rows[i]);
        rows[i].id = d->rows[i].id;
        rows[i].p_top = bits(d->rows[i].p_top);
    }
    return pb;
}

static const char *draft_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Draft *pb = from;
    struct draft_row *rows = wire_take(a, pb->n_row, sizeof *rows);
    if (!rows) return wire_no_room;
    if (pb->end > DRAFT_MORE) return "has an end that does not exist";
    for (size_t i = 0; i < pb->n_row; i++) rows[i] = (struct draft_row){pb->row[i]->id, unbits(pb->row[i]->p_top)};
    m->draft = (struct draft){.slot = pb->slot,
                              .round = pb->round,
                              .at = pb->at,
                              .prefix_hash = pb->prefix_hash,
                              .rows = rows,
                              .n_rows = pb->n_row,
                              .end = (enum draft_end)pb->end,
                              .held = pb->held,
                              .us = pb->us};
    return NULL;
}

static const void *pass_out(struct wire_arena *a, const struct message *m)
{
    const struct pass *p = &m->pass;
    Pf__Pass *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__pass__init(pb);
    pb->pass = p->pass;
    pb->hidden = (ProtobufCBinaryData){.len = p->n_hidden * sizeof *p->hidden, .data = (uint8_t *)p->hidden};
    pb->queued_us = p->queued_us;
    pb->computed_us = p->computed_us;
    pb->draft = p->draft;
    pb->drafted_us = p->drafted_us;
    pb->n_tokens = p->n_tokens;
    pb->draft_plan = p->draft_plan;
    Pf__Part *parts = take_list(a, p->n_parts, sizeof *parts, &pb->part);
    if (!parts) return NULL;
    pb->n_part = p->n_parts;
    for (size_t i = 0; i < p->n_parts; i++)
        if (!part_out(a, &p->parts[i], &parts[i])) return NULL;
    return pb;
}

static const char *pass_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Pass *pb = from;
    struct part *parts = wire_take(a, pb->n_part, sizeof *parts);
    if (!parts) return wire_no_room;
    for (size_t i = 0; i < pb->n_part; i++)
        if (!part_in(a, pb->part[i], &parts[i])) return wire_no_room;
    if (pb->hidden.len % sizeof(float)) return "has hidden rows that are no floats";
    m->pass = (struct pass){.pass = pb->pass,
                            .parts = parts,
                            .n_parts = pb->n_part,
                            .hidden = (const float *)(const void *)pb->hidden.data, /* taken from the arena: aligned */
                            .n_hidden = pb->hidden.len / sizeof(float),
                            .queued_us = pb->queued_us,
                            .computed_us = pb->computed_us,
                            .draft = pb->draft,
                            .drafted_us = pb->drafted_us,
                            .n_tokens = pb->n_tokens,
                            .draft_plan = pb->draft_plan};
    return NULL;
}

const struct wire_codec wire_open = {&pf__open__descriptor, open_out, open_in};
const struct wire_codec wire_cut = {&pf__cut__descriptor, cut_out, cut_in};
const struct wire_codec wire_ack = {&pf__ack__descriptor, ack_out, ack_in};
const struct wire_codec wire_token = {&pf__token__descriptor, token_out, token_in};
const struct wire_codec wire_verify = {&pf__part__descriptor, verify_out, verify_in};
const struct wire_codec wire_verdict = {&pf__verdict__descriptor, verdict_out, verdict_in};
const struct wire_codec wire_draft_ask = {&pf__draft_ask__descriptor, ask_out, ask_in};
const struct wire_codec wire_draft = {&pf__draft__descriptor, draft_out, draft_in};
const struct wire_codec wire_pass = {&pf__pass__descriptor, pass_out, pass_in};
