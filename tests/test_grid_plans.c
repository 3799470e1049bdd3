/* One hash over all layouts, as in test_grid.c: plans that big is served under, and that it drafts by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/grid_toys.h"
#include "tests/lib/tiny.h"

/* Big is served under a plan, and drafts by a plan of its own blocks, in its first stage. */
static void plans_give_one_hash(void **state)
{
    (void)state;
    static const struct {
        const char *served, *draft;
        int pp; /* stages, at most: the first must have what drafts */
        uint32_t type;
    } rows[] = {
        {NULL, "layerskip:1", 3, QUANT_F32},
        {NULL, "layerskip:2", 2, QUANT_F32},
        {NULL, "layerskip:3", 1, QUANT_Q8_0},
        {NULL, "skip:2", 1, QUANT_F32},
        {NULL, "skip:1a,2m", 1, QUANT_F32},
        {NULL, "ode:0,1x2@.5", 2, QUANT_Q8_0},
        {NULL, "ode:0,1x2", 2, QUANT_F32},
        {"skip:1", "layerskip:1", 3, QUANT_F32},
        {"skip:3a", "skip:3", 1, QUANT_F32},
        {"ode:0,1x4@.5,3", "ode:0,1x2", 1, QUANT_F32},
        {"ode:0,1x4@.5,3", "ode:0,1x2@.5", 2, QUANT_F32},
    };
    static const struct sampler samplers[] = {{.temp = 0}, {.temp = 0.8f, .top_p = 1, .seed = 7}};
    struct grid g;
    uint64_t n_judged = 0, n_accepted = 0;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct toy toy = grid_write_toy(rows[r].type, "qwen2", false);
        grid_init(&g, toy.big, toy.little, grid_fastest());
        g.plan = rows[r].served;
        g.draft_plans[0] = rows[r].draft;
        g.sampler = samplers[r % 2];
        grid_expect(&g);
        for (int i = 0; i < 12; i++) {
            struct cell c = grid_cover(i % 4 == 3 ? GRID_LITTLE : GRID_PLAN, grid_windows[(i + i / 4) % 4], i);
            if (c.pp > rows[r].pp) c.pp = rows[r].pp;
            g.self_max = grid_self_max(1 + i % 2);
            grid_run(&g, &c);
        }
        assert_true(g.n_planned_judged > 0);
        n_judged += g.n_planned_judged;
        n_accepted += g.n_planned_accepted;
    }
    print_message("%llu of %llu judged drafts of plans accepted\n", (unsigned long long)n_accepted,
                  (unsigned long long)n_judged);
    assert_true(n_accepted > 0 && n_accepted < n_judged);
}

static void a_served_plan_has_the_reference_s_bits_by_every_path_of_this_cpu(void **state)
{
    (void)state;
    static const struct {
        const char *served, *draft;
        uint32_t type;
    } rows[] = {
        {"skip:1a,2m", "skip:1-2", QUANT_Q4_K},
        {"ode:0,1x4@.5,3", "ode:0,1x2@.5", QUANT_F32},
        {"ode:0-1x2@.3,3m@1.7", "ode:0", QUANT_Q8_0},
    };
    struct grid g;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct toy toy = grid_write_toy(rows[r].type, "qwen2", false);
        grid_init(&g, toy.big, toy.little, &kernels_ref);
        g.plan = rows[r].served;
        g.draft_plans[0] = rows[r].draft;
        grid_expect(&g);
        for (int i = 1; (g.kernels = kernels_path(i)); i++) {
            grid_run(&g, &(struct cell){GRID_NONE, 1, 2, 1, 1, 1});
            grid_run(&g, &(struct cell){GRID_PLAN, 4, 1, 2, 1, 1});
        }
    }
}

/* A block and a norm of a side file draft behind the first E blocks (Balcony). This one's are copies of the last: so at
 * E = L - 1 it says what big says, at all positions, which it can only where its K and V are those of the text; the cut
 * head says another id where big's is past the cut. */
