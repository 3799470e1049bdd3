/* A part, or an ask, that comes to a number that is not finite fails alone: its neighbours keep their bits, its slot
 * can be used again, and nobody ends. In every layout the same, wherever the number comes up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/files/gguf_open.h"
#include "tests/lib/roles.h"

/* ---- a toy with a trap ----
 *
 * One dimension of the hidden rows is 0 in every id's embedding but the trap's, no block before the trap's writes it,
 * and in the trap's block one element of V makes of it more than a half float holds. */
enum { TRAP = 600, DIM = 5, BIG_BLOCKS = 2, LITTLE_BLOCK = 1 };
static const int big_blocks[BIG_BLOCKS] = {0, 3}; /* of the first stage of two, and of the last */
static char big[BIG_BLOCKS][96], little[96];

static float *numbers(struct gguf *g, uint8_t *copy, const char *name, int block, size_t *n)
{
    char full[64];
    snprintf(full, sizeof full, name, block);
    const struct gguf_tensor *t = gguf_tensor(g, full);
    assert_non_null(t);
    *n = t->n_bytes / sizeof(float);
    return (float *)(void *)(copy + (t->data - g->base));
}

static void write_trap(const char *path, const char *from, int block)
{
    static const char *const writers[] = {"blk.%d.attn_output.weight", "blk.%d.ffn_down.weight"};
    struct gguf g;
    struct err err = {0};
    size_t n;
    if (gguf_open(&g, from, &err) != OK) fail_msg("%s", err.text);
    uint8_t *copy = malloc(g.n_bytes);
    assert_non_null(copy);
    memcpy(copy, g.base, g.n_bytes);
    float *embed = numbers(&g, copy, "token_embd.weight", 0, &n);
    for (size_t id = 0; id < n / N_EMBD; id++) embed[id * N_EMBD + DIM] = id == TRAP ? 1e3f : 0;
    for (int b = 0; b < block; b++)
        for (int w = 0; w < 2; w++) {
            float *rows = numbers(&g, copy, writers[w], b, &n);
            memset(rows + DIM * (n / N_EMBD), 0, n / N_EMBD * sizeof *rows);
        }
    numbers(&g, copy, "blk.%d.attn_v.weight", block, &n)[DIM] = 5e5f;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(copy, 1, g.n_bytes, f), g.n_bytes);
    assert_int_equal(fclose(f), 0);
    free(copy);
    gguf_close(&g);
}

static int setup(void **state)
{
    int rc = roles_open(state);
    for (int b = 0; b < BIG_BLOCKS && rc == 0; b++) {
        snprintf(big[b], sizeof big[b], "%s/trap%d.gguf", roles_folder, b);
        write_trap(big[b], roles_big, big_blocks[b]);
    }
    snprintf(little, sizeof little, "%s/little_trap.gguf", roles_folder);
    if (rc == 0) write_trap(little, roles_little, LITTLE_BLOCK);
    return rc;
}

/* ---- verifiers ---- */

static struct test_coordinator *trapped(int i_big, int i_layout)
{
    return coordinator_open(&(struct coordinator_config){
        .big = big[i_big], .tp = layouts[i_layout][0], .pp = layouts[i_layout][1], .n_slots = N_SLOTS, .n_ctx = N_CTX});
}

/* texts[0] with the trap at this position. */
static struct text with_trap(int at)
{
    struct text t = {0};
    text_add(&t, texts[0].ids, at);
    text_add(&t, &(int32_t){TRAP}, 1);
    text_add(&t, texts[0].ids + at + 1, TEXT - at - 1);
    return t;
}

struct said { /* a verdict */
    enum verdict_status status;
    uint32_t held;
    char error[256];
    size_t n_rows;
    struct bits bits[TEXT];
};
enum { MOST = 8 };

/* Of n parts, by their jobs. The leader's and the last stage's may overtake each other. */
static void take(struct test_coordinator *d, struct said *said, int n)
{
    memset(said, 0, MOST * sizeof *said);
    for (int i = 0; i < n; i++) {
        const struct verdict *v = next_verdict(d);
        assert_in_range(v->job, 1, MOST);
        struct said *s = &said[v->job - 1];
        s->status = v->status;
        s->held = v->held;
        s->n_rows = v->n_rows;
        if (v->error) snprintf(s->error, sizeof s->error, "%s", v->error);
        for (size_t k = 0; k < v->n_rows; k++) s->bits[k] = bits_of(&v->rows[k]);
    }
}

