/* The search for sub-layers that drafts can do without: what it finds, how soon, and that luck is not enough; then over
 * a model that has blocks which do nothing, on ids that it wrote. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/prefix_hash.h"
#include "tests/lib/lone_leader.h"
#include "tests/lib/tiny.h"

enum { N_BLOCKS = 8, N_CTX = 256, N_EMBD = 72 };

static char folder[] = "/tmp/pilotfish-swift-XXXXXX", idle[64], busy[64], shallow[64];

/* ---- the search alone ---- */

struct world { /* a model of blocks of which an attention costs .03 of a token and an MLP .07, and the head .2 */
    struct plan plan;
    struct part_cost costs[N_BLOCKS];
    double kept[N_BLOCKS][2]; /* share of drafts that stay right without an attention, an MLP */
    uint64_t n_written;
};

static struct swift *search_from(struct world *w, bool is_whole, uint32_t seed, int exit_from)
{
    struct swift *s;
    struct err err;
    for (int i = 0; i < N_BLOCKS; i++) w->costs[i] = (struct part_cost){.03, .07};
    assert_int_equal(plan_plain(&w->plan, N_BLOCKS, &err), OK);
    const struct swift_config config = {.served = &w->plan,
                                        .n_entries = N_BLOCKS,
                                        .costs = w->costs,
                                        .whole_cost = 1,
                                        .is_whole = is_whole,
                                        .way = is_whole ? 1 : 4,
                                        .seed = seed,
                                        .exit_from = exit_from};
    assert_int_equal(swift_open(&s, &config, &err), OK);
    plan_free(&w->plan);
    return s;
}

static struct swift *search(struct world *w, bool is_whole, uint32_t seed)
{
    return search_from(w, is_whole, seed, 0);
}

static struct swift *search_exits(struct world *w, int exit_from)
{
    return search_from(w, true, 1, exit_from);
}

static void set_kept(struct world *w, double kept)
{
    for (int i = 0; i < N_BLOCKS; i++) w->kept[i][0] = w->kept[i][1] = kept;
}

/* How many of 32 ids a plan gets right here. */
static int right_of(const struct world *w, const char *text)
{
    struct plan p;
    struct err err;
    double kept = 1;
    int has[N_BLOCKS] = {0};
    assert_int_equal(plan_read(&p, text, N_BLOCKS, &err), OK);
    for (int i = 0; i < p.n_entries; i++) has[p.entries[i].block] |= (int)p.entries[i].part;
    for (int i = 0; i < N_BLOCKS; i++) {
        if (!(has[i] & PART_ATTENTION)) kept *= w->kept[i][0];
        if (!(has[i] & PART_MLP)) kept *= w->kept[i][1];
    }
    plan_free(&p);
    return (int)lrint(kept * SWIFT_ROWS);
}

/* Trials, each after 16 ids more; returns after how many the best plan changed last. */
static int play(struct world *w, struct swift *s, int n_trials)
{
    int changed = 0;
    for (int i = 1; i <= n_trials; i++) {
        const char *plan = swift_next(s, w->n_written += SWIFT_ROWS_LEAST);
        assert_non_null(plan);
        if (swift_note(s, right_of(w, plan), SWIFT_ROWS)) changed = i;
    }
    return changed;
}

static void what_does_nothing_is_left_out_after_some_trials(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        static struct world w;
        w = (struct world){.n_written = 0};
        set_kept(&w, .4);
        w.kept[2][1] = w.kept[3][0] = w.kept[3][1] = w.kept[6][1] = 1;
        struct swift *s = search(&w, true, seed), *again = search(&w, true, seed);
        assert_string_equal(swift_plan(s), "ode:0-7");
        assert_true(swift_cost(s) == 1);
        int changed = play(&w, s, 60);
        assert_string_equal(swift_plan(s), "ode:0-1,2a,4-5,6a,7");
        assert_true(fabs(swift_cost(s) - .76) < 1e-9 && swift_speed(s) > 1.2);
        assert_in_range(changed, 3, 60);
        w.n_written = 0; /* the same answers, the same plans */
        assert_int_equal(play(&w, again, 60), changed);
        assert_string_equal(swift_plan(again), swift_plan(s));
        swift_close(s);
        swift_close(again);
    }
}

