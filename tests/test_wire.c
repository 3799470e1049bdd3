/* Messages to bytes and back: nothing is lost, and no bytes do harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/messages.h"
#include "worker/roles/role.h"

enum { ROOM = 1 << 20 };

static struct wire_arena out, in;

/* Bytes of a message, in a block with nothing behind them: a sanitizer sees a read past the end. */
static uint8_t *encoded(const struct message *m, size_t *n)
{
    const uint8_t *data;
    struct err err;
    if (wire_encode(&out, m, &data, n, &err) != OK) fail_msg("%s", err.text);
    uint8_t *copy = malloc(*n ? *n : 1);
    memcpy(copy, data, *n);
    return copy;
}

static void every_message_comes_back_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_messages; i++) {
        size_t n;
        struct message m;
        struct err err = {0};
        uint8_t *data = encoded(&messages[i].m, &n);
        if (wire_decode(&in, (int)messages[i].m.tag, data, n, &m, &err) != OK || !messages_same(&messages[i].m, &m))
            fail_msg("%s: %s", messages[i].name, err.text);
        free(data);
    }
}

static void every_tag_with_a_name_has_an_example(void **state)
{
    (void)state;
    for (int tag = 0; tag < N_TAGS; tag++) {
        int n = 0;
        for (size_t i = 0; i < n_messages; i++) n += (int)messages[i].m.tag == tag;
        if (!wire_tags[tag].name != !n) fail_msg("tag %d has %d examples", tag, n);
    }
}

/* Whatever the bytes: a code, one line, and no byte beyond the arena. */
static int decode_any(struct wire_arena *a, int tag, const uint8_t *data, size_t n)
{
    struct message m, unset;
    struct err err = {0};
    memset(&m, 0x5a, sizeof m);
    memset(&unset, 0x5a, sizeof unset);
    int rc = wire_decode(a, tag, data, n, &m, &err);
    assert_true(a->used <= a->size);
    if (rc == OK) {
        assert_true(messages_same(&m, &m)); /* every array and text can be read */
    } else {
        assert_int_equal(rc, E_PEER);
        assert_true(err.text[0] && !strchr(err.text, '\n'));
        assert_memory_equal(&m, &unset, sizeof m);
    }
    return rc;
}

static void a_message_cut_at_any_byte_does_no_harm(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_messages; i++) {
        size_t n;
        uint8_t *data = encoded(&messages[i].m, &n);
        for (size_t cut = 0; cut < n; cut++) {
            uint8_t *part = malloc(cut ? cut : 1);
            memcpy(part, data, cut);
            decode_any(&in, (int)messages[i].m.tag, part, cut);
            free(part);
        }
        free(data);
    }
}

static void any_bit_flipped_does_no_harm(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_messages; i++) {
        size_t n;
        uint8_t *data = encoded(&messages[i].m, &n);
        for (size_t bit = 0; bit < 8 * n; bit++) {
            data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            decode_any(&in, (int)messages[i].m.tag, data, n);
            data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free(data);
    }
}

static void bytes_of_one_message_read_as_another_do_no_harm(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_messages; i++) {
        size_t n;
        uint8_t *data = encoded(&messages[i].m, &n);
        for (int tag = -1; tag <= N_TAGS; tag++) decode_any(&in, tag, data, n);
        free(data);
    }
}

/* Arenas of every size up to what is enough: refused until then, and right from then on. */
static void an_arena_of_any_size_is_never_exceeded(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_messages; i++) {
        size_t n, n_again;
        const uint8_t *again;
        struct err err;
        uint8_t *data = encoded(&messages[i].m, &n);
        int encodes = E_FAIL, decodes = E_PEER;
        for (size_t size = 0; encodes != OK || decodes != OK; size++) {
            struct wire_arena small;
            assert_int_equal(wire_arena_init(&small, size, &err), OK);
            int rc = decode_any(&small, (int)messages[i].m.tag, data, n);
            if (decodes == OK) assert_int_equal(rc, OK);
            if (rc == OK) { /* whole, too */
                struct message m;
                assert_int_equal(wire_decode(&small, (int)messages[i].m.tag, data, n, &m, &err), OK);
                assert_true(messages_same(&messages[i].m, &m));
            }
            decodes = rc;
            rc = wire_encode(&small, &messages[i].m, &again, &n_again, &err);
            if (encodes == OK || rc == OK) {
                assert_int_equal(rc, OK);
                assert_int_equal(n_again, n);
                assert_memory_equal(again, data, n);
            }
            encodes = rc;
            wire_arena_free(&small);
            assert_true(size < ROOM);
        }
        free(data);
    }
}

