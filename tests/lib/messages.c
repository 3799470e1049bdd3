#include "tests/lib/messages.h"

#include <float.h>
#include <stdint.h>
#include <string.h>

#include "proto/layout.h"
#include "proto/plan.h"

#define LIST(type, ...) (const type[]){__VA_ARGS__}, sizeof((const type[]){__VA_ARGS__}) / sizeof(type)
#define NAN_BITS __builtin_nanf("0x1234") /* a NaN that is not the usual one */

static const float hard_lps[] = {0.0f, -0.0f, -1.5f, -FLT_MAX, -FLT_MIN, -0x1p-149f};
static const float hidden[] = {1.0f, -0.0f, NAN_BITS, 0x1p-149f, -FLT_MAX, 0.125f, -2.5f, 3e-5f};
enum { N_HARD = sizeof hard_lps / sizeof *hard_lps, N_HIDDEN = sizeof hidden / sizeof *hidden };

static const struct row prompt_rows[] = {
    {.id = 785}, {.id = 3974}, {.id = 13876}, {.id = 38835}, {.id = 34208, .wanted = true}};
static const struct row judged_rows[] = {
    {264, true, 0, LIST(int32_t, 12)},
    {12, true, 2, LIST(int32_t, 151935)},
    {151935, true, 0, NULL, 0},
};
static const struct row hard_rows[] = {
    {INT32_MIN, true, UINT32_MAX, LIST(int32_t, INT32_MIN, -1, 0, 1, INT32_MAX)},
    {INT32_MAX, false, 0, NULL, 0},
    {0, false, 0, NULL, 0},
};
#define HARD_SAMPLER                                                                                                   \
    {                                                                                                                  \
        0x1p-149f, UINT32_MAX, 0x1p-149f, -0.0f, UINT32_MAX, UINT32_MAX, UINT32_MAX                                    \
    }
static const struct part hard_parts[] = {
    {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT64_MAX, hard_rows, 3, HARD_SAMPLER, true, NULL, "skip:3",
     SLOTS_MOST, true},
    {0},
    {1, 0, 2, 9, 0x8000000000000000u, prompt_rows, 5, {.temp = 0}, false, "\xff in block 2\n", NULL, 0, false},
};
static const struct part job_parts[] = {
    {17, 0, 4, 212, 0x9E3779B97F4A7C15u, judged_rows, 3, {.temp = 0}, true, NULL, NULL, 2, false},
    {18,
     1,
     0,
     0,
     0xff51afd7ed558ccdu,
     prompt_rows,
     5,
     {0.7f, 40, 0.95f, 0.05f, 42, 1, 0},
     false,
     "a block",
     "layerskip:2",
     0,
     false},
};