static void check_failed(const struct said *s, uint32_t held, const char *why, const char *what)
{
    if (s->status != VERDICT_FAILED || s->held != held || s->n_rows || !strstr(s->error, why))
        fail_msg("%s: status %d, %zu rows, holds %u, expected %u: \"%s\", expected %s", what, s->status, s->n_rows,
                 s->held, held, s->error, why);
}

static void check_same(const struct said *a, const struct said *b, const char *what)
{
    if (a->status != VERDICT_OK || memcmp(a, b, sizeof *a)) fail_msg("%s: status %d, or other bits", what, a->status);
}

/* One part, alone in its pass. */
static struct said judge(struct test_coordinator *d, uint32_t slot, const struct text *t, int at, int n)
{
    struct verify_parts l = {0};
    struct said said[MOST];
    verify_add(&l, slot, t, at, n, n);
    verify_post(&l, d);
    take(d, said, 1);
    return said[0];
}

static void a_part_fails_alone_and_with_what_goes_on_from_it(void **state)
{
    (void)state;
    struct text bad = with_trap(12);
    for (int b = 0; b < BIG_BLOCKS; b++)
        for (int k = 0; k < N_LAYOUTS; k++) {
            struct said right[MOST], said[MOST];
            char why[64];
            for (int with = 0; with < 2; with++) {
                struct test_coordinator *d = trapped(b, k);
                struct verify_parts l = {0};
                verify_add(&l, 2, &texts[2], 0, 40, 40);
                verify_add(&l, 1, &texts[1], 0, 20, 20);
                verify_add(&l, 3, &bad, 0, 10, 10); /* as far as it is well */
                if (with) {
                    verify_add(&l, 3, &bad, 10, 8, 8);
                    verify_add(&l, 3, &bad, 18, 5, 5);
                } else {
                    l.n_jobs += 2;
                }
                verify_add(&l, 1, &texts[1], 20, 10, 1);
                verify_post(&l, d);
                take(d, with ? said : right, with ? 6 : 4);
                coordinator_close(d);
            }
            snprintf(why, sizeof why, ".gguf: a number that is not finite in block %d at position 12", big_blocks[b]);
            check_failed(&said[3], 10, why, "the part with the trap");
            check_failed(&said[4], 10, why, "what goes on from it");
            check_same(&said[0], &right[0], "the first neighbour");
            check_same(&said[1], &right[1], "the second");
            check_same(&said[2], &right[2], "what came before in its slot");
            check_same(&said[5], &right[5], "the last neighbour");
        }
}

/* Each in a pass of its own, which a later stage may still work on when the next is sent. */
static void parts_on_their_way_behind_a_failed_one_fail_with_its_words(void **state)
{
    (void)state;
    struct text bad = with_trap(12);
    for (int b = 0; b < BIG_BLOCKS; b++)
        for (int k = 0; k < N_LAYOUTS; k++) {
            struct test_coordinator *d = trapped(b, k);
            struct verify_parts l = {0};
            struct said said[MOST];
            static const int at[] = {0, 10, 20, 15, 25};
            for (int i = 0; i < 5; i++) {
                verify_add(&l, 0, &bad, at[i], 10, 1);
                if (i == 2) verify_add(&l, 1, &texts[1], 0, 10, 10);
                verify_post(&l, d);
                coordinator_look_away(d, coordinator_leader(d));
            }
            take(d, said, 6);
            assert_int_equal(said[0].status, VERDICT_OK);
            for (int job = 1; job < 6; job++)
                if (job != 3) check_failed(&said[job], 10, "at position 12", "a part behind");
            struct said other = judge(d, 2, &texts[1], 0, 10);
            check_same(&said[3], &other, "a neighbour of one that fails unseen");
            coordinator_close(d);
        }
}

/* The leader may copy what a later stage could not compute: there it fails with the words of where it comes from, and
 * the slot holds as much. Where the leader knows, nothing is copied. */
