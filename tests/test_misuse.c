/* What must not be: messages that make no sense, files that are not there, numbers that are not finite, Quit at any
 * time. Every role says one line and ends as it should. Numbers in brackets are those of the protocol's invariants. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/files/gguf_open.h"
#include "proto/prefix_hash.h"
#include "tests/lib/roles.h"

/* ---- what must not be ---- */

static const struct worker_kind {
    const char *name;
    int tp, pp;
    enum drafter drafter;
    int i_worker;  /* of its group */
    enum tag work; /* the message that this role is sent */
} roles[] = {
    {"leader", 1, 1, DRAFTER_NONE, 0, TAG_VERIFY},
    {"second shard", 2, 1, DRAFTER_NONE, 1, TAG_PASS},
    {"second stage", 1, 2, DRAFTER_NONE, 1, TAG_PASS},
    {"little", 1, 1, DRAFTER_LITTLE, 0, TAG_DRAFT_ASK},
    {"leader that drafts", 1, 1, DRAFTER_SUFFIX, 0, TAG_VERIFY},
};
enum { N_ROLES = sizeof roles / sizeof *roles };

static int peer_of(const struct worker_kind *r)
{
    struct layout l;
    assert_int_equal(layout_make(&l, 1, 1, 1, r->tp, r->pp, r->drafter, NULL), OK);
    return (r->drafter == DRAFTER_LITTLE ? layout_drafter(&l, 0) : layout_verifier(&l, 0))->first_peer + r->i_worker;
}

static struct test_coordinator *role_coordinator(const struct worker_kind *r, bool unwelcome)
{
    return coordinator_open(&(struct coordinator_config){.big = r->drafter == DRAFTER_LITTLE ? NULL : roles_big,
                                                         .tp = r->tp,
                                                         .pp = r->pp,
                                                         .drafter = r->drafter,
                                                         .little = roles_little,
                                                         .n_slots = N_SLOTS,
                                                         .n_ctx = N_CTX,
                                                         .unwelcome = unwelcome});
}

/* One Fail, of one line, and then nothing but the end: who was told is the one who prints it. */
static void expect_fail(struct test_coordinator *d, int peer, int code, const char *names, const char *why)
{
    int from;
    const struct message *m = coordinator_next(d, &from);
    if (m->tag != TAG_FAIL || from != peer || (int)m->fail.code != code)
        fail_msg("%s: peer %d says %s", why, from, wire_tags[m->tag].name);
    if (!*m->fail.text || strchr(m->fail.text, '\n') || !strstr(m->fail.text, names))
        fail_msg("%s: \"%s\" does not name %s", why, m->fail.text, names);
    assert_int_equal(coordinator_quit(d, peer), code);
    assert_string_equal(coordinator_why(d, peer), "");
}

static void must_fail(const struct worker_kind *r, const struct message *m, const char *names, const char *why)
{
    struct test_coordinator *d = role_coordinator(r, false);
    coordinator_post(d, peer_of(r), m);
    expect_fail(d, peer_of(r), E_PEER, names, why);
    coordinator_close(d);
}

static void bytes_must_fail(const struct worker_kind *r, int tag, const void *data, size_t n_bytes)
{
    char why[96];
    struct test_coordinator *d = role_coordinator(r, false);
    snprintf(why, sizeof why, "%s, tag %d, %zu bytes", r->name, tag, n_bytes);
    coordinator_post_bytes(d, peer_of(r), tag, data, n_bytes);
    expect_fail(d, peer_of(r), E_PEER, "", why);
    coordinator_close(d);
}

/* A message without bytes is a message whose every field is zero. */
static bool is_for(const struct worker_kind *r, int tag)
{
    bool is_leader = r->work == TAG_VERIFY, is_opened = is_leader || r->work == TAG_DRAFT_ASK;
    return tag == TAG_QUIT || tag == TAG_PING || tag == (int)r->work ||
           (is_opened && (tag == TAG_OPEN || tag == TAG_CUT)) || (is_leader && tag == TAG_ACK) ||
           (r->drafter == DRAFTER_SUFFIX && tag == TAG_DRAFT_ASK);
}