const struct message_example messages[] = {
    {"hello",
     {TAG_HELLO, .hello = {.version = WIRE_VERSION,
                           .host = "node17",
                           .cores = 64,
                           .peer = 3,
                           .model = 0x0123456789abcdefu,
                           .vocab = 0xfedcba9876543210u,
                           .plan = 1,
                           .arithmetic = 1,
                           .selftest = 0xc4ceb9fe1a85ec53u,
                           .path = "models/big.gguf",
                           .weights_bytes = 980000000,
                           .body_bytes = 790000000,
                           .head_bytes = 190000000,
                           .kv_position_bytes = 28672,
                           .memory_bytes = 8ull << 30,
                           .n_vocab = 151936,
                           .n_ctx_max = 32768,
                           .max_rows = 128,
                           .max_jobs = 256,
                           .threads = 2,
                           .cpu = "avx512",
                           .read_bytes_per_s = 20000000000,
                           .entry_from = 12,
                           .entry_to = 24,
                           .n_heads = 7,
                           .gather_bytes = 675000,
                           .gather_float_bytes = 1500000,
                           .device = "cuda 0, NVIDIA H200",
                           .device_bytes = 150ull << 30}}},
    {"hello_hard", {TAG_HELLO, .hello = {UINT32_MAX, "\xff\xfe not UTF-8 \x80",
                                         UINT32_MAX, INT32_MIN,
                                         UINT64_MAX, UINT64_MAX,
                                         UINT64_MAX, UINT32_MAX,
                                         UINT64_MAX, "",
                                         UINT64_MAX, UINT64_MAX,
                                         UINT64_MAX, UINT64_MAX,
                                         UINT64_MAX, UINT32_MAX,
                                         UINT32_MAX, UINT32_MAX,
                                         UINT32_MAX, UINT32_MAX,
                                         "\n",       UINT64_MAX,
                                         UINT32_MAX, UINT32_MAX,
                                         UINT32_MAX, UINT64_MAX,
                                         UINT64_MAX, "\x80",
                                         UINT64_MAX}}},
    {"hello_empty", {TAG_HELLO, .hello = {.host = "", .path = "", .cpu = "", .device = ""}}},
    {"welcome", {TAG_WELCOME, .welcome = {1, 0xff51afd7ed558ccdu, 8, 4096, "20,4", "9,3"}}},
    {"welcome_least", {TAG_WELCOME, .welcome = {0, 0, 1, 1, "", ""}}},
    {"vocab", {TAG_METADATA, .metadata = {2, 3, (const uint8_t *)"GGUF", 4}}},
    {"vocab_empty", {TAG_METADATA, .metadata = {0}}},
    {"ready", {TAG_READY, .ready = {UINT32_MAX}}},
    {"loading", {TAG_LOADING, .loading = {UINT64_MAX}}},
    {"loading_empty", {TAG_LOADING, .loading = {0}}},
    {"open",
     {TAG_OPEN, .open = {3,
                         151646,
                         LIST(int32_t, 151645, 151643),
                         4096,
                         7,
                         {0.7f, 40, 0.95f, 0.05f, 42, 1, 0},
                         3,
                         128,
                         8,
                         true,
                         5,
                         false,
                         1}}},
    {"open_hard",
     {TAG_OPEN, .open = {UINT32_MAX, 1 << 28, LIST(int32_t, INT32_MIN, -1), CONTEXT_MOST, UINT32_MAX, HARD_SAMPLER,
                         UINT32_MAX, CONTEXT_MOST, DRAFTS_MOST, false, UINT32_MAX, true, DRAFT_PLANS_MOST - 1}}},
    {"open_empty", {TAG_OPEN, .open = {0}}},
    {"cut", {TAG_CUT, .cut = {UINT32_MAX, 7}}},
    {"ack", {TAG_ACK, .ack = {3, UINT32_MAX, HOLD_US_MOST}}},
    {"ping", {TAG_PING, .ping = {UINT64_MAX, NULL, 0}}},
    {"ping_loaded", {TAG_PING, .ping = {7, LIST(uint8_t, 0, 0, 255)}}},
    {"pong",
     {TAG_PONG, .pong = {UINT64_MAX, UINT32_MAX, true, UINT32_MAX, MAX_PEERS - 1, UINT32_MAX, UINT64_MAX, UINT64_MAX,
                         MAX_PEERS - 1, "ode:0,3-7", UINT32_MAX, UINT32_MAX}}},
    {"pong_empty", {TAG_PONG, .pong = {0}}},
    {"token", {TAG_TOKEN, .token = {UINT32_MAX, 3, UINT32_MAX, 4096, 0xff51afd7ed558ccdu, INT32_MAX, UINT32_MAX}}},
    {"token_least", {TAG_TOKEN, .token = {.at = 1}}},
    {"verify",
     {TAG_VERIFY,
      .verify =
          {18,
           1,
           0,
           0,
           0xff51afd7ed558ccdu,
           prompt_rows,
           5,
           {0.7f, 40, 0.95f, 0.05f, 42, 1, 0},
           false,
           NULL,
           NULL,
           1,
           false}}},
    {"verify_hard",
     {TAG_VERIFY, .verify = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT64_MAX, hard_rows, 3, HARD_SAMPLER,
                             false, NULL, "skip:3,7-9", SLOTS_MOST, false}}},
    {"verify_empty", {TAG_VERIFY, .verify = {0}}},
    {"verdict",
     {TAG_VERDICT, .verdict = {17, 0, 4, 212, 0x9E3779B97F4A7C15u, VERDICT_OK, 215,
                               LIST(struct verdict_row, {12, -0.25f, LIST(float, -0.25f), NULL, 0},
                                    {400, -1.75f, LIST(float, -3.0f), LIST(struct top, {400, -1.75f}, {7, -2.5f})}),
                               12, 41000, 9, NULL, NULL, 0, 0}}},
    {"verdict_self",
     {TAG_VERDICT, .verdict = {.slot = 3,
                               .round = 4,
                               .at = 212,
                               .prefix_hash = 0x9E3779B97F4A7C15u,
                               .held = 215,
                               .rows = (const struct verdict_row[]){{12, -0.25f, LIST(float, -0.25f), NULL, 0},
                                                                    {400, -1.75f, LIST(float, -3.0f), NULL, 0},
                                                                    {7, -0.5f, NULL, 0, NULL, 0}},
                               .n_rows = 3,
                               .computed_us = 41000,
                               .pass_rows = 19,
                               .drafted_us = 9000,
                               .drafts = (const int32_t[]){12, INT32_MAX},
                               .n_drafts = 2}}},
    {"verdict_hard",
     {TAG_VERDICT,
      .verdict = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT64_MAX, VERDICT_FULL, UINT32_MAX,
                  LIST(struct verdict_row, {INT32_MAX, -0.0f, hard_lps, N_HARD, NULL, 0},
                       {0, -FLT_MAX, NULL, 0, LIST(struct top, {INT32_MAX, -0.0f}, {1, -FLT_MAX}, {0, 0.0f})}),
                  UINT32_MAX, UINT32_MAX, UINT32_MAX, NULL, NULL, 0, UINT32_MAX}}},
    {"verdict_late", {TAG_VERDICT, .verdict = {.status = VERDICT_LATE, .held = 12}}},
    {"verdict_failed", {TAG_VERDICT, .verdict = {.status = VERDICT_FAILED, .held = 12, .error = "\xff not finite\n"}}},
    {"verdict_refused",
     {TAG_VERDICT, .verdict = {.job = 9, .slot = 2, .at = 40, .prefix_hash = 5, .status = VERDICT_GAP, .held = 31}}},
    {"ask",
     {TAG_DRAFT_ASK, .ask = {0,
                             5,
                             215,
                             0xc4ceb9fe1a85ec53u,
                             LIST(int32_t, 400, 13),
                             225,
                             0.4f,
                             0.65f,
                             {1.0f, 0, 1.0f, 0.0f, 42, 1, 512},
                             2,
                             218,
                             4,
                             1}}},
    {"ask_hard",
     {TAG_DRAFT_ASK,
      .ask = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT64_MAX, LIST(int32_t, INT32_MIN, -1, 0), UINT32_MAX, -0.0f,
              FLT_MAX, HARD_SAMPLER, UINT32_MAX, UINT32_MAX, SLOTS_MOST, DRAFT_PLANS_MOST - 1}}},
    {"ask_empty", {TAG_DRAFT_ASK, .ask = {0}}},
    {"draft",
     {TAG_DRAFT,
      .draft = {0, 5, 217, 77, LIST(struct draft_row, {264, 0.91f}, {12, 0.5f}, {9, 0.125f}), DRAFT_LOW, 220, 9200}}},
    {"draft_hard",
     {TAG_DRAFT, .draft = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT64_MAX,
                           LIST(struct draft_row, {INT32_MAX, 1}, {1, -0.0f}, {0, 0x1p-149f}), DRAFT_JOINT_LOW,
                           UINT32_MAX, UINT32_MAX}}},
    {"draft_failed", {TAG_DRAFT, .draft = {.at = 40, .end = DRAFT_FAILED, .held = 31}}},
    {"draft_more", {TAG_DRAFT, .draft = {0, 5, 217, 77, LIST(struct draft_row, {264, 0.91f}), DRAFT_MORE, 218, 8100}}},
    {"draft_empty", {TAG_DRAFT, .draft = {0}}},
    {"fail", {TAG_FAIL, .fail = {E_MODEL, "model.gguf: 13 tensors, but the directory ends after 12"}}},
    {"quit", {TAG_QUIT, .fail = {0, ""}}},
    {"pass", {TAG_PASS, .pass = {41, job_parts, 2, hidden, 6, 15, 20100, false, 0, 12, 0}}},
    {"pass_hard",
     {TAG_PASS, .pass = {UINT32_MAX, hard_parts, 3, hidden, N_HIDDEN, UINT32_MAX, UINT32_MAX, true, UINT32_MAX,
                         UINT32_MAX, DRAFT_PLANS_MOST - 1}}},
    {"pass_empty", {TAG_PASS, .pass = {0}}},
};
const size_t n_messages = sizeof messages / sizeof *messages;