static void a_side_file_s_drafts_give_one_hash(void **state)
{
    (void)state;
    static const struct {
        int exit;
        struct tiny_side side;
        int pp;
        uint32_t type;
    } rows[] = {
        {1, {{1}, 0, 0}, 3, QUANT_F32},    {2, {{2}, 0, 0}, 2, QUANT_F32},      {3, {{3}, 0, 0}, 1, QUANT_F32},
        {4, {{4}, 0, 0}, 1, QUANT_F32},    {3, {{3}, 0, 0}, 1, QUANT_Q8_0},     {2, {{2}, 300, 0}, 2, QUANT_Q8_0},
        {3, {{1, 3}, 0, 0}, 1, QUANT_F32}, {3, {{1, 3}, 300, 2}, 1, QUANT_F32}, {1, {{1, 3}, 500, 1}, 3, QUANT_Q8_0}};
    static const struct sampler samplers[] = {{.temp = 0}, {.temp = 0.8f, .top_p = 1, .seed = 7}};
    struct grid g;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct toy toy = grid_write_toy(rows[r].type, "qwen2", false);
        struct tiny_spec spec = tiny_spec(rows[r].type);
        char side[96], plan[128];
        snprintf(side, sizeof side, "%s.side", toy.big);
        snprintf(plan, sizeof plan, "balcony:%s:%d", side, rows[r].exit);
        assert_int_equal(tiny_write_side(side, toy.big, &spec, &rows[r].side), 0);
        grid_init(&g, toy.big, toy.little, grid_fastest());
        g.draft_plans[0] = plan;
        for (int s = 0; s < 2; s++) {
            g.sampler = samplers[s];
            g.have_expected = 0;
            grid_expect(&g);
            for (int i = 0; i < 6; i++) {
                struct cell c = grid_cover(GRID_PLAN, grid_windows[(i + i / 4) % 4], i);
                if (c.pp > rows[r].pp) c.pp = rows[r].pp;
                g.self_max = grid_self_max(1 + i % 2);
                grid_run(&g, &c);
            }
        }
        print_message("E=%d: %llu of %llu judged drafts accepted\n", rows[r].exit,
                      (unsigned long long)g.n_planned_accepted, (unsigned long long)g.n_planned_judged);
        assert_true(g.n_planned_accepted > 0);
        if (rows[r].exit == 3 && !rows[r].side.n_ids) assert_int_equal(g.n_planned_judged, g.n_planned_accepted);
    }
}

/* Each text has one plan after the other, in slots that hold it from the turn before. Lossy texts have one each. */
static void several_plans_for_drafts_give_one_hash(void **state)
{
    (void)state;
    static char one[2][64], at_1[2][96], at_3[96];
    static const struct {
        const char *served, *drafts[DRAFT_PLANS_MOST];
        int pp;
        uint32_t type;
    } rows[] = {
        {NULL, {"layerskip:1", "layerskip:2"}, 2, QUANT_F32},
        {NULL, {"skip:1a,3m", "layerskip:3", "ode:0,1x2@.5"}, 1, QUANT_Q8_0},
        {NULL, {at_3, "layerskip:1", at_1[0]}, 1, QUANT_F32},
        {NULL, {at_1[1], at_1[0]}, 3, QUANT_F32}, /* two files, one with a list of ids */
        {"ode:0,1x4@.5,3", {"ode:0,1x2", "layerskip:1"}, 2, QUANT_Q8_0},
    };
    static const struct sampler samplers[] = {{.temp = 0}, {.temp = 0.8f, .top_p = 1, .seed = 7}};
    struct grid g;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct toy toy = grid_write_toy(rows[r].type, "qwen2", false);
        struct tiny_spec spec = tiny_spec(rows[r].type);
        for (int i = 0; i < 2; i++) {
            snprintf(one[i], sizeof one[i], "%s/several-%d.side", grid_folder, i);
            snprintf(at_1[i], sizeof at_1[i], "balcony:%s:1", one[i]);
            const struct tiny_side side = {{1, 3}, i ? 300 : 0, i};
            assert_int_equal(tiny_write_side(one[i], toy.big, &spec, &side), 0);
        }
        snprintf(at_3, sizeof at_3, "balcony:%s:3", one[0]);
        for (int s = 0; s < 3; s++) {
            grid_init(&g, toy.big, toy.little, grid_fastest());
            g.plan = rows[r].served;
            memcpy(g.draft_plans, rows[r].drafts, sizeof g.draft_plans);
            if (s < 2) {
                g.sampler = samplers[s];
                grid_expect(&g);
            } else {
                g.rule = (struct rule){RULE_STRICT, 5.5f};
                g.fallback = 0.003f;
            }
            for (int i = 0; i < 6; i++, g.have_expected = 1) {
                struct cell c = grid_cover(GRID_PLAN, s < 2 ? grid_windows[(i + i / 4) % 4] : 5, i + 1);
                if (c.pp > rows[r].pp) c.pp = rows[r].pp;
                g.stage_share = rows[r].served && c.pp == 2 ? "4,2" : NULL; /* the caches that drafts read, no more */
                g.self_max = grid_self_max(1 + i % 2);
                grid_run(&g, &c);
            }
            assert_true(g.n_planned_judged > 0);
        }
        print_message("%s, ...: %llu of %llu judged drafts accepted\n", rows[r].drafts[0],
                      (unsigned long long)g.n_planned_accepted, (unsigned long long)g.n_planned_judged);
    }
}