static void a_message_for_another_role_ends_a_worker_with_one_line(void **state)
{
    (void)state;
    for (int r = 0; r < N_ROLES; r++)
        for (int tag = -1; tag <= N_TAGS; tag++)
            if (!is_for(&roles[r], tag)) bytes_must_fail(&roles[r], tag, "", 0);
}

/* The work of each role, as it should be. */
static const struct message *right_work(const struct worker_kind *r)
{
    static struct row row = {.id = 3, .wanted = true};
    static struct part part = {.job = 1, .prefix_hash = COORDINATOR_ROOT, .rows = &row, .n_rows = 1};
    static float hidden[N_EMBD];
    static const int32_t ids[] = {1, 2, 3};
    static struct message m;
    m = (struct message){.tag = r->work};
    if (r->work == TAG_VERIFY) m.verify = part;
    if (r->work == TAG_PASS) m.pass = (struct pass){.parts = &part, .n_parts = 1, .hidden = hidden, .n_hidden = N_EMBD};
    if (r->work == TAG_DRAFT_ASK)
        m.ask = (struct draft_ask){.prefix_hash = COORDINATOR_ROOT, .ids = ids, .n_ids = 3, .until = 5, .p_min = .25f};
    return &m;
}

static void bytes_that_are_no_message_end_a_worker_with_one_line(void **state)
{
    (void)state;
    enum { RANDOM = 12, TOO_LONG = (64 << 20) + 1 };
    struct wire_arena a, b;
    struct err err;
    struct message ignored;
    uint64_t seed = 1;
    uint8_t *zeros = calloc(TOO_LONG, 1);
    assert_non_null(zeros);
    assert_int_equal(wire_arena_init(&a, 1 << 20, &err) | wire_arena_init(&b, 1 << 20, &err), OK);
    for (int r = 0; r < N_ROLES; r++) {
        const uint8_t *data;
        size_t n_bytes;
        assert_int_equal(wire_encode(&a, right_work(&roles[r]), &data, &n_bytes, &err), OK);
        bytes_must_fail(&roles[r], roles[r].work, data, n_bytes - 1);
        bytes_must_fail(&roles[r], roles[r].work, data, 1);
        bytes_must_fail(&roles[r], roles[r].work, zeros, wire_tags[roles[r].work].max_bytes + 1);
        for (int n = 0; n < RANDOM;) {
            uint8_t bytes[64];
            for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)((seed = prefix_hash_mix(seed + 1)) >> 32);
            size_t n_random = 1 + seed % sizeof bytes;
            if (wire_decode(&b, roles[r].work, bytes, n_random, &ignored, &err) == OK) continue;
            bytes_must_fail(&roles[r], roles[r].work, bytes, n_random);
            n++;
        }
    }
    wire_arena_free(&a);
    wire_arena_free(&b);
    free(zeros);
}

