#include "proto/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pilotfish.pb-c.h"

_Static_assert(sizeof(float) == 4 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "hidden rows travel as they lie");

enum { SHORT = 64 << 10, LONG = 64 << 20 };
enum { TEXT_MAX = 1023, PATH_MAX_BYTES = 4095 }; /* longer strings lose their end */
enum { ALIGN = 16 };

/* ---- the arena ---- */

int wire_arena_init(struct wire_arena *a, size_t size, struct err *err)
{
    uint8_t *base = malloc(size);
    if (!base) return err_set(err, E_LAYOUT, "out of memory for messages of %zu bytes", size);
    *a = (struct wire_arena){.base = base, .size = size};
    return OK;
}

void wire_arena_free(struct wire_arena *a)
{
    if (!a) return;
    free(a->base);
    *a = (struct wire_arena){0};
}

/* n things of `size` bytes, aligned for any type (malloc's own alignment holds for the base). NULL: no room. */
static void *take(struct wire_arena *a, size_t n, size_t size)
{
    size_t room = a->size - a->used, n_bytes;
    if (__builtin_mul_overflow(n, size, &n_bytes) || n_bytes > room) return NULL;
    void *taken = a->base + a->used;
    size_t padded = (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
    a->used += padded < room ? padded : room;
    return taken;
}

/* n messages of `size` bytes and the list of pointers that the generated code wants. NULL: no room. */
static void *take_list(struct wire_arena *a, size_t n, size_t size, void *list)
{
    uint8_t *items = take(a, n, size);
    void **pointers = take(a, n, sizeof *pointers);
    if (!items || !pointers) return NULL;
    for (size_t i = 0; i < n; i++) pointers[i] = items + i * size;
    memcpy(list, &pointers, sizeof pointers);
    return items;
}

/* What protobuf-c takes memory from while it unpacks; it frees nothing. */
struct bump {
    struct wire_arena *arena;
    bool refused;
};

static void *bump_alloc(void *data, size_t size)
{
    struct bump *b = data;
    void *taken = take(b->arena, 1, size);
    b->refused |= !taken;
    return taken;
}

static void bump_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

/* ---- values ---- */

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

/* The text itself, or its first `max` bytes in the arena. Bytes: nothing is assumed about an encoding. NULL: no room.
 */
static char *text_out(struct wire_arena *a, const char *text, size_t max)
{
    if (!text) return (char *)"";
    if (strnlen(text, max + 1) <= max) return (char *)text; /* the generated structs have no const */
    char *cut = take(a, max + 1, 1);
    if (!cut) return NULL;
    memcpy(cut, text, max);
    cut[max] = '\0';
    return cut;
}

/* protobuf-c has put a 0 behind the bytes; one inside them ends the text earlier. */
static const char *text_in(char *text, size_t max)
{
    if (strnlen(text, max + 1) > max) text[max] = '\0';
    return text;
}

/* ---- one function a message and way. out: what to pack, NULL without room. in: why not, NULL if it is well. ---- */

static const char no_room[] = "takes more memory than there is for a message";

static const void *hello_out(struct wire_arena *a, const struct message *m)
{
    const struct hello *h = &m->hello;
    Pf__Hello *pb = take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__hello__init(pb);
    pb->version = h->version;
    pb->host = text_out(a, h->host, TEXT_MAX);
    pb->cores = h->cores;
    pb->peer = h->peer;
    pb->model = h->model;
    pb->vocab = h->vocab;
    pb->plan = h->plan;
    pb->arithmetic = h->arithmetic;
    pb->selftest = h->selftest;
    pb->path = text_out(a, h->path, PATH_MAX_BYTES);
    pb->weights_bytes = h->weights_bytes;
    pb->body_bytes = h->body_bytes;
    pb->head_bytes = h->head_bytes;
    pb->kv_position_bytes = h->kv_position_bytes;
    pb->memory_bytes = h->memory_bytes;
    pb->n_vocab = h->n_vocab;
    pb->n_ctx_max = h->n_ctx_max;
    pb->max_rows = h->max_rows;
    pb->max_jobs = h->max_jobs;
    pb->threads = h->threads;
    pb->cpu = text_out(a, h->cpu, TEXT_MAX);
    pb->read_bytes_per_s = h->read_bytes_per_s;
    pb->entry_from = h->entry_from;
    pb->entry_to = h->entry_to;
    pb->n_heads = h->n_heads;
    pb->gather_bytes = h->gather_bytes;
    pb->gather_float_bytes = h->gather_float_bytes;
    pb->device = text_out(a, h->device, TEXT_MAX);
    pb->device_bytes = h->device_bytes;
    return pb->host && pb->path && pb->cpu && pb->device ? pb : NULL;
}

static const char *hello_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Hello *pb = from;
    (void)a;
    m->hello = (struct hello){.version = pb->version,
                              .host = text_in(pb->host, TEXT_MAX),
                              .cores = pb->cores,
                              .peer = pb->peer,
                              .model = pb->model,
                              .vocab = pb->vocab,
                              .plan = pb->plan,
                              .arithmetic = pb->arithmetic,
                              .selftest = pb->selftest,
                              .path = text_in(pb->path, PATH_MAX_BYTES),
                              .weights_bytes = pb->weights_bytes,
                              .body_bytes = pb->body_bytes,
                              .head_bytes = pb->head_bytes,
                              .kv_position_bytes = pb->kv_position_bytes,
                              .memory_bytes = pb->memory_bytes,
                              .n_vocab = pb->n_vocab,
                              .n_ctx_max = pb->n_ctx_max,
                              .max_rows = pb->max_rows,
                              .max_jobs = pb->max_jobs,
                              .threads = pb->threads,
                              .cpu = text_in(pb->cpu, TEXT_MAX),
                              .read_bytes_per_s = pb->read_bytes_per_s,
                              .entry_from = pb->entry_from,
                              .entry_to = pb->entry_to,
                              .n_heads = pb->n_heads,
                              .gather_bytes = pb->gather_bytes,
                              .gather_float_bytes = pb->gather_float_bytes,
                              .device = text_in(pb->device, TEXT_MAX),
                              .device_bytes = pb->device_bytes};
    return NULL;
}