static void what_has_no_room_is_not_called_malformed(void **state)
{
    (void)state;
    struct wire_arena small;
    struct message m;
    struct err err = {0};
    size_t n;
    uint8_t *data = encoded(&(struct message){.tag = TAG_QUIT, .fail = {1, "words"}}, &n);
    for (size_t size = 0; size < 64; size += 16) {
        assert_int_equal(wire_arena_init(&small, size, &err), OK);
        if (wire_decode(&small, TAG_QUIT, data, n, &m, &err) != OK)
            assert_non_null(strstr(err.text, "takes more memory than there is"));
        wire_arena_free(&small);
    }
    free(data);
}

static void fields_that_we_do_not_know_are_skipped(void **state)
{
    (void)state;
    static const uint8_t unknown[] = {0xa0, 0x06, 0x07,                    /* field 100, a number */
                                      0xaa, 0x06, 0x03, 'n',  'e',  'w',   /* field 101, bytes */
                                      0xb5, 0x06, 0x01, 0x02, 0x03, 0x04}; /* field 102, 4 bytes */
    for (size_t i = 0; i < n_messages; i++) {
        size_t n;
        struct message m;
        struct err err;
        uint8_t *data = encoded(&messages[i].m, &n), *more = malloc(n + sizeof unknown);
        memcpy(more, unknown, sizeof unknown);
        memcpy(more + sizeof unknown, data, n);
        assert_int_equal(wire_decode(&in, (int)messages[i].m.tag, more, n + sizeof unknown, &m, &err), OK);
        assert_true(messages_same(&messages[i].m, &m));
        free(data);
        free(more);
    }
}

static void refuses_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int tag;
        uint8_t bytes[16];
        size_t n;
        const char *says;
    } rows[] = {
        {"no message", 0, {0}, 0, "a message with tag 0, which is no message"},
        {"a reserved tag", TAG_FORK, {0}, 0, "a message with tag 10, which is no message"},
        {"a tag past the last", N_TAGS, {0}, 0, "a message with tag 20, which is no message"},
        {"a negative tag", -1, {0}, 0, "a message with tag -1, which is no message"},
        {"a status past the last", TAG_VERDICT, {0x30, 6}, 2, "a Verdict of 2 bytes has a status that does not exist"},
        {"an end past the last", TAG_DRAFT, {0x30, 10}, 2, "a Draft of 2 bytes has an end that does not exist"},
        {"a failure without a cause",
         TAG_VERDICT,
         {0x30, 4},
         2,
         "a Verdict whose number of errors is 0, expected 1 to 1"},
        {"a cause without a failure",
         TAG_VERDICT,
         {0x5a, 1, 'x'},
         3,
         "a Verdict whose number of errors is 1, expected 0 to 0"},
        {"a failure with a row",
         TAG_VERDICT,
         {0x30, 4, 0x42, 0, 0x5a, 1, 'x'},
         7,
         "a Verdict whose number of rows is 1, expected 0 to 0"},
        {"drafts of the coordinator's",
         TAG_VERDICT,
         {0x08, 1, 0x42, 0, 0x42, 0, 0x62, 1, 7},
         9,
         "a Verdict whose number of drafts is 1, expected 0 to 0"},
        {"drafts of a refusal",
         TAG_VERDICT,
         {0x30, 2, 0x62, 1, 7},
         5,
         "a Verdict whose number of drafts is 1, expected 0 to 0"},
        {"drafts without a row behind them",
         TAG_VERDICT,
         {0x42, 0, 0x62, 1, 7},
         5,
         "a Verdict whose number of rows is 1, expected 2 to 2"},
        {"more rows than drafts and one",
         TAG_VERDICT,
         {0x42, 0, 0x42, 0, 0x42, 0, 0x62, 1, 7},
         9,
         "a Verdict whose number of rows is 3, expected 2 to 2"},
        {"a failed draft with a row",
         TAG_DRAFT,
         {0x2a, 0, 0x30, 8},
         4,
         "a Draft whose number of rows is 1, expected 0 to 0"},
        {"a row that judges 9 ids",
         TAG_VERIFY,
         {0x32, 11, 0x12, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0},
         13,
         "a Verify whose n_judge is 9, expected 0 to 8"},
        {"hidden rows of 3 bytes",
         TAG_PASS,
         {0x1a, 3, 1, 2, 3},
         5,
         "a Pass of 5 bytes has hidden rows that are no floats"},
        {"a length past the end", TAG_PASS, {0x1a, 9, 1, 2, 3}, 5, "a Pass of 5 bytes is not in its format"},
        {"a number of 11 bytes",
         TAG_READY,
         {8, 255, 255, 255, 255, 255, 255, 255},
         8,
         "a Ready of 8 bytes is not in its format"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct message m;
        struct err err = {0};
        int rc = wire_decode(&in, rows[i].tag, rows[i].bytes, rows[i].n, &m, &err);
        if (rc != E_PEER || strcmp(err.text, rows[i].says) != 0) fail_msg("%s: %d %s", rows[i].why, rc, err.text);
    }
}