static void work_that_makes_no_sense_ends_a_verifier_with_one_line(void **state)
{
    (void)state;
    static const int32_t past[] = {N_VOCAB}, negative[] = {5, -1}, many[JUDGED_MOST + 1];
    static const struct {
        const char *why;
        struct row row;
        size_t n_rows;
        struct sampler sampler;
        const char *names;
    } rows[] = {
        {"a negative id", {.id = -1}, 1, {.temp = 0}, "vocabulary of 700"},
        {"the first id past the vocabulary", {.id = N_VOCAB}, 1, {.temp = 0}, "vocabulary of 700"},
        {"the least id", {.id = INT32_MIN}, 1, {.temp = 0}, "vocabulary of 700"},
        {"an id to judge past the vocabulary", {3, true, 0, past, 1}, 1, {.temp = 0}, "vocabulary of 700"},
        {"a negative id to judge", {3, true, 0, negative, 2}, 1, {.temp = 0}, "vocabulary of 700"},
        {"more of the best ids than there is room for", {3, true, 21, NULL, 0}, 1, {.temp = 0}, "21"},
        {"all of them", {3, true, UINT32_MAX, NULL, 0}, 1, {.temp = 0}, ""},
        {"more ids to judge than a row may", {3, true, 0, many, JUDGED_MOST + 1}, 1, {.temp = 0}, "n_judge"},
        {"no rows", {.id = 3}, 0, {.temp = 0}, "0 rows"},
        {"more rows than a pass has", {.id = 3}, PASS_ROWS + 1, {.temp = 0}, "129 rows"},
        {"a temperature below zero", {.id = 3}, 1, {.temp = -1, .top_p = 1}, "sampler"},
        {"no temperature at all", {.id = 3}, 1, {.temp = NAN, .top_p = 1}, "sampler"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct row list[PASS_ROWS + 1];
        for (size_t k = 0; k < rows[i].n_rows; k++) list[k] = rows[i].row;
        struct part part = {.job = 1,
                            .prefix_hash = COORDINATOR_ROOT,
                            .rows = list,
                            .n_rows = rows[i].n_rows,
                            .sampler = rows[i].sampler};
        must_fail(&roles[0], &(struct message){.tag = TAG_VERIFY, .verify = part}, rows[i].names, rows[i].why);
    }
}

static void an_open_that_makes_no_sense_ends_a_leader_with_one_line(void **state)
{
    (void)state;
    static const struct {
        struct open_slot open;
        const char *names;
    } rows[] = {
        {{.slot = N_SLOTS}, "slot 4"},
        {{.self_max = CONTEXT_MOST + 1}, "self_max"},
        {{.draft_max = DRAFTS_MOST + 1}, "draft_max"},
        {{.n_top = 21}, "21 best ids"},
        {{.sampler = {.temp = -1}}, "sampler"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        must_fail(&roles[0], &(struct message){.tag = TAG_OPEN, .open = rows[i].open}, rows[i].names, "an Open");
}

/* [7] A shard does what its leader says, or nothing. */
static void a_pass_that_makes_no_sense_ends_a_shard_with_one_line(void **state)
{
    (void)state;
    static const int32_t past[] = {N_VOCAB};
    static const struct {
        const char *why;
        struct part part;
        struct row row;
        uint32_t pass;
        size_t n_parts, n_hidden;
    } rows[] = {
        {"not the next", {.n_rows = 1}, {.id = 3}, 1, 1, N_EMBD},
        {"no rows", {.n_rows = 1}, {.id = 3}, 0, 0, 0},
        {"a part without rows", {.n_rows = 0}, {.id = 3}, 0, 1, 0},
        {"too few numbers", {.n_rows = 1}, {.id = 3}, 0, 1, N_EMBD - 1},
        {"too many", {.n_rows = 1}, {.id = 3}, 0, 1, 2 * N_EMBD},
        {"no such slot", {.slot = N_SLOTS, .n_rows = 1}, {.id = 3}, 0, 1, N_EMBD},
        {"past the context", {.at = N_CTX, .n_rows = 1}, {.id = 3}, 0, 1, N_EMBD},
        {"what nobody sent before it", {.at = 1, .n_rows = 1}, {.id = 3}, 0, 1, N_EMBD},
        {"another history", {.prefix_hash = 1, .n_rows = 1}, {.id = 3}, 0, 1, N_EMBD},
        {"a negative id", {.n_rows = 1}, {.id = -1}, 0, 1, N_EMBD},
        {"a part that no stage before can have dropped", {.n_rows = 1, .dropped = true}, {.id = 3}, 0, 1, 0},
        {"more of the best ids than there is room for", {.n_rows = 1}, {3, true, 21, NULL, 0}, 0, 1, N_EMBD},
        {"an id to judge past the vocabulary", {.n_rows = 1}, {3, true, 0, past, 1}, 0, 1, N_EMBD},
    };
    static const float hidden[2 * N_EMBD];
    for (int r = 1; r <= 2; r++) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct part part = rows[i].part;
            part.rows = &rows[i].row;
            if (!part.prefix_hash) part.prefix_hash = COORDINATOR_ROOT;
            struct pass pass = {rows[i].pass, &part, rows[i].n_parts, hidden, rows[i].n_hidden, 0, 0, false, 0, 0, 0};
            must_fail(&roles[r], &(struct message){.tag = TAG_PASS, .pass = pass}, "", rows[i].why);
        }
    }
    static float all[(PASS_ROWS + 1) * N_EMBD];
    struct row many[PASS_ROWS] = {{.id = 3}};
    struct part halves[] = {{.prefix_hash = COORDINATOR_ROOT, .rows = many, .n_rows = PASS_ROWS / 2},
                            {.slot = 1, .prefix_hash = COORDINATOR_ROOT, .rows = many, .n_rows = PASS_ROWS / 2 + 1}};
    struct pass full = {.parts = halves, .n_parts = 2, .hidden = all, .n_hidden = (PASS_ROWS + 1) * N_EMBD};
    for (int r = 1; r <= 2; r++)
        must_fail(&roles[r], &(struct message){.tag = TAG_PASS, .pass = full}, "129 rows", "parts of too many rows");
    struct row row = {.id = 3};
    struct part failed = {.prefix_hash = COORDINATOR_ROOT, .rows = &row, .n_rows = 1, .error = "before"};
    struct pass pass = {.parts = &failed, .n_parts = 1};
    must_fail(&roles[1], &(struct message){.tag = TAG_PASS, .pass = pass}, "", "failed before the first stage");
}

static void an_ask_that_makes_no_sense_ends_a_drafter_with_one_line(void **state)
{
    (void)state;
    static const int32_t bad[] = {-1, N_VOCAB, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const int32_t ids[] = {3, bad[i]};
        struct draft_ask a = {.prefix_hash = COORDINATOR_ROOT, .ids = ids, .n_ids = 2, .until = 9};
        for (int r = 3; r < N_ROLES; r++)
            must_fail(&roles[r], &(struct message){.tag = TAG_DRAFT_ASK, .ask = a}, "vocabulary of 700", "an id");
    }
    struct draft_ask hot = {
        .prefix_hash = COORDINATOR_ROOT, .ids = (int32_t[]){3}, .n_ids = 1, .until = 9, .sampler = {.temp = -1}};
    must_fail(&roles[3], &(struct message){.tag = TAG_DRAFT_ASK, .ask = hot}, "sampler", "a sampler");
    static const float no_numbers[] = {NAN, -1};
    for (int i = 0; i < 2; i++) {
        struct draft_ask stop = {
            .prefix_hash = COORDINATOR_ROOT, .ids = (int32_t[]){3}, .n_ids = 1, .p_min = no_numbers[i]};
        struct draft_ask chance = {
            .prefix_hash = COORDINATOR_ROOT, .ids = (int32_t[]){3}, .n_ids = 1, .p_joint_min = no_numbers[i]};
        must_fail(&roles[3], &(struct message){.tag = TAG_DRAFT_ASK, .ask = stop}, "p_min", "a probability");
        must_fail(&roles[3], &(struct message){.tag = TAG_DRAFT_ASK, .ask = chance}, "p_joint_min", "a chance");
    }
    struct open_slot endless = {.n_ids = N_VOCAB, .last_position = 1U << 31}, all = {.n_ids = UINT32_MAX};
    must_fail(&roles[3], &(struct message){.tag = TAG_OPEN, .open = endless}, "last_position", "no such position");
    must_fail(&roles[3], &(struct message){.tag = TAG_OPEN, .open = all}, "n_ids", "no such ids");
    struct open_slot nowhere = {.slot = N_SLOTS, .n_ids = N_VOCAB};
    must_fail(&roles[3], &(struct message){.tag = TAG_OPEN, .open = nowhere}, "slot 4", "no such slot");
    int32_t ends[33] = {0};
    struct open_slot many = {.n_ids = N_VOCAB, .end_ids = ends, .n_end_ids = 33};
    must_fail(&roles[3], &(struct message){.tag = TAG_OPEN, .open = many}, "33 end ids", "too many end ids");
}

static void anything_but_a_good_welcome_after_hello_ends_a_worker_with_one_line(void **state)
{
    (void)state;
    static const struct message messages[] = {
        {.tag = TAG_VERIFY},
        {.tag = TAG_DRAFT_ASK},
        {.tag = TAG_READY},
        {.tag = TAG_WELCOME, .welcome = {.n_slots = 0, .n_ctx = 8}},
        {.tag = TAG_WELCOME, .welcome = {.n_slots = 1, .n_ctx = 0}},
        {.tag = TAG_WELCOME, .welcome = {.n_slots = UINT32_MAX, .n_ctx = 8}},
        {.tag = TAG_WELCOME, .welcome = {.n_slots = 1, .n_ctx = 1U << 31}},
        {.tag = TAG_WELCOME, .welcome = {.n_slots = SLOTS_MOST + 1, .n_ctx = 8}},
        {.tag = TAG_WELCOME, .welcome = {.n_slots = 1, .n_ctx = CONTEXT_MOST + 1}},
    };
    for (int r = 0; r < N_ROLES; r++) {
        for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
            struct test_coordinator *d = role_coordinator(&roles[r], true);
            coordinator_post(d, peer_of(&roles[r]), &messages[i]);
            expect_fail(d, peer_of(&roles[r]), E_PEER, "Welcome", roles[r].name);
            coordinator_close(d);
        }
    }
}