static const void *welcome_out(struct wire_arena *a, const struct message *m)
{
    Pf__Welcome *pb = take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__welcome__init(pb);
    pb->epoch = m->welcome.epoch;
    pb->root = m->welcome.root;
    pb->n_slots = m->welcome.n_slots;
    pb->n_ctx = m->welcome.n_ctx;
    pb->stage_share = text_out(a, m->welcome.stage_share, PATH_MAX_BYTES);
    pb->shard_share = text_out(a, m->welcome.shard_share, PATH_MAX_BYTES);
    return pb->stage_share && pb->shard_share ? pb : NULL;
}

static const char *welcome_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Welcome *pb = from;
    (void)a;
    m->welcome = (struct welcome){.epoch = pb->epoch,
                                  .root = pb->root,
                                  .n_slots = pb->n_slots,
                                  .n_ctx = pb->n_ctx,
                                  .stage_share = text_in(pb->stage_share, PATH_MAX_BYTES),
                                  .shard_share = text_in(pb->shard_share, PATH_MAX_BYTES)};
    return NULL;
}

static const void *ready_out(struct wire_arena *a, const struct message *m)
{
    Pf__Ready *pb = take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__ready__init(pb);
    pb->epoch = m->ready.epoch;
    return pb;
}

static const char *ready_in(struct wire_arena *a, const void *from, struct message *m)
{
    (void)a;
    m->ready = (struct ready){.epoch = ((const Pf__Ready *)from)->epoch};
    return NULL;
}

static const void *loading_out(struct wire_arena *a, const struct message *m)
{
    Pf__Loading *pb = take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__loading__init(pb);
    pb->n_bytes = m->loading.n_bytes;
    return pb;
}

static const char *loading_in(struct wire_arena *a, const void *from, struct message *m)
{
    (void)a;
    m->loading = (struct loading){.n_bytes = ((const Pf__Loading *)from)->n_bytes};
    return NULL;
}

static const void *vocab_out(struct wire_arena *a, const struct message *m)
{
    Pf__Metadata *pb = take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__metadata__init(pb);
    pb->part = m->metadata.part;
    pb->n_parts = m->metadata.n_parts;
    pb->metadata = (ProtobufCBinaryData){.len = m->metadata.n_bytes, .data = (uint8_t *)m->metadata.bytes};
    return pb;
}

static const char *vocab_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Metadata *pb = from;
    (void)a;
    m->metadata = (struct metadata_part){
        .part = pb->part, .n_parts = pb->n_parts, .bytes = pb->metadata.data, .n_bytes = pb->metadata.len};
    return NULL;
}