static void a_message_over_its_bound_is_refused_both_ways(void **state)
{
    (void)state;
    enum { N = 70000 };
    int32_t *ids = calloc(N, sizeof *ids);
    uint8_t *bytes = calloc(N, 1);
    const uint8_t *data;
    size_t n;
    struct message m = {.tag = TAG_DRAFT_ASK, .ask = {.ids = ids, .n_ids = 65500}};
    struct err err = {0};
    assert_int_equal(wire_encode(&out, &m, &data, &n, &err), OK);
    assert_true(n > 65500 && n <= wire_tags[TAG_DRAFT_ASK].max_bytes);
    assert_int_equal(wire_decode(&in, TAG_DRAFT_ASK, data, n, &m, &err), OK);
    assert_int_equal(m.ask.n_ids, 65500);
    m.ask = (struct draft_ask){.ids = ids, .n_ids = 65500 + 65536 - n}; /* the most */
    assert_int_equal(wire_encode(&out, &m, &data, &n, &err), OK);
    assert_int_equal(n, 65536);
    assert_int_equal(wire_decode(&in, TAG_DRAFT_ASK, data, n, &m, &err), OK);
    m.ask = (struct draft_ask){.ids = ids, .n_ids = N};
    assert_int_equal(wire_encode(&out, &m, &data, &n, &err), E_FAIL);
    assert_non_null(strstr(err.text, "at most 65536"));
    assert_int_equal(wire_decode(&in, TAG_DRAFT_ASK, bytes, 65537, &m, &err), E_PEER);
    assert_string_equal(err.text, "a DraftAsk of 65537 bytes, at most 65536");
    assert_int_equal(wire_encode(&out, &(struct message){.tag = TAG_FORK}, &data, &n, &err), E_FAIL);
    free(bytes);
    free(ids);
}

#define HELLO(field, low, high)                                                                                        \
    {                                                                                                                  \
        TAG_HELLO, #field, offsetof(struct hello, field), sizeof((struct hello *)0)->field, low, high                  \
    }
#define OTHER(tag, type, field, low, high)                                                                             \
    {                                                                                                                  \
        tag, #field, offsetof(struct type, field), 4, low, high                                                        \
    }

