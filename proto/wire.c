#include "pilotfish.pb-c.h"
#include "proto/wire_inside.h"

enum { SHORT = 64 << 10, LONG = 64 << 20 };

/* ---- one function a message and way ---- */

static const void *hello_out(struct wire_arena *a, const struct message *m)
{
    const struct hello *h = &m->hello;
    Pf__Hello *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__hello__init(pb);
    pb->version = h->version;
    pb->host = wire_text_out(a, h->host, TEXT_MAX);
    pb->cores = h->cores;
    pb->peer = h->peer;
    pb->model = h->model;
    pb->vocab = h->vocab;
    pb->plan = h->plan;
    pb->arithmetic = h->arithmetic;
    pb->selftest = h->selftest;
    pb->path = wire_text_out(a, h->path, PATH_MAX_BYTES);
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
    pb->cpu = wire_text_out(a, h->cpu, TEXT_MAX);
    pb->read_bytes_per_s = h->read_bytes_per_s;
    pb->entry_from = h->entry_from;
    pb->entry_to = h->entry_to;
    pb->n_heads = h->n_heads;
    pb->gather_bytes = h->gather_bytes;
    pb->gather_float_bytes = h->gather_float_bytes;
    pb->device = wire_text_out(a, h->device, TEXT_MAX);
    pb->device_bytes = h->device_bytes;
    return pb->host && pb->path && pb->cpu && pb->device ? pb : NULL;
}

static const char *hello_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Hello *pb = from;
    (void)a;
    m->hello = (struct hello){.version = pb->version,
                              .host = wire_text_in(pb->host, TEXT_MAX),
                              .cores = pb->cores,
                              .peer = pb->peer,
                              .model = pb->model,
                              .vocab = pb->vocab,
                              .plan = pb->plan,
                              .arithmetic = pb->arithmetic,
                              .selftest = pb->selftest,
                              .path = wire_text_in(pb->path, PATH_MAX_BYTES),
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
                              .cpu = wire_text_in(pb->cpu, TEXT_MAX),
                              .read_bytes_per_s = pb->read_bytes_per_s,
                              .entry_from = pb->entry_from,
                              .entry_to = pb->entry_to,
                              .n_heads = pb->n_heads,
                              .gather_bytes = pb->gather_bytes,
                              .gather_float_bytes = pb->gather_float_bytes,
                              .device = wire_text_in(pb->device, TEXT_MAX),
                              .device_bytes = pb->device_bytes};
    return NULL;
}

static const void *welcome_out(struct wire_arena *a, const struct message *m)
{
    Pf__Welcome *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__welcome__init(pb);
    pb->epoch = m->welcome.epoch;
    pb->root = m->welcome.root;
    pb->n_slots = m->welcome.n_slots;
    pb->n_ctx = m->welcome.n_ctx;
    pb->stage_share = wire_text_out(a, m->welcome.stage_share, PATH_MAX_BYTES);
    pb->shard_share = wire_text_out(a, m->welcome.shard_share, PATH_MAX_BYTES);
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
                                  .stage_share = wire_text_in(pb->stage_share, PATH_MAX_BYTES),
                                  .shard_share = wire_text_in(pb->shard_share, PATH_MAX_BYTES)};
    return NULL;
}

static const void *ready_out(struct wire_arena *a, const struct message *m)
{
    Pf__Ready *pb = wire_take(a, 1, sizeof *pb);
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
    Pf__Loading *pb = wire_take(a, 1, sizeof *pb);
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

static const void *metadata_out(struct wire_arena *a, const struct message *m)
{
    Pf__Metadata *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__metadata__init(pb);
    pb->part = m->metadata.part;
    pb->n_parts = m->metadata.n_parts;
    pb->metadata = (ProtobufCBinaryData){.len = m->metadata.n_bytes, .data = (uint8_t *)m->metadata.bytes};
    return pb;
}

static const char *metadata_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Metadata *pb = from;
    (void)a;
    m->metadata = (struct metadata_part){
        .part = pb->part, .n_parts = pb->n_parts, .bytes = pb->metadata.data, .n_bytes = pb->metadata.len};
    return NULL;
}

static const void *ping_out(struct wire_arena *a, const struct message *m)
{
    Pf__Ping *pb = wire_take(a, 1, sizeof *pb);
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
    Pf__Pong *pb = wire_take(a, 1, sizeof *pb);
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
    pb->n_dropped = p->n_dropped;
    pb->draft_plan = wire_text_out(a, p->draft_plan, PART_PLAN_MOST);
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
                            .n_dropped = pb->n_dropped,
                            .draft_plan = *pb->draft_plan ? wire_text_in(pb->draft_plan, PART_PLAN_MOST) : NULL};
    return NULL;
}