/* *to stays NULL for a greedy one. False: no room. */
static bool sampler_out(struct wire_arena *a, const struct sampler *s, Pf__Sampler **to)
{
    if (s->temp == 0) return true;
    Pf__Sampler *pb = take(a, 1, sizeof *pb);
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
    Pf__Open *pb = take(a, 1, sizeof *pb);
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
                                 .while_right = pb->while_right};
    return NULL;
}

static const void *cut_out(struct wire_arena *a, const struct message *m)
{
    Pf__Cut *pb = take(a, 1, sizeof *pb);
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

static const void *ping_out(struct wire_arena *a, const struct message *m)
{
    Pf__Ping *pb = take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__ping__init(pb);
    pb->sent_ns = m->ping.sent_ns;
    pb->load = (ProtobufCBinaryData){m->ping.n_load, (uint8_t *)m->ping.load};
    return pb;
}

static const char *ping_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Ping *pb = from;
    (void)a;
    m->ping = (struct ping){.sent_ns = pb->sent_ns, .load = pb->load.data, .n_load = pb->load.len};
    return NULL;
}

static const void *pong_out(struct wire_arena *a, const struct message *m)
{
    const struct pong *p = &m->pong;
    Pf__Pong *pb = take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__pong__init(pb);
    pb->sent_ns = p->sent_ns;
    pb->n_passes = p->n_passes;
    pb->busy = p->busy;
    pb->block_us = p->block_us;
    pb->waits_for = p->waits_for;
    pb->n_load = p->n_load;
    pb->busy_us = p->busy_us;
    pb->ready_us = p->ready_us;
    pb->misses = p->misses;
    pb->n_trials = p->n_trials;
    pb->draft_plan = text_out(a, p->draft_plan, PART_PLAN_MOST);
    return pb->draft_plan ? pb : NULL;
}

static const char *pong_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Pong *pb = from;
    (void)a;
    m->pong = (struct pong){.sent_ns = pb->sent_ns,
                            .n_passes = pb->n_passes,
                            .busy = pb->busy,
                            .block_us = pb->block_us,
                            .waits_for = pb->waits_for,
                            .n_load = pb->n_load,
                            .busy_us = pb->busy_us,
                            .ready_us = pb->ready_us,
                            .misses = pb->misses,
                            .n_trials = pb->n_trials,
                            .draft_plan = *pb->draft_plan ? text_in(pb->draft_plan, PART_PLAN_MOST) : NULL};
    return NULL;
}

static const void *ack_out(struct wire_arena *a, const struct message *m)
{
    Pf__Ack *pb = take(a, 1, sizeof *pb);
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
    Pf__Token *pb = take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__token__init(pb);
    pb->slot = m->token.slot;
    pb->round = m->token.round;
    pb->at = m->token.at;
    pb->prefix_hash = m->token.prefix_hash;
    pb->id = m->token.id;
    pb->job = m->token.job;
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
                              .job = pb->job};
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
    pb->error = text_out(a, part->error, TEXT_MAX);
    pb->plan = text_out(a, part->plan, PART_PLAN_MOST);
    pb->token = part->token;
    pb->from = part->from;
    return pb->error && pb->plan && rows_out(a, part, pb) && sampler_out(a, &part->sampler, &pb->sampler);
}

static bool rows_in(struct wire_arena *a, const Pf__Part *pb, struct part *part)
{
    struct row *rows = take(a, pb->n_row, sizeof *rows);
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
                          .from = pb->from,
                          .error = *pb->error ? text_in(pb->error, TEXT_MAX) : NULL,
                          .plan = *pb->plan ? text_in(pb->plan, PART_PLAN_MOST) : NULL};
    return rows_in(a, pb, part);
}

static const void *verify_out(struct wire_arena *a, const struct message *m)
{
    Pf__Part *pb = take(a, 1, sizeof *pb);
    return pb && part_out(a, &m->verify, pb) ? pb : NULL;
}