static void a_number_is_within_what_a_job_may_have(void **state)
{
    (void)state;
    static const struct {
        enum tag tag;
        const char *name;
        size_t at, size;
        uint64_t low, high;
    } rows[] = {
        HELLO(cores, 1, 1 << 20),
        HELLO(peer, 1, 255),
        HELLO(weights_bytes, 0, 1ull << 50),
        HELLO(body_bytes, 0, 1ull << 50),
        HELLO(head_bytes, 0, 1ull << 50),
        HELLO(kv_position_bytes, 0, 1 << 26),
        HELLO(n_vocab, 0, 1 << 28),
        HELLO(n_ctx_max, 0, INT32_MAX),
        HELLO(max_rows, 2, 1 << 12),
        HELLO(max_jobs, 256, 1 << 12),
        HELLO(threads, 1, 1 << 16),
        HELLO(read_bytes_per_s, 0, 1ull << 50),
        HELLO(entry_from, 0, 1 << 20),
        HELLO(entry_to, 0, 1 << 20),
        HELLO(n_heads, 0, 1 << 20),
        HELLO(gather_bytes, 0, 1ull << 50),
        HELLO(gather_float_bytes, 0, 1ull << 50),
        HELLO(device_bytes, 0, 1ull << 50),
        OTHER(TAG_WELCOME, welcome, n_slots, 1, 256),
        OTHER(TAG_WELCOME, welcome, n_ctx, 1, 1 << 20),
        OTHER(TAG_OPEN, open_slot, n_ids, 0, 1 << 28),
        OTHER(TAG_OPEN, open_slot, last_position, 0, 1 << 20),
        OTHER(TAG_OPEN, open_slot, self_max, 0, 1 << 20),
        OTHER(TAG_OPEN, open_slot, draft_max, 0, 64),
        OTHER(TAG_VERIFY, part, from, 0, 256),
        OTHER(TAG_DRAFT_ASK, draft_ask, from, 0, 256),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t like = 0;
        while (messages[like].m.tag != rows[i].tag) like++;
        for (int past = 0; past < 4; past++) {
            struct message m = messages[like].m;
            struct err err = {0};
            uint64_t value = past < 2 ? rows[i].low - (past == 1) : rows[i].high + (past == 3);
            memcpy((uint8_t *)&m.hello + rows[i].at, &value, rows[i].size);
            int rc = wire_check(&m, &err);
            if ((rc == OK) != (past % 2 == 0)) fail_msg("%s = %llu: %d", rows[i].name, (unsigned long long)value, rc);
            if (rc != OK) assert_non_null(strstr(err.text, rows[i].name));
        }
    }
}

/* Of a list each is looked at: the first, the last, and no more. */
static void every_row_of_a_list_is_within_its_bounds(void **state)
{
    (void)state;
    enum { N = 3 };
    for (int bad = -1; bad <= N; bad++) { /* -1: none; N: one behind the list */
        bool right = bad < 0 || bad == N;
        struct err err;
        float lps[N + 1] = {0};
        struct top tops[N + 1] = {{0}};
        struct verdict_row rows[N + 1] = {{0}}, row = {.lp_judged = lps, .n_judged = N},
                                    best = {.top = tops, .n_top = N};
        struct draft_row drafts[N + 1] = {{0}};
        struct row judges[N + 1] = {{0}};
        int32_t own[N + 1] = {0};
        struct verdict_row of_own[N + 1] = {{0}};
        struct part parts[N + 1] = {{0}};
        if (bad >= 0) {
            lps[bad] = rows[bad].lp_next = tops[bad].lp = .5f;
            drafts[bad].p_top = 2;
            judges[bad].n_judge = JUDGED_MOST + 1;
            own[bad] = -1;
            parts[bad].sampler.temp = -1;
        }
        const struct message lists[] = {
            {TAG_VERDICT, .verdict = {.rows = rows, .n_rows = N}},
            {TAG_VERDICT, .verdict = {.rows = &row, .n_rows = 1}},
            {TAG_VERDICT, .verdict = {.rows = &best, .n_rows = 1}},
            {TAG_VERDICT, .verdict = {.rows = of_own, .n_rows = N + 1, .drafts = own, .n_drafts = N}},
            {TAG_DRAFT, .draft = {.rows = drafts, .n_rows = N}},
            {TAG_VERIFY, .verify = {.rows = judges, .n_rows = N}},
            {TAG_PASS, .pass = {.parts = parts, .n_parts = N}},
        };
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
            if ((wire_check(&lists[i], &err) == OK) != right) fail_msg("list %zu, bad at %d", i, bad);
    }
}

static void only_an_id_that_is_judged_may_be_one_that_is_never_chosen(void **state)
{
    (void)state;
    const float never = -INFINITY, no_number = NAN;
    const struct top best = {.lp = never};
    struct verdict_row row = {.lp_judged = &never, .n_judged = 1};
    const struct message m = {TAG_VERDICT, .verdict = {.rows = &row, .n_rows = 1}};
    struct err err;
    assert_int_equal(wire_check(&m, &err), OK);
    row.lp_judged = &no_number;
    assert_int_equal(wire_check(&m, &err), E_PEER);
    row = (struct verdict_row){.lp_next = never};
    assert_int_equal(wire_check(&m, &err), E_PEER);
    row = (struct verdict_row){.top = &best, .n_top = 1};
    assert_int_equal(wire_check(&m, &err), E_PEER);
}