/* Many sub-layers that each lose a little: alone none pays, together they do. */
static void small_losses_are_weighed_against_what_they_save(void **state)
{
    (void)state;
    static struct world w;
    set_kept(&w, .7);
    for (int i = 1; i < 6; i++) w.kept[i][1] = .97;
    struct swift *s = search(&w, true, 3);
    play(&w, s, 120);
    assert_true(swift_cost(s) < .8 && swift_speed(s) > 1.05);
    swift_close(s);
}

static void a_model_that_needs_all_of_itself_keeps_it(void **state)
{
    (void)state;
    static struct world w;
    set_kept(&w, .5);
    struct swift *s = search(&w, true, 1);
    assert_int_equal(play(&w, s, 200), 0);
    assert_string_equal(swift_plan(s), "ode:0-7");
    assert_true(swift_cost(s) == 1 && swift_speed(s) == 1);
    assert_int_equal(swift_n_trials(s), 200);
    swift_close(s);
}

/* One good trial in three is luck. */
static void luck_is_not_enough(void **state)
{
    (void)state;
    static struct world w;
    struct swift *s = search(&w, true, 1);
    for (int i = 0; i < 300; i++) {
        assert_non_null(swift_next(s, w.n_written += SWIFT_ROWS_LEAST));
        assert_false(swift_note(s, i % 3 ? 2 : SWIFT_ROWS, SWIFT_ROWS));
    }
    assert_true(swift_cost(s) == 1);
    swift_close(s);
}

static void a_trial_waits_for_new_ids(void **state)
{
    (void)state;
    static struct world w;
    struct swift *s = search(&w, true, 1);
    assert_null(swift_next(s, SWIFT_ROWS_LEAST - 1));
    assert_non_null(swift_next(s, 100));
    swift_note(s, 3, SWIFT_ROWS);
    for (int i = 0; i < SWIFT_ROWS_LEAST; i++) assert_null(swift_next(s, 100 + (uint64_t)i));
    assert_non_null(swift_next(s, 100 + SWIFT_ROWS_LEAST));
    swift_close(s);
}

/* Another kind of text needs what the last one did not. */
static void the_best_plan_is_tried_again_and_given_up(void **state)
{
    (void)state;
    static struct world w;
    set_kept(&w, .4);
    w.kept[5][0] = w.kept[5][1] = 1;
    struct swift *s = search(&w, true, 1);
    play(&w, s, 60);
    assert_string_equal(swift_plan(s), "ode:0-4,6-7");
    set_kept(&w, .4);
    play(&w, s, 60);
    assert_string_equal(swift_plan(s), "ode:0-7");
    swift_close(s);
}

/* Of the first of two stages: the exit behind it is right as often as it is, and that is tried first. */
static void a_first_stage_is_tried_as_it_is(void **state)
{
    (void)state;
    static struct world w;
    set_kept(&w, .5);
    w.kept[4][1] = 1;
    struct swift *s = search(&w, false, 1);
    assert_string_equal(swift_next(s, 100), "ode:0-7");
    swift_note(s, 20, SWIFT_ROWS);
    assert_true(swift_cost(s) == .25);
    w.n_written = 200;
    play(&w, s, 60);
    assert_string_equal(swift_plan(s), "ode:0-3,4a,5-7");
    swift_close(s);
}