static const char *verify_in(struct wire_arena *a, const void *from, struct message *m)
{
    return part_in(a, from, &m->verify) ? NULL : no_room;
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
    Pf__Verdict *pb = take(a, 1, sizeof *pb);
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
    pb->error = text_out(a, v->error, TEXT_MAX);
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
    struct top *top = take(a, pb->n_top, sizeof *top);
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
    struct verdict_row *rows = take(a, pb->n_row, sizeof *rows);
    if (!rows) return no_room;
    if (pb->status > VERDICT_LATE) return "has a status that does not exist";
    for (size_t i = 0; i < pb->n_row; i++)
        if (!verdict_row_in(a, pb->row[i], &rows[i])) return no_room;
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
                                  .error = *pb->error ? text_in(pb->error, TEXT_MAX) : NULL,
                                  .drafts = pb->draft,
                                  .n_drafts = pb->n_draft};
    return NULL;
}

static const void *ask_out(struct wire_arena *a, const struct message *m)
{
    const struct draft_ask *ask = &m->ask;
    Pf__DraftAsk *pb = take(a, 1, sizeof *pb);
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
                                .from = pb->from};
    return NULL;
}

static const void *draft_out(struct wire_arena *a, const struct message *m)
{
    const struct draft *d = &m->draft;
    Pf__Draft *pb = take(a, 1, sizeof *pb);
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
    struct draft_row *rows = take(a, pb->n_row, sizeof *rows);
    if (!rows) return no_room;
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

static const void *fail_out(struct wire_arena *a, const struct message *m)
{
    Pf__Fail *pb = take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__fail__init(pb);
    pb->code = m->fail.code;
    pb->text = text_out(a, m->fail.text, TEXT_MAX);
    return pb->text ? pb : NULL;
}

static const char *fail_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Fail *pb = from;
    (void)a;
    m->fail = (struct fail){.code = pb->code, .text = text_in(pb->text, TEXT_MAX)};
    return NULL;
}

static const void *pass_out(struct wire_arena *a, const struct message *m)
{
    const struct pass *p = &m->pass;
    Pf__Pass *pb = take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__pass__init(pb);
    pb->pass = p->pass;
    pb->hidden = (ProtobufCBinaryData){.len = p->n_hidden * sizeof *p->hidden, .data = (uint8_t *)p->hidden};
    pb->queued_us = p->queued_us;
    pb->computed_us = p->computed_us;
    pb->draft = p->draft;
    pb->drafted_us = p->drafted_us;
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
    struct part *parts = take(a, pb->n_part, sizeof *parts);
    if (!parts) return no_room;
    for (size_t i = 0; i < pb->n_part; i++)
        if (!part_in(a, pb->part[i], &parts[i])) return no_room;
    if (pb->hidden.len % sizeof(float)) return "has hidden rows that are no floats";
    m->pass = (struct pass){.pass = pb->pass,
                            .parts = parts,
                            .n_parts = pb->n_part,
                            .hidden = (const float *)(const void *)pb->hidden.data, /* taken from the arena: aligned */
                            .n_hidden = pb->hidden.len / sizeof(float),
                            .queued_us = pb->queued_us,
                            .computed_us = pb->computed_us,
                            .draft = pb->draft,
                            .drafted_us = pb->drafted_us};
    return NULL;
}

/* ---- the tables ---- */

const struct wire_tag wire_tags[N_TAGS] = {
    [TAG_METADATA] = {"Metadata", SHORT}, [TAG_HELLO] = {"Hello", SHORT}, [TAG_WELCOME] = {"Welcome", SHORT},
    [TAG_READY] = {"Ready", SHORT},       [TAG_OPEN] = {"Open", SHORT},   [TAG_VERIFY] = {"Verify", SHORT},
    [TAG_VERDICT] = {"Verdict", SHORT},   [TAG_DRAFT] = {"Draft", SHORT}, [TAG_DRAFT_ASK] = {"DraftAsk", SHORT},
    [TAG_PASS] = {"Pass", LONG},          [TAG_FAIL] = {"Fail", SHORT},   [TAG_QUIT] = {"Quit", SHORT},
    [TAG_LOADING] = {"Loading", SHORT},   [TAG_CUT] = {"Cut", SHORT},     [TAG_ACK] = {"Ack", SHORT},
    [TAG_TOKEN] = {"Token", SHORT},       [TAG_PING] = {"Ping", SHORT},   [TAG_PONG] = {"Pong", SHORT},
};