static void a_model_that_is_not_there_is_named_instead_of_hello(void **state)
{
    (void)state;
    struct test_coordinator *d = coordinator_open(
        &(struct coordinator_config){.drafter = DRAFTER_LITTLE, .little = "/no/such/model.gguf", .unwelcome = true});
    expect_fail(d, coordinator_drafter(d), E_MODEL, "/no/such/model.gguf", "no model");
    coordinator_abandon(d);
}

static void a_worker_that_failed_says_so_once_and_waits_for_quit_whatever_comes(void **state)
{
    (void)state;
    for (int r = 0; r < N_ROLES; r++) {
        struct test_coordinator *d = role_coordinator(&roles[r], false);
        coordinator_post_bytes(d, peer_of(&roles[r]), 99, "", 0);
        for (int i = 0; i < 3; i++) coordinator_post_bytes(d, peer_of(&roles[r]), roles[r].work, "\xff", 1);
        coordinator_post(d, peer_of(&roles[r]), right_work(&roles[r]));
        coordinator_post_bytes(d, peer_of(&roles[r]), -5, "no", 2);
        expect_fail(d, peer_of(&roles[r]), E_PEER, "99", roles[r].name);
        coordinator_close(d);
    }
}

/* ---- numbers that are not finite ---- */

/* A copy of the big toy with one number changed. */
static void write_poisoned(const char *path, const char *tensor, size_t i, float value)
{
    struct gguf g;
    struct err err = {0};
    if (gguf_open(&g, roles_big, &err) != OK) fail_msg("%s", err.text);
    const struct gguf_tensor *t = gguf_tensor(&g, tensor);
    assert_non_null(t);
    assert_true((i + 1) * sizeof value <= t->n_bytes);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(g.base, 1, g.n_bytes, f), g.n_bytes);
    fseek(f, (long)(t->data - g.base) + (long)(i * sizeof value), SEEK_SET);
    fwrite(&value, sizeof value, 1, f);
    assert_int_equal(fclose(f), 0);
    gguf_close(&g);
}