/* ---- equality ---- */

static bool same_bytes(const void *a, size_t n_a, const void *b, size_t n_b, size_t size)
{
    return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a * size) == 0);
}

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool same_row(const struct row *a, const struct row *b)
{
    return a->id == b->id && a->wanted == b->wanted && a->n_top == b->n_top &&
           same_bytes(a->judge, a->n_judge, b->judge, b->n_judge, sizeof *a->judge);
}

static bool same_sampler(const struct sampler *a, const struct sampler *b)
{
    return same_bits(a->temp, b->temp) && a->top_k == b->top_k && same_bits(a->top_p, b->top_p) &&
           same_bits(a->min_p, b->min_p) && a->seed == b->seed && a->sample == b->sample && a->offset == b->offset;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_parts(const struct part *a, size_t n_a, const struct part *b, size_t n_b)
{
    bool same = n_a == n_b;
    for (size_t i = 0; same && i < n_a; i++) {
        same = a[i].job == b[i].job && a[i].slot == b[i].slot && a[i].round == b[i].round && a[i].at == b[i].at &&
               a[i].prefix_hash == b[i].prefix_hash && a[i].n_rows == b[i].n_rows &&
               same_text(a[i].error, b[i].error) && a[i].token == b[i].token && a[i].dropped == b[i].dropped &&
               same_text(a[i].plan, b[i].plan) && a[i].from == b[i].from && same_sampler(&a[i].sampler, &b[i].sampler);
        for (size_t k = 0; same && k < a[i].n_rows; k++) same = same_row(&a[i].rows[k], &b[i].rows[k]);
    }
    return same;
}

static bool same_verdict_row(const struct verdict_row *a, const struct verdict_row *b)
{
    bool same = a->next == b->next && same_bits(a->lp_next, b->lp_next) && a->n_top == b->n_top &&
                same_bytes(a->lp_judged, a->n_judged, b->lp_judged, b->n_judged, sizeof *a->lp_judged);
    for (size_t i = 0; same && i < a->n_top; i++)
        same = a->top[i].id == b->top[i].id && same_bits(a->top[i].lp, b->top[i].lp);
    return same;
}

static bool same_verdict(const struct verdict *a, const struct verdict *b)
{
    bool same = a->job == b->job && a->slot == b->slot && a->round == b->round && a->at == b->at &&
                a->prefix_hash == b->prefix_hash && a->status == b->status && a->held == b->held &&
                a->queued_us == b->queued_us && a->computed_us == b->computed_us && a->pass_rows == b->pass_rows &&
                a->drafted_us == b->drafted_us && a->n_rows == b->n_rows && same_text(a->error, b->error) &&
                same_bytes(a->drafts, a->n_drafts, b->drafts, b->n_drafts, sizeof *a->drafts);
    for (size_t i = 0; same && i < a->n_rows; i++) same = same_verdict_row(&a->rows[i], &b->rows[i]);
    return same;
}

static bool same_draft(const struct draft *a, const struct draft *b)
{
    bool same = a->slot == b->slot && a->round == b->round && a->at == b->at && a->prefix_hash == b->prefix_hash &&
                a->end == b->end && a->held == b->held && a->us == b->us && a->n_rows == b->n_rows;
    for (size_t i = 0; same && i < a->n_rows; i++)
        same = a->rows[i].id == b->rows[i].id && same_bits(a->rows[i].p_top, b->rows[i].p_top);
    return same;
}

static bool same_hello(const struct hello *a, const struct hello *b)
{
    return a->version == b->version && a->cores == b->cores && a->peer == b->peer && a->model == b->model &&
           a->vocab == b->vocab && a->plan == b->plan && a->arithmetic == b->arithmetic && a->selftest == b->selftest &&
           a->weights_bytes == b->weights_bytes && a->body_bytes == b->body_bytes && a->head_bytes == b->head_bytes &&
           a->kv_position_bytes == b->kv_position_bytes && a->memory_bytes == b->memory_bytes &&
           a->n_vocab == b->n_vocab && a->n_ctx_max == b->n_ctx_max && a->max_rows == b->max_rows &&
           a->max_jobs == b->max_jobs && a->threads == b->threads && strcmp(a->host, b->host) == 0 &&
           strcmp(a->path, b->path) == 0 && strcmp(a->cpu, b->cpu) == 0 && a->read_bytes_per_s == b->read_bytes_per_s &&
           a->entry_from == b->entry_from && a->entry_to == b->entry_to && a->n_heads == b->n_heads &&
           a->gather_bytes == b->gather_bytes && a->gather_float_bytes == b->gather_float_bytes &&
           strcmp(a->device, b->device) == 0 && a->device_bytes == b->device_bytes;
}

static bool same_pong(const struct pong *a, const struct pong *b)
{
    return a->sent_ns == b->sent_ns && a->n_passes == b->n_passes && a->busy == b->busy && a->block_us == b->block_us &&
           a->waits_for == b->waits_for && a->n_load == b->n_load && a->busy_us == b->busy_us &&
           a->ready_us == b->ready_us && a->misses == b->misses && a->n_trials == b->n_trials &&
           a->n_dropped == b->n_dropped && same_text(a->draft_plan, b->draft_plan);
}

static bool same_ask(const struct draft_ask *a, const struct draft_ask *b)
{
    return a->slot == b->slot && a->round == b->round && a->at == b->at && a->prefix_hash == b->prefix_hash &&
           a->until == b->until && a->block == b->block && a->p_min_from == b->p_min_from && a->from == b->from &&
           a->draft_plan == b->draft_plan && same_bits(a->p_min, b->p_min) &&
           same_bits(a->p_joint_min, b->p_joint_min) && same_sampler(&a->sampler, &b->sampler) &&
           same_bytes(a->ids, a->n_ids, b->ids, b->n_ids, sizeof *a->ids);
}

static bool same_pass(const struct pass *a, const struct pass *b)
{
    return a->pass == b->pass && a->queued_us == b->queued_us && a->computed_us == b->computed_us &&
           a->draft == b->draft && a->drafted_us == b->drafted_us && a->n_tokens == b->n_tokens &&
           a->draft_plan == b->draft_plan &&
           same_bytes(a->hidden, a->n_hidden, b->hidden, b->n_hidden, sizeof *a->hidden) &&
           same_parts(a->parts, a->n_parts, b->parts, b->n_parts);
}

bool messages_same(const struct message *a, const struct message *b)
{
    if (a->tag != b->tag) return false;
    switch (a->tag) {
    case TAG_HELLO: return same_hello(&a->hello, &b->hello);
    case TAG_WELCOME:
        return a->welcome.epoch == b->welcome.epoch && a->welcome.root == b->welcome.root &&
               a->welcome.n_slots == b->welcome.n_slots && a->welcome.n_ctx == b->welcome.n_ctx &&
               !strcmp(a->welcome.stage_share, b->welcome.stage_share) &&
               !strcmp(a->welcome.shard_share, b->welcome.shard_share);
    case TAG_METADATA:
        return a->metadata.part == b->metadata.part && a->metadata.n_parts == b->metadata.n_parts &&
               same_bytes(a->metadata.bytes, a->metadata.n_bytes, b->metadata.bytes, b->metadata.n_bytes, 1);
    case TAG_READY: return a->ready.epoch == b->ready.epoch;
    case TAG_PING:
        return a->ping.sent_ns == b->ping.sent_ns &&
               same_bytes(a->ping.load, a->ping.n_load, b->ping.load, b->ping.n_load, 1);
    case TAG_PONG: return same_pong(&a->pong, &b->pong);
    case TAG_LOADING: return a->loading.n_bytes == b->loading.n_bytes;
    case TAG_OPEN:
        return a->open.slot == b->open.slot && a->open.n_ids == b->open.n_ids &&
               a->open.last_position == b->open.last_position && a->open.round == b->open.round &&
               a->open.n_top == b->open.n_top && a->open.self_max == b->open.self_max &&
               a->open.draft_max == b->open.draft_max && a->open.adaptive == b->open.adaptive &&
               a->open.text == b->open.text && a->open.while_right == b->open.while_right &&
               a->open.draft_plan == b->open.draft_plan && same_sampler(&a->open.sampler, &b->open.sampler) &&
               same_bytes(a->open.end_ids, a->open.n_end_ids, b->open.end_ids, b->open.n_end_ids, sizeof(int32_t));
    case TAG_CUT: return a->cut.slot == b->cut.slot && a->cut.round == b->cut.round;
    case TAG_ACK: return a->ack.slot == b->ack.slot && a->ack.at == b->ack.at && a->ack.hold_us == b->ack.hold_us;
    case TAG_TOKEN:
        return a->token.slot == b->token.slot && a->token.round == b->token.round && a->token.at == b->token.at &&
               a->token.prefix_hash == b->token.prefix_hash && a->token.id == b->token.id &&
               a->token.job == b->token.job && a->token.number == b->token.number;
    case TAG_VERIFY: return same_parts(&a->verify, 1, &b->verify, 1);
    case TAG_VERDICT: return same_verdict(&a->verdict, &b->verdict);
    case TAG_DRAFT_ASK: return same_ask(&a->ask, &b->ask);
    case TAG_DRAFT: return same_draft(&a->draft, &b->draft);
    case TAG_FAIL:
    case TAG_QUIT: return a->fail.code == b->fail.code && strcmp(a->fail.text, b->fail.text) == 0;
    case TAG_PASS: return same_pass(&a->pass, &b->pass);
    default: return false;
    }
}