static const struct codec {
    const ProtobufCMessageDescriptor *type;
    const void *(*out)(struct wire_arena *a, const struct message *m);
    const char *(*in)(struct wire_arena *a, const void *from, struct message *m);
} codecs[N_TAGS] = {
    [TAG_HELLO] = {&pf__hello__descriptor, hello_out, hello_in},
    [TAG_METADATA] = {&pf__metadata__descriptor, vocab_out, vocab_in},
    [TAG_WELCOME] = {&pf__welcome__descriptor, welcome_out, welcome_in},
    [TAG_READY] = {&pf__ready__descriptor, ready_out, ready_in},
    [TAG_LOADING] = {&pf__loading__descriptor, loading_out, loading_in},
    [TAG_OPEN] = {&pf__open__descriptor, open_out, open_in},
    [TAG_CUT] = {&pf__cut__descriptor, cut_out, cut_in},
    [TAG_ACK] = {&pf__ack__descriptor, ack_out, ack_in},
    [TAG_PING] = {&pf__ping__descriptor, ping_out, ping_in},
    [TAG_PONG] = {&pf__pong__descriptor, pong_out, pong_in},
    [TAG_TOKEN] = {&pf__token__descriptor, token_out, token_in},
    [TAG_VERIFY] = {&pf__part__descriptor, verify_out, verify_in},
    [TAG_VERDICT] = {&pf__verdict__descriptor, verdict_out, verdict_in},
    [TAG_DRAFT_ASK] = {&pf__draft_ask__descriptor, ask_out, ask_in},
    [TAG_DRAFT] = {&pf__draft__descriptor, draft_out, draft_in},
    [TAG_PASS] = {&pf__pass__descriptor, pass_out, pass_in},
    [TAG_FAIL] = {&pf__fail__descriptor, fail_out, fail_in},
    [TAG_QUIT] = {&pf__fail__descriptor, fail_out, fail_in},
};

static const struct codec *codec_of(int tag)
{
    return tag > 0 && tag < N_TAGS && codecs[tag].type ? &codecs[tag] : NULL;
}

int wire_encode(struct wire_arena *a, const struct message *m, const uint8_t **data, size_t *n_bytes, struct err *err)
{
    const struct codec *codec = codec_of((int)m->tag);
    if (!codec) return err_set(err, E_FAIL, "tag %d is no message", (int)m->tag);
    const struct wire_tag *tag = &wire_tags[m->tag];
    a->used = 0;
    const void *pb = codec->out(a, m);
    size_t n = pb ? protobuf_c_message_get_packed_size(pb) : 0;
    if (n > tag->max_bytes) return err_set(err, E_FAIL, "a %s of %zu bytes, at most %zu", tag->name, n, tag->max_bytes);
    uint8_t *packed = pb ? take(a, n, 1) : NULL;
    if (!packed) return err_set(err, E_FAIL, "a %s %s (%zu bytes)", tag->name, no_room, a->size);
    protobuf_c_message_pack(pb, packed);
    *data = packed;
    *n_bytes = n;
    return OK;
}

int wire_decode(struct wire_arena *a, int tag, const uint8_t *data, size_t n_bytes, struct message *out,
                struct err *err)
{
    const struct codec *codec = codec_of(tag);
    if (!codec) return err_set(err, E_PEER, "a message with tag %d, which is no message", tag);
    const char *name = wire_tags[tag].name;
    if (n_bytes > wire_tags[tag].max_bytes)
        return err_set(err, E_PEER, "a %s of %zu bytes, at most %zu", name, n_bytes, wire_tags[tag].max_bytes);
    a->used = 0;
    struct bump bump = {.arena = a};
    ProtobufCAllocator allocator = {bump_alloc, bump_free, &bump};
    ProtobufCMessage *pb = protobuf_c_message_unpack(codec->type, &allocator, n_bytes, data);
    struct message m = {.tag = (enum tag)tag};
    const char *why = pb ? codec->in(a, pb, &m) : bump.refused ? no_room : "is not in its format";
    if (why) return err_set(err, E_PEER, "a %s of %zu bytes %s", name, n_bytes, why);
    int rc = wire_check(&m, err);
    if (rc == OK) *out = m;
    return rc;
}

int wire_fail(const struct fail *f, int from, struct err *err)
{
    bool ours = (f->code > OK && f->code <= E_CHECK) || f->code == E_INTERRUPT || f->code == E_TERMINATED;
    int code = ours ? (int)f->code : E_PEER;
    return *f->text ? err_set(err, code, "%s", f->text)
                    : err_set(err, code, "peer %d failed and does not say why", from);
}