/* It is tried in its turn, too, and that counts beside what it did before. */
static void one_bad_trial_of_the_best_exit_is_not_all(void **state)
{
    (void)state;
    static struct world w;
    set_kept(&w, .97);
    for (int i = 0; i < 4; i++) w.kept[i][0] = w.kept[i][1] = .3;
    w.n_written = 0;
    struct swift *s = search_exits(&w, 4);
    play(&w, s, 60);
    for (bool tried = false; !tried;) {
        const char *plan = swift_next(s, w.n_written += SWIFT_ROWS);
        assert_non_null(plan);
        tried = !strcmp(plan, "ode:0-3");
        swift_note(s, tried ? 0 : right_of(&w, plan), SWIFT_ROWS);
    }
    assert_string_equal(swift_plan(s), "ode:0-3");
    swift_close(s);
}

/* Of several exits the one that decodes fastest: what is behind it, and how often it is right. */
static void of_several_exits_the_fastest_is_found(void **state)
{
    (void)state;
    static struct world w;
    set_kept(&w, .97);
    for (int i = 0; i < 4; i++) w.kept[i][0] = w.kept[i][1] = .3;
    for (int first = 1; first <= 4; first++) {
        w.n_written = 0;
        struct swift *s = search_exits(&w, first);
        play(&w, s, 60);
        assert_string_equal(swift_plan(s), "ode:0-3");
        swift_close(s);
    }
    set_kept(&w, .3); /* no exit but the last: all of the model */
    w.n_written = 0;
    struct swift *s = search_exits(&w, 2);
    assert_int_equal(play(&w, s, 60), 0);
    assert_string_equal(swift_plan(s), "ode:0-7");
    swift_close(s);
}

/* ---- over a model ---- */

static void open_search(struct lone_leader *l, const char *path, const char *draft_plan)
{
    struct err err;
    lone_leader_open(l, path, (const char *const[DRAFT_PLANS_MOST]){draft_plan}, 2, N_CTX);
    assert_int_equal(self_draft_search(&l->d, 1, &err), OK);
}

/* Feeds the text's last id; returns big's next one, with the bits of its ln p. */
static int32_t feed(struct lone_leader *l, int32_t id, int at, float *lp)
{
    static float x[N_EMBD];
    const struct verdict_row *answers;
    struct err err;
    const struct row ask = {.id = id, .wanted = true};
    const struct engine_row row = {.slot = 1, .pos = at, .ask = &ask};
    slots_apply(&l->w.slots, 1, (uint32_t)at, &id, 1);
    engine_embed(l->w.engine, &id, 1, x);
    assert_int_equal(engine_pass(l->w.engine, &row, 1, x, &answers, &err), OK);
    *lp = answers[0].lp_next;
    return answers[0].next;
}

/* Texts, with a look before each row as the leader has it; a pass takes pass_ns. The ids and their ln p go to `out`;
 * returns how many ids were written until the best plan changed last. */
static int write_texts(struct lone_leader *l, int n_texts, uint64_t pass_ns, bool looks, uint64_t *out)
{
    static const struct open_slot open = {.slot = 1};
    int n_written = 0, changed = 0;
    *out = 0;
    for (int text = 0; text < n_texts; text++) {
        int32_t id = 30 + 7 * text;
        for (int at = 0; at < 96; at++) {
            float lp;
            uint32_t bits;
            id = feed(l, id, at, &lp);
            memcpy(&bits, &lp, sizeof bits);
            *out = prefix_hash_mix(prefix_hash_next(*out, id) ^ bits);
            l->w.pulse.busy_ns += pass_ns;
            n_written++;
            slots_apply(&l->w.slots, 1, (uint32_t)at + 1, &id, 1);
            const struct lead_text own = {&open, at + 1, (uint64_t)n_written};
            double cost = 0;
            if (looks) self_draft_look(&l->d, &own, &cost);
            if (cost > 0) changed = n_written;
            assert_int_equal(l->d.rc, OK);
        }
    }
    return changed;
}