static void a_copy_of_what_failed_fails_likewise_or_is_a_gap(void **state)
{
    (void)state;
    struct text bad = with_trap(12);
    for (int b = 0; b < BIG_BLOCKS; b++)
        for (int k = 0; k < N_LAYOUTS; k++) {
            struct test_coordinator *d = trapped(b, k);
            struct said said[MOST], fresh = judge(d, 2, &texts[0], 0, 30);
            struct verify_parts l = {.n_jobs = 1};
            bool unseen = b > 0 && layouts[k][1] > 1; /* by the leader */
            verify_add(&l, 0, &bad, 0, 10, 1);
            verify_add(&l, 0, &bad, 10, 10, 1);
            verify_post(&l, d);
            verify_add(&l, 1, &bad, 20, 5, 5)->from = 0 + 1;
            verify_add(&l, 3, &texts[0], 10, 20, 20)->from = 0 + 1; /* before the trap */
            verify_post(&l, d);
            take(d, said, 4);
            check_failed(&said[2], 10, "at position 12", "the part with the trap");
            if (unseen) check_failed(&said[3], 10, "at position 12", "the copy");
            if (!unseen) assert_int_equal(said[3].status, VERDICT_GAP);
            assert_int_equal(said[4].status, VERDICT_OK);
            assert_memory_equal(said[4].bits, fresh.bits + 10, 20 * sizeof *fresh.bits);
            said[0] = judge(d, 1, &texts[0], unseen ? 10 : 0, 20); /* from what the slot holds */
            assert_memory_equal(said[0].bits, fresh.bits + (unseen ? 10 : 0), 20 * sizeof *fresh.bits);
            coordinator_close(d);
        }
}

static void a_slot_in_which_a_part_failed_is_used_again(void **state)
{
    (void)state;
    struct text bad = with_trap(22);
    for (int b = 0; b < BIG_BLOCKS; b++)
        for (int k = 0; k < N_LAYOUTS; k++) {
            struct test_coordinator *d = trapped(b, k);
            struct said fresh = judge(d, 1, &texts[0], 0, 60), whole = judge(d, 1, &texts[2], 0, 60);
            assert_int_equal(judge(d, 0, &texts[0], 0, 20).status, VERDICT_OK);
            struct said failed = judge(d, 0, &bad, 20, 5);
            check_failed(&failed, 20, "at position 22", "the part");
            failed = judge(d, 0, &bad, 25, 1);
            check_failed(&failed, 20, "at position 22", "after it");
            struct said said = judge(d, 0, &texts[0], 20, 30); /* where it ends */
            assert_int_equal(said.status, VERDICT_OK);
            assert_memory_equal(said.bits, fresh.bits + 20, 30 * sizeof *said.bits);
            said = judge(d, 0, &texts[0], 70, 10); /* what failed is forgotten: a gap is one */
            assert_int_equal(said.status, VERDICT_GAP);
            assert_int_equal(said.held, 50);
            said = judge(d, 0, &texts[0], 50, 10); /* and on */
            assert_memory_equal(said.bits, fresh.bits + 50, 10 * sizeof *said.bits);
            failed = judge(d, 0, &bad, 22, 2);
            check_failed(&failed, 22, "at position 22", "again");
            said = judge(d, 0, &texts[0], 10, 20); /* before it ends */
            assert_memory_equal(said.bits, fresh.bits + 10, 20 * sizeof *said.bits);
            failed = judge(d, 0, &bad, 0, 30);
            check_failed(&failed, 0, "at position 22", "from the start");
            said = judge(d, 0, &texts[2], 0, 60); /* taken over */
            check_same(&said, &whole, "another text");
            coordinator_close(d);
        }
}

/* Nothing is left to compute, and the next pass has its number. */
static void a_pass_of_which_every_part_fails_goes_its_way(void **state)
{
    (void)state;
    struct text bad = with_trap(3);
    for (int b = 0; b < BIG_BLOCKS; b++)
        for (int k = 0; k < N_LAYOUTS; k++) {
            struct test_coordinator *d = trapped(b, k);
            struct verify_parts l = {0};
            struct said said[MOST], right;
            for (uint32_t slot = 0; slot < N_SLOTS; slot++) verify_add(&l, slot, &bad, 0, 5, 5);
            verify_post(&l, d);
            take(d, said, N_SLOTS);
            for (int i = 0; i < N_SLOTS; i++) check_failed(&said[i], 0, "at position 3", "one of all");
            right = judge(d, 0, &texts[0], 0, 40);
            said[0] = judge(d, 1, &texts[0], 0, 40);
            check_same(&said[0], &right, "the next pass");
            coordinator_close(d);
        }
}