static void a_failure_has_a_code_of_ours_and_a_text(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        int ours;
    } rows[] = {{0, E_PEER}, {1, E_FAIL},   {E_CHECK, E_CHECK}, {E_CHECK + 1, E_PEER}, {129, E_PEER},
                {130, 130},  {131, E_PEER}, {143, 143},         {144, E_PEER},         {UINT32_MAX, E_PEER}};
    struct err err;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(wire_fail(&(struct fail){rows[i].code, "why"}, 2, &err), rows[i].ours);
        assert_string_equal(err.text, "why");
        assert_int_equal(wire_fail(&(struct fail){rows[i].code, ""}, 2, &err), rows[i].ours);
        assert_string_equal(err.text, "peer 2 failed and does not say why");
    }
}

static void a_text_too_long_loses_its_end(void **state)
{
    (void)state;
    static const struct {
        size_t n, comes;
    } rows[] = {{0, 0}, {1022, 1022}, {1023, 1023}, {1024, 1023}, {300000, 1023}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = calloc(rows[i].n + 1, 1);
        memset(text, 0xe9, rows[i].n);
        size_t n;
        struct message m;
        struct err err;
        uint8_t *data = encoded(&(struct message){.tag = TAG_QUIT, .fail = {7, text}}, &n);
        assert_int_equal(wire_decode(&in, TAG_QUIT, data, n, &m, &err), OK);
        assert_int_equal(strlen(m.fail.text), rows[i].comes);
        assert_memory_equal(m.fail.text, text, rows[i].comes);
        free(data);
        free(text);
    }
}

static void a_longer_text_of_another_program_is_cut_and_ends(void **state)
{
    (void)state;
    uint8_t bytes[3 + 2000] = {0x12, 0xd0, 0x0f}; /* field 2, 2000 bytes */
    memset(bytes + 3, 'x', 2000);
    struct message m;
    struct err err;
    assert_int_equal(wire_decode(&in, TAG_FAIL, bytes, sizeof bytes, &m, &err), OK);
    assert_int_equal(strlen(m.fail.text), 1023);
}

static void texts_left_out_are_empty(void **state)
{
    (void)state;
    size_t n;
    struct message m;
    struct err err;
    uint8_t *data = encoded(&(struct message){.tag = TAG_HELLO}, &n);
    assert_int_equal(n, 0);
    assert_int_equal(wire_decode(&in, TAG_HELLO, data, n, &m, &err), OK);
    assert_string_equal(m.hello.host, "");
    assert_string_equal(m.hello.path, "");
    assert_string_equal(m.hello.cpu, "");
    assert_string_equal(m.hello.device, "");
    free(data);
}

/* One row of bytes for each shift, so that what is aligned on the wire does not matter. */
static void hidden_rows_are_aligned_wherever_they_lie(void **state)
{
    (void)state;
    static const float x[] = {1.5f, -0.0f, 3e-5f};
    for (uint32_t pass = 0; pass < 5; pass++) {
        size_t n;
        struct message m;
        struct err err;
        struct pass hidden = {.pass = 1u << 7 * pass, .hidden = x, .n_hidden = 3};
        uint8_t *data = encoded(&(struct message){.tag = TAG_PASS, .pass = hidden}, &n);
        for (size_t shift = 0; shift < 4; shift++) {
            uint8_t *block = malloc(n + shift);
            memcpy(block + shift, data, n);
            assert_int_equal(wire_decode(&in, TAG_PASS, block + shift, n, &m, &err), OK);
            assert_int_equal((uintptr_t)m.pass.hidden % sizeof(float), 0);
            assert_int_equal(m.pass.n_hidden, 3);
            assert_memory_equal(m.pass.hidden, x, sizeof x);
            free(block);
        }
        free(data);
    }
}