static void a_number_that_is_no_weight_is_named_before_the_first_pass(void **state)
{
    (void)state;
    const struct {
        const char *tensor;
        size_t i;
        float value;
    } rows[] = {
        {"blk.2.attn_v.weight", 5, NAN},    {"blk.3.ffn_up.weight", 7, INFINITY},
        {"blk.1.attn_norm.weight", 0, NAN}, {"token_embd.weight", 600 * N_EMBD + 3, -INFINITY},
        {"output_norm.weight", 3, -2e6f},   {"blk.0.attn_q.bias", 1, 1e30f},
    };
    char path[96];
    snprintf(path, sizeof path, "%s/poisoned.gguf", roles_folder);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_poisoned(path, rows[i].tensor, rows[i].i, rows[i].value);
        for (int k = 0; k < N_LAYOUTS; k++) {
            struct test_coordinator *d = coordinator_open(&(struct coordinator_config){
                .big = path, .tp = layouts[k][0], .pp = layouts[k][1], .n_slots = N_SLOTS, .n_ctx = N_CTX});
            const struct message *m = coordinator_next(d, NULL); /* several shards may find it: whoever is first */
            if (m->tag != TAG_FAIL || m->fail.code != E_MODEL || !strstr(m->fail.text, rows[i].tensor) ||
                !strstr(m->fail.text, path))
                fail_msg("%s, %dx%d: %s", rows[i].tensor, layouts[k][0], layouts[k][1],
                         m->tag == TAG_FAIL ? m->fail.text : wire_tags[m->tag].name);
            coordinator_abandon(d);
        }
    }
}