static const void *fail_out(struct wire_arena *a, const struct message *m)
{
    Pf__Fail *pb = wire_take(a, 1, sizeof *pb);
    if (!pb) return NULL;
    pf__fail__init(pb);
    pb->code = m->fail.code;
    pb->text = wire_text_out(a, m->fail.text, TEXT_MAX);
    return pb->text ? pb : NULL;
}

static const char *fail_in(struct wire_arena *a, const void *from, struct message *m)
{
    const Pf__Fail *pb = from;
    (void)a;
    m->fail = (struct fail){.code = pb->code, .text = wire_text_in(pb->text, TEXT_MAX)};
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

static const struct wire_codec *const codecs[N_TAGS] = {
    [TAG_HELLO] = &(const struct wire_codec){&pf__hello__descriptor, hello_out, hello_in},
    [TAG_METADATA] = &(const struct wire_codec){&pf__metadata__descriptor, metadata_out, metadata_in},
    [TAG_WELCOME] = &(const struct wire_codec){&pf__welcome__descriptor, welcome_out, welcome_in},
    [TAG_READY] = &(const struct wire_codec){&pf__ready__descriptor, ready_out, ready_in},
    [TAG_LOADING] = &(const struct wire_codec){&pf__loading__descriptor, loading_out, loading_in},
    [TAG_PING] = &(const struct wire_codec){&pf__ping__descriptor, ping_out, ping_in},
    [TAG_PONG] = &(const struct wire_codec){&pf__pong__descriptor, pong_out, pong_in},
    [TAG_FAIL] = &(const struct wire_codec){&pf__fail__descriptor, fail_out, fail_in},
    [TAG_QUIT] = &(const struct wire_codec){&pf__fail__descriptor, fail_out, fail_in},
    [TAG_OPEN] = &wire_open,
    [TAG_CUT] = &wire_cut,
    [TAG_ACK] = &wire_ack,
    [TAG_TOKEN] = &wire_token,
    [TAG_VERIFY] = &wire_verify,
    [TAG_VERDICT] = &wire_verdict,
    [TAG_DRAFT_ASK] = &wire_draft_ask,
    [TAG_DRAFT] = &wire_draft,
    [TAG_PASS] = &wire_pass,
};

static const struct wire_codec *codec_of(int tag)
{
    return tag > 0 && tag < N_TAGS ? codecs[tag] : NULL;
}

int wire_encode(struct wire_arena *a, const struct message *m, const uint8_t **data, size_t *n_bytes, struct err *err)
{
    const struct wire_codec *codec = codec_of((int)m->tag);
    if (!codec) return err_set(err, E_FAIL, "tag %d is no message", (int)m->tag);
    const struct wire_tag *tag = &wire_tags[m->tag];
    a->used = 0;
    const void *pb = codec->out(a, m);
    size_t n = pb ? protobuf_c_message_get_packed_size(pb) : 0;
    if (n > tag->max_bytes) return err_set(err, E_FAIL, "a %s of %zu bytes, at most %zu", tag->name, n, tag->max_bytes);
    uint8_t *packed = pb ? wire_take(a, n, 1) : NULL;
    if (!packed) return err_set(err, E_FAIL, "a %s %s (%zu bytes)", tag->name, wire_no_room, a->size);
    protobuf_c_message_pack(pb, packed);
    *data = packed;
    *n_bytes = n;
    return OK;
}

/* What protobuf-c takes memory from while it unpacks; it frees nothing. */
struct bump {
    struct wire_arena *arena;
    bool refused;
};

static void *bump_alloc(void *data, size_t size)
{
    struct bump *b = data;
    void *taken = wire_take(b->arena, 1, size);
    b->refused |= !taken;
    return taken;
}

static void bump_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

int wire_decode(struct wire_arena *a, int tag, const uint8_t *data, size_t n_bytes, struct message *out,
                struct err *err)
{
    const struct wire_codec *codec = codec_of(tag);
    if (!codec) return err_set(err, E_PEER, "a message with tag %d, which is no message", tag);
    const char *name = wire_tags[tag].name;
    if (n_bytes > wire_tags[tag].max_bytes)
        return err_set(err, E_PEER, "a %s of %zu bytes, at most %zu", name, n_bytes, wire_tags[tag].max_bytes);
    a->used = 0;
    struct bump bump = {.arena = a};
    ProtobufCAllocator allocator = {bump_alloc, bump_free, &bump};
    ProtobufCMessage *pb = protobuf_c_message_unpack(codec->type, &allocator, n_bytes, data);
    struct message m = {.tag = (enum tag)tag};
    const char *why = pb ? codec->in(a, pb, &m) : bump.refused ? wire_no_room : "is not in its format";
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