/* BiLD's rules over drafts of a plan, which the coordinator asks for. */
static void lossy_text_of_a_plan_s_drafts_depends_on_the_method_alone(void **state)
{
    (void)state;
    static const char *const plans[] = {"layerskip:1", "skip:2", "skip:1a,3m"};
    struct toy toy = grid_write_toy(QUANT_Q8_0, "llama", true);
    struct grid g;
    for (int i_plan = 0; i_plan < 3; i_plan++) {
        grid_init(&g, toy.big, toy.little, grid_fastest());
        grid_expect(&g);
        uint64_t exact = g.expected[1];
        g.draft_plans[0] = plans[i_plan];
        g.rule = (struct rule){i_plan == 1 ? RULE_REPO : RULE_STRICT, 5.5f};
        g.fallback = 0.003f;
        g.have_expected = 0;
        grid_run(&g, &(struct cell){GRID_PLAN, 5, 1, 1, 1, 1});
        g.have_expected = 1;
        assert_int_not_equal(g.expected[1], exact);
        for (int i = 0; i < 18; i++) {
            struct cell c = grid_cover(GRID_PLAN, 5, i);
            if (i_plan) c.pp = 1; /* the first stage must have what drafts */
            grid_run(&g, &c);
        }
        assert_true(g.n_planned_accepted > 0);
    }
}

/* All of big drafts for big, and is always right. */
static void big_s_own_drafts_by_all_its_blocks_are_right(void **state)
{
    (void)state;
    struct toy toy = grid_write_toy(QUANT_F32, "llama", true);
    struct grid g;
    grid_init(&g, toy.big, toy.little, grid_fastest());
    g.draft_plans[0] = "layerskip:4";
    grid_expect(&g);
    for (int i = 0; i < 6; i++) grid_run(&g, &(struct cell){GRID_PLAN, 8, 1, 1 + i % 3, 1, (enum company)(i % 3)});
    assert_true(g.n_planned_judged > 0);
    assert_int_equal(g.n_planned_judged, g.n_planned_accepted);
}

/* The plan of drafts changes while texts are written, by trials over their KV rows; two of four blocks do nothing. Of a
 * side file's exits that behind block 2 has the last block: it is right as long as it finds K and V of the whole text.
 */
static void a_search_for_plans_gives_one_hash(void **state)
{
    (void)state;
    static const struct {
        const char *served;
        uint32_t type;
        struct tiny_side side; /* no exit: sub-layers are left out */
    } rows[] = {{NULL, QUANT_F32, {{0}, 0, 0}},
                {"ode:0-1,2x2@.5,3a,3m", QUANT_F16, {{0}, 0, 0}},
                {NULL, QUANT_F32, {{1, 3}, 0, 0}},
                {NULL, QUANT_Q8_0, {{1, 2, 3}, 400, 1}},
                {"skip:3a", QUANT_F32, {{1, 2}, 0, 0}}};
    static const struct sampler samplers[] = {{.temp = 0}, {.temp = 0.8f, .top_p = 1, .seed = 7}};
    struct grid g;
    uint64_t n_judged = 0, n_accepted = 0;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct tiny_spec spec = tiny_spec(rows[r].type);
        char big[64], side[80], plan[100];
        bool exits = rows[r].side.exits[0];
        snprintf(big, sizeof big, "%s/idle-%zu.gguf", grid_folder, r);
        snprintf(side, sizeof side, "%s.side", big);
        snprintf(plan, sizeof plan, "balcony:%s:1-3", side);
        spec.idle = 1 << 1 | 1 << 2;
        assert_int_equal(tiny_write(big, &spec), 0);
        if (exits) assert_int_equal(tiny_write_side(side, big, &spec, &rows[r].side), 0);
        grid_init(&g, big, big, grid_fastest());
        g.plan = rows[r].served;
        g.draft_plans[0] = exits ? plan : "swift:900"; /* trials all the time */
        g.n_predict = GRID_CTX - 91;
        g.sampler = samplers[r % 2];
        grid_expect(&g);
        for (int i = 0; i < 12; i++) {
            struct cell c = grid_cover(GRID_PLAN, grid_windows[(i + i / 4) % 4], i);
            if (exits) c.pp = 1;
            g.self_max = grid_self_max(1 + i % 2);
            grid_run(&g, &c);
        }
        n_judged += g.n_planned_judged;
        n_accepted += g.n_planned_accepted;
    }
    print_message("%llu of %llu judged drafts of a search accepted\n", (unsigned long long)n_accepted,
                  (unsigned long long)n_judged);
    assert_true(n_accepted > 0 && n_accepted < n_judged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_give_one_hash),
        cmocka_unit_test(a_served_plan_has_the_reference_s_bits_by_every_path_of_this_cpu),
        cmocka_unit_test(a_side_file_s_drafts_give_one_hash),
        cmocka_unit_test(several_plans_for_drafts_give_one_hash),
        cmocka_unit_test(lossy_text_of_a_plan_s_drafts_depends_on_the_method_alone),
        cmocka_unit_test(big_s_own_drafts_by_all_its_blocks_are_right),
        cmocka_unit_test(a_search_for_plans_gives_one_hash),
    };
    return cmocka_run_group_tests(tests, grid_make_folder, grid_remove_folder);
}