/* ---- the end ---- */

static void quit_ends_every_role_at_every_step(void **state)
{
    (void)state;
    for (int r = 0; r < N_ROLES; r++) {
        for (int step = 0; step < 3; step++) { /* after Hello, at work's door, with work that waits */
            struct test_coordinator *d = role_coordinator(&roles[r], step == 0);
            if (step == 2 && roles[r].work != TAG_PASS) coordinator_post(d, peer_of(&roles[r]), right_work(&roles[r]));
            if (coordinator_quit(d, peer_of(&roles[r])) != OK)
                fail_msg("%s: %s", roles[r].name, coordinator_why(d, peer_of(&roles[r])));
            coordinator_abandon(d);
        }
    }
}

/* Shard 1 is gone before the leader's Pass has come; the leader waits for its part. */
static void quit_ends_a_shard_while_another_waits_in_a_collective(void **state)
{
    (void)state;
    for (int k = 1; k < N_LAYOUTS; k += 2) {
        struct test_coordinator *d = verifier(k);
        struct verify_parts l = {0};
        assert_int_equal(coordinator_quit(d, coordinator_leader(d) + 1), OK);
        verify_add(&l, 0, &texts[0], 0, 5, 1);
        verify_post(&l, d);
        expect_fail(d, coordinator_leader(d), E_PEER, "stopped", "the leader");
        coordinator_abandon(d);
    }
}

static void a_shard_that_fails_does_not_leave_its_leader_waiting(void **state)
{
    (void)state;
    struct test_coordinator *d = verifier(1);
    struct verify_parts l = {0};
    coordinator_post_bytes(d, coordinator_leader(d) + 1, TAG_PASS, "\xff", 1);
    verify_add(&l, 0, &texts[0], 0, 5, 1);
    verify_post(&l, d);
    expect_fail(d, coordinator_leader(d) + 1, E_PEER, "Pass", "the second shard");
    expect_fail(d, coordinator_leader(d), E_PEER, "stopped", "the leader");
    coordinator_abandon(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_for_another_role_ends_a_worker_with_one_line),
        cmocka_unit_test(bytes_that_are_no_message_end_a_worker_with_one_line),
        cmocka_unit_test(work_that_makes_no_sense_ends_a_verifier_with_one_line),
        cmocka_unit_test(an_open_that_makes_no_sense_ends_a_leader_with_one_line),
        cmocka_unit_test(a_pass_that_makes_no_sense_ends_a_shard_with_one_line),
        cmocka_unit_test(an_ask_that_makes_no_sense_ends_a_drafter_with_one_line),
        cmocka_unit_test(anything_but_a_good_welcome_after_hello_ends_a_worker_with_one_line),
        cmocka_unit_test(a_model_that_is_not_there_is_named_instead_of_hello),
        cmocka_unit_test(a_worker_that_failed_says_so_once_and_waits_for_quit_whatever_comes),
        cmocka_unit_test(a_number_that_is_no_weight_is_named_before_the_first_pass),
        cmocka_unit_test(quit_ends_every_role_at_every_step),
        cmocka_unit_test(quit_ends_a_shard_while_another_waits_in_a_collective),
        cmocka_unit_test(a_shard_that_fails_does_not_leave_its_leader_waiting),
    };
    return cmocka_run_group_tests(tests, roles_open, roles_close);
}