/* What the stage before handed on. */
static void a_hidden_number_that_is_not_finite_fails_its_part(void **state)
{
    (void)state;
    struct test_coordinator *d = verifier(2);
    float hidden[3 * N_EMBD] = {0};
    const struct row rows[] = {{.id = 3}, {.id = 4}};
    const struct part parts[] = {
        {.job = 1, .prefix_hash = COORDINATOR_ROOT, .rows = rows, .n_rows = 2},
        {.job = 2, .slot = 1, .prefix_hash = COORDINATOR_ROOT, .rows = rows, .n_rows = 2, .error = "of before"},
        {.job = 3, .slot = 2, .prefix_hash = COORDINATOR_ROOT, .rows = rows, .n_rows = 1}};
    struct said said[MOST];
    hidden[N_EMBD + DIM] = __builtin_nanf("");
    coordinator_post(
        d, coordinator_leader(d) + 1,
        &(struct message){.tag = TAG_PASS,
                          .pass = {.parts = parts, .n_parts = 3, .hidden = hidden, .n_hidden = 3 * N_EMBD}});
    take(d, said, 3);
    check_failed(&said[0], 0, "block 2 at position 1", "a hidden number");
    check_failed(&said[1], 0, "of before", "a part that had failed");
    assert_int_equal(said[2].status, VERDICT_OK);
    coordinator_close(d);
}

/* ---- drafters ---- */

static void ask(struct test_coordinator *d, uint32_t slot, const struct text *t, int at, int n)
{
    struct draft_ask a = {.slot = slot,
                          .at = (uint32_t)at,
                          .prefix_hash = t->prefix_hash[at],
                          .ids = t->ids + at,
                          .n_ids = (size_t)(n - at),
                          .until = (uint32_t)n + 4};
    coordinator_post(d, coordinator_drafter(d), &(struct message){.tag = TAG_DRAFT_ASK, .ask = a});
}

struct drafted {
    enum draft_end end;
    uint32_t at, held;
    size_t n;
    struct draft_row rows[8];
};

static void take_drafts(struct test_coordinator *d, struct drafted *drafted, int n)
{
    memset(drafted, 0, N_SLOTS * sizeof *drafted);
    for (int i = 0; i < n; i++) {
        const struct message *m = coordinator_next(d, NULL);
        if (m->tag == TAG_FAIL) fail_msg("%s", m->fail.text);
        struct drafted *to = &drafted[m->draft.slot];
        to->end = m->draft.end;
        to->at = m->draft.at;
        to->held = m->draft.held;
        to->n = m->draft.n_rows;
        assert_in_range(to->n, 0, 8);
        for (size_t k = 0; k < to->n; k++) to->rows[k] = m->draft.rows[k];
    }
}

static void an_ask_fails_alone_and_its_slot_is_used_again(void **state)
{
    (void)state;
    struct text bad = with_trap(12);
    struct drafted alone[N_SLOTS], drafted[N_SLOTS];
    for (int with = 0; with < 2; with++) {
        struct test_coordinator *d = coordinator_open(&(struct coordinator_config){
            .drafter = DRAFTER_LITTLE, .little = little, .n_slots = N_SLOTS, .n_ctx = N_CTX});
        ask(d, 0, &texts[0], 0, 30);
        if (with) ask(d, 1, &bad, 0, 20);
        ask(d, 2, &texts[2], 0, 40);
        take_drafts(d, with ? drafted : alone, with ? 3 : 2);
        if (with) { /* it holds what came before */
            struct drafted again[N_SLOTS];
            ask(d, 1, &texts[0], 12, 30);
            take_drafts(d, again, 1);
            assert_memory_equal(&again[1], &alone[0], sizeof *alone);
        }
        coordinator_close(d);
    }
    assert_int_equal(drafted[1].end, DRAFT_FAILED);
    assert_int_equal(drafted[1].n, 0);
    assert_int_equal(drafted[1].at, 20);
    assert_int_equal(drafted[1].held, 12);
    assert_int_equal(alone[0].n, 4);
    assert_memory_equal(&drafted[0], &alone[0], sizeof *alone);
    assert_memory_equal(&drafted[2], &alone[2], sizeof *alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_fails_alone_and_with_what_goes_on_from_it),
        cmocka_unit_test(parts_on_their_way_behind_a_failed_one_fail_with_its_words),
        cmocka_unit_test(a_copy_of_what_failed_fails_likewise_or_is_a_gap),
        cmocka_unit_test(a_slot_in_which_a_part_failed_is_used_again),
        cmocka_unit_test(a_pass_of_which_every_part_fails_goes_its_way),
        cmocka_unit_test(a_hidden_number_that_is_not_finite_fails_its_part),
        cmocka_unit_test(an_ask_fails_alone_and_its_slot_is_used_again),
    };
    return cmocka_run_group_tests(tests, setup, roles_close);
}