static void a_pass_carries_megabytes(void **state)
{
    (void)state;
    enum { N_FLOATS = 64 * 8192 };
    float *x = malloc(N_FLOATS * sizeof *x);
    for (size_t i = 0; i < N_FLOATS; i++) x[i] = (float)i * 0.5f;
    struct wire_arena big_out, big_in;
    struct err err;
    const uint8_t *data;
    size_t n;
    struct message m = {.tag = TAG_PASS, .pass = {.hidden = x, .n_hidden = N_FLOATS}};
    assert_int_equal(wire_arena_init(&big_out, (4 << 20) + 8192, &err), OK);
    assert_int_equal(wire_arena_init(&big_in, (4 << 20) + 8192, &err), OK);
    assert_int_equal(wire_encode(&out, &m, &data, &n, &err), E_FAIL); /* not in an arena of 1 MiB */
    assert_int_equal(wire_encode(&big_out, &m, &data, &n, &err), OK);
    assert_int_equal(wire_decode(&big_in, TAG_PASS, data, n, &m, &err), OK);
    assert_int_equal(m.pass.n_hidden, N_FLOATS);
    assert_memory_equal(m.pass.hidden, x, N_FLOATS * sizeof *x);
    wire_arena_free(&big_out);
    wire_arena_free(&big_in);
    free(x);
}

/* The most that parts of a pass can have to say: the room of a worker without hidden rows takes it. */
static void a_pass_of_failed_parts_fits_into_a_workers_room(void **state)
{
    (void)state;
    struct wire_arena worker_out, worker_in;
    struct part parts[PASS_ROWS];
    struct row row = {.id = INT32_MAX, .wanted = true, .n_top = MAX_TOP, .judge = (int32_t[JUDGED_MOST]){0}};
    struct err err = {0};
    const uint8_t *data;
    size_t n;
    char error[sizeof err.text] = "";
    row.n_judge = JUDGED_MOST;
    memset(error, 'x', sizeof error - 1);
    for (int i = 0; i < PASS_ROWS; i++)
        parts[i] = (struct part){.job = UINT32_MAX, .at = UINT32_MAX, .rows = &row, .n_rows = 1, .error = error};
    struct message m = {.tag = TAG_PASS, .pass = {.parts = parts, .n_parts = PASS_ROWS}};
    assert_int_equal(wire_arena_init(&worker_out, JOB_ARENA, &err), OK);
    assert_int_equal(wire_arena_init(&worker_in, JOB_ARENA, &err), OK);
    assert_int_equal(wire_encode(&worker_out, &m, &data, &n, &err), OK);
    assert_int_equal(wire_decode(&worker_in, TAG_PASS, data, n, &m, &err), OK);
    assert_string_equal(m.pass.parts[PASS_ROWS - 1].error, error);
    wire_arena_free(&worker_out);
    wire_arena_free(&worker_in);
}

static int setup(void **state)
{
    (void)state;
    return wire_arena_init(&out, ROOM, NULL) || wire_arena_init(&in, ROOM, NULL);
}

static int teardown(void **state)
{
    (void)state;
    wire_arena_free(&out);
    wire_arena_free(&in);
    wire_arena_free(NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_the_same),
        cmocka_unit_test(every_tag_with_a_name_has_an_example),
        cmocka_unit_test(a_message_cut_at_any_byte_does_no_harm),
        cmocka_unit_test(any_bit_flipped_does_no_harm),
        cmocka_unit_test(bytes_of_one_message_read_as_another_do_no_harm),
        cmocka_unit_test(an_arena_of_any_size_is_never_exceeded),
        cmocka_unit_test(what_has_no_room_is_not_called_malformed),
        cmocka_unit_test(fields_that_we_do_not_know_are_skipped),
        cmocka_unit_test(refuses_by_name),
        cmocka_unit_test(a_message_over_its_bound_is_refused_both_ways),
        cmocka_unit_test(a_number_is_within_what_a_job_may_have),
        cmocka_unit_test(every_row_of_a_list_is_within_its_bounds),
        cmocka_unit_test(only_an_id_that_is_judged_may_be_one_that_is_never_chosen),
        cmocka_unit_test(a_failure_has_a_code_of_ours_and_a_text),
        cmocka_unit_test(a_text_too_long_loses_its_end),
        cmocka_unit_test(a_longer_text_of_another_program_is_cut_and_ends),
        cmocka_unit_test(texts_left_out_are_empty),
        cmocka_unit_test(hidden_rows_are_aligned_wherever_they_lie),
        cmocka_unit_test(a_pass_carries_megabytes),
        cmocka_unit_test(a_pass_of_failed_parts_fits_into_a_workers_room),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