/* Blocks 1 and 2 of 4 add nothing: the plan without them says what big says. */
static void a_search_over_a_model_finds_the_blocks_that_do_nothing(void **state)
{
    (void)state;
    static struct lone_leader l, plain;
    uint64_t text, expected;
    open_search(&l, idle, "swift:100");
    open_search(&plain, idle, "swift");
    int changed = write_texts(&l, 8, UINT64_C(1000000000), true, &text);
    print_message("%s after %d ids and %d trials\n", swift_plan(l.d.swift), changed, swift_n_trials(l.d.swift));
    assert_string_equal(swift_plan(l.d.swift), "ode:0,3");
    assert_in_range(changed, 1, 600);
    write_texts(&plain, 8, 0, false, &expected); /* what a trial computes leaves no trace */
    assert_true(text == expected);
    lone_leader_close(&l);
    lone_leader_close(&plain);
}

/* Blocks 2 and 3 add nothing: the exit behind the first two says what big says. */
static void of_a_model_s_exits_the_first_that_is_right_is_found(void **state)
{
    (void)state;
    static struct lone_leader l;
    uint64_t text;
    open_search(&l, shallow, "layerskip:1-4");
    write_texts(&l, 6, UINT64_C(1000000000), true, &text);
    assert_string_equal(swift_plan(l.d.swift), "ode:0-1");
    lone_leader_close(&l);
}

/* A model whose blocks all count: nothing pays, and the trials take their share of the time, and one. */
static void trials_take_their_share_of_the_time(void **state)
{
    (void)state;
    static struct lone_leader l;
    uint64_t text;
    open_search(&l, busy, "swift:5");
    assert_int_equal(write_texts(&l, 3, 100000, true, &text), 0);
    assert_string_equal(swift_plan(l.d.swift), "ode:0-3");
    assert_in_range(swift_n_trials(l.d.swift), 1, 3 * 96 / SWIFT_ROWS_LEAST);
    assert_true((double)(l.d.trials_ns - l.d.trial_ns) <= .05 * (double)l.w.pulse.busy_ns);
    l.w.pulse.busy_ns = 0;
    int before = swift_n_trials(l.d.swift);
    write_texts(&l, 1, 0, true, &text);
    assert_int_equal(swift_n_trials(l.d.swift), before);
    lone_leader_close(&l);
}

static int make_folder(void **state)
{
    (void)state;
    struct tiny_spec spec = tiny_spec(QUANT_F32);
    if (!mkdtemp(folder)) return -1;
    snprintf(idle, sizeof idle, "%s/idle.gguf", folder);
    snprintf(busy, sizeof busy, "%s/busy.gguf", folder);
    if (tiny_write(busy, &spec)) return -1;
    snprintf(shallow, sizeof shallow, "%s/shallow.gguf", folder);
    spec.idle = 1 << 2 | 1 << 3;
    if (tiny_write(shallow, &spec)) return -1;
    spec.idle = 1 << 1 | 1 << 2;
    return tiny_write(idle, &spec);
}

static int remove_folder(void **state)
{
    (void)state;
    return tiny_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_nothing_is_left_out_after_some_trials),
        cmocka_unit_test(small_losses_are_weighed_against_what_they_save),
        cmocka_unit_test(a_model_that_needs_all_of_itself_keeps_it),
        cmocka_unit_test(luck_is_not_enough),
        cmocka_unit_test(a_trial_waits_for_new_ids),
        cmocka_unit_test(the_best_plan_is_tried_again_and_given_up),
        cmocka_unit_test(a_first_stage_is_tried_as_it_is),
        cmocka_unit_test(of_several_exits_the_fastest_is_found),
        cmocka_unit_test(one_bad_trial_of_the_best_exit_is_not_all),
        cmocka_unit_test(a_search_over_a_model_finds_the_blocks_that_do_nothing),
        cmocka_unit_test(of_a_model_s_exits_the_first_that_is_right_is_found),
        cmocka_unit_test(trials_take_their_share_of_the_time),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
