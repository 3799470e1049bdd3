/* One hash over all layouts, in one process, on toy models: the best oracle we have (ARITHMETIC.md makes it cheap).
 * Plans are in test_grid_plans.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"
#include "coordinator/job.h"
#include "coordinator/decode/spec.h"
#include "tests/lib/grid_toys.h"
#include "tests/lib/tiny.h"

/* No row of the leader's own waits for drafts; it does, and they come later, or before it: in turn. */
static uint32_t hold_us(int turn)
{
    static const uint32_t of[] = {0, 300, 3000};
    return of[turn % 3];
}

/* No cap, one that the window must stay below, one that leaves drafts their room: in turn. */
static int max_rows(int turn)
{
    static const int most[] = {0, 4, 20};
    return most[turn % 3];
}

static bool all_cells; /* --all */

/* A third of the cells. */
static bool is_sampled(const struct cell *c, int window)
{
    return (c->drafter + window + c->threads + c->tp + c->pp + (int)c->company) % 3 == 0;
}

/* Any values of any three axes meet, in the sampled third too; what takes turns is an axis too, hence its divisors. */
static void every_layout_window_thread_count_and_company_gives_one_hash(void **state)
{
    (void)state;
    struct toy toy = grid_write_toy(QUANT_F32, "qwen2", false);
    struct grid g;
    int n = 0, n_run = 0;
    grid_init(&g, toy.big, toy.little, grid_fastest());
    grid_expect(&g);
    for (int d = 0; d < N_GRID_DRAFTERS; d++)
        for (int w = 0; w < 4; w++)
            for (int threads = 1; threads <= 2; threads++)
                for (int tp = 1; tp <= 3; tp++)
                    for (int pp = 1; pp <= 3; pp++)
                        for (int others = 0; others <= 1; others++, n++) {
                            const struct cell c = {(enum grid_drafter)d,        grid_windows[w], threads, tp, pp,
                                                   grid_company(others, n / 14)};
                            g.self_max = grid_self_max(n / 7);
                            g.draft_ahead = grid_draft_ahead(n / 2);
                            g.drops_nothing = n / 5 % 2;
                            if (!all_cells && !is_sampled(&c, w)) continue;
                            grid_run(&g, &c);
                            n_run++;
                        }
    print_message("%d of %d cells; the little toy: %llu of %llu judged drafts accepted\n", n_run, n,
                  (unsigned long long)g.n_accepted, (unsigned long long)g.n_judged);
    assert_true(g.n_accepted > 0 && g.n_accepted < g.n_judged);
}

/* Requests are spread over groups, which share drafters, have one each, or have their own suffixes. */
static void groups_give_one_hash(void **state)
{
    (void)state;
    struct toy toy = grid_write_toy(QUANT_Q8_0, "qwen2", false);
    struct grid g;
    grid_init(&g, toy.big, toy.little, grid_fastest());
    grid_expect(&g);
    for (int i = 0; i < 48; i++) {
        static const int tp[] = {1, 2, 1, 2}, pp[] = {1, 1, 2, 2};
        g.self_max = grid_self_max(i / 3);
        g.draft_ahead = grid_draft_ahead(i / 2);
        g.max_rows = max_rows(i / 5);
        g.groups = 1 + i / 2 % 3;
        g.drafters = 1 + i / 7 % 3;
        grid_run(&g, &(struct cell){(enum grid_drafter)(i % N_GRID_DRAFTERS), grid_windows[i / 2 % 4], 1 + i % 2,
                                    tp[i / 4 % 4], pp[i / 4 % 4], (enum company)(i / 3 % N_COMPANIES)});
    }
    g.draft_plans[0] = "layerskip:1";
    for (int i = 0; i < 6; i++) {
        g.groups = 2 + i % 2;
        grid_run(&g, &(struct cell){GRID_PLAN, 4, 1, 1 + i % 2, 1 + i / 2 % 2, (enum company)(i % 3)});
    }
    g.draft_plans[0] = NULL;
    for (int i = 0; i < 2 * N_COMPANIES; i++) {
        g.drafters = 1 + i / N_COMPANIES;
        grid_run(&g, &(struct cell){GRID_DYING, 3, 1, 1, 1 + i % 2, i % N_COMPANIES});
    }
    assert_true(g.n_accepted > 0 && g.n_accepted < g.n_judged);
}

/* Three texts that begin alike, two of them with one prompt and samples of their own: what one slot holds is copied to
 * the others, in all layouts, and where drafts are under way. */
static void what_slots_copy_from_one_another_gives_one_hash(void **state)
{
    (void)state;
    static const enum grid_drafter drafters[] = {GRID_NONE, GRID_LITTLE, GRID_SUFFIX, GRID_PLAN, GRID_WRONG};
    struct toy toy = grid_write_toy(QUANT_Q8_0, "qwen2", false);
    struct grid g;
    grid_init(&g, toy.big, toy.little, grid_fastest());
    grid_share_prompts(&g);
    g.sampler = (struct sampler){.temp = .8f, .top_p = 1, .seed = 7};
    g.fresh = true;
    grid_expect(&g);
    assert_true(g.n_copied == 0 && g.expected[0] != g.expected[1]);
    g.fresh = false;
    g.draft_plans[0] = "layerskip:1";
    for (int i = 0; i < 30; i++) {
        struct cell c = grid_cover(drafters[i % 5], grid_windows[i % 4], i);
        if (c.company == ALONE) c.company = TOGETHER;
        g.self_max = grid_self_max(i / 4);
        g.draft_ahead = grid_draft_ahead(i / 2);
        g.max_rows = i % 3 ? 0 : 20; /* so that a prompt takes several passes */
        g.groups = 1 + i % 2;
        g.drafters = 1 + i / 3 % 2;
        grid_run(&g, &c);
    }
    print_message("%llu ids copied\n", (unsigned long long)g.n_copied);
    assert_true(g.n_copied > 30 * 30);
}

/* Of few ids, so that a text repeats itself: some of what the leader copies is right, some is not. */
static void what_the_leader_copies_gives_one_hash(void **state)
{
    (void)state;
    enum { N_VOCAB = 12 };
    static const struct sampler samplers[] = {{.temp = 0}, {.temp = 0.8f, .top_p = 1, .seed = 7}};
    char big[64];
    struct tiny_spec spec = tiny_spec(QUANT_Q8_0);
    snprintf(big, sizeof big, "%s/few-ids.gguf", grid_folder);
    spec.n_vocab = N_VOCAB;
    spec.has_tokenizer = false;
    assert_int_equal(tiny_write(big, &spec), 0);
    struct grid g;
    grid_init(&g, big, big, grid_fastest());
    g.n_vocab = N_VOCAB;
    for (int p = 0; p < g.n_prompts; p++)
        for (int i = 0; i < g.n_prompt[p]; i++) g.prompts[p][i] %= N_VOCAB;
    for (int s = 0; s < 2; s++) {
        g.sampler = samplers[s];
        grid_expect(&g);
        for (int i = 0; i < 36; i++) {
            struct cell c = grid_cover(GRID_SUFFIX, grid_windows[i % 4], i);
            g.self_max = grid_self_max(i / 4);
            grid_run(&g, &c);
        }
    }
    g.sampler = (struct sampler){.temp = 0};
    g.rule = (struct rule){RULE_STRICT, 9};
    grid_expect(&g);
    uint64_t exact = g.expected[0] ^ g.expected[1] ^ g.expected[2];
    g.have_expected = 0; /* a lossy text has its own: it asks for its drafts */
    for (int i = 0; i < 18; i++, g.have_expected = 1) {
        struct cell c = grid_cover(GRID_SUFFIX, 4, i + 1); /* the first has company: all its texts are kept */
        grid_run(&g, &c);
    }
    assert_int_not_equal(g.expected[0] ^ g.expected[1] ^ g.expected[2], exact);
    print_message("%llu of %llu judged suffixes accepted\n", (unsigned long long)g.n_suffix_accepted,
                  (unsigned long long)g.n_suffix_judged);
    assert_true(g.n_suffix_accepted > 0 && g.n_suffix_accepted < g.n_suffix_judged);
}

/* Each list takes its turn with each of the other axis, in one, two and three groups; formats whose blocks are 1, 32
 * and 256 wide, and experts. */
static void uneven_shares_give_one_hash(void **state)
{
    (void)state;
    static const char *const shards[][5] = {{NULL}, {"1,2", "8,1", "1,7", NULL}, {"1,5,3", "4,1,1", "1,1,6", NULL}};
    static const char *const stages[][4] = {{NULL, NULL}, {"1,3", "3,1", NULL}, {"1,1,2", "2,1,1", NULL}};
    static const struct {
        uint32_t type;
        const char *architecture;
        bool tied;
    } toys[] = {{QUANT_F32, "qwen2", false},
                {QUANT_Q8_0, "llama", true},
                {QUANT_Q4_K, "qwen3", false},
                {QUANT_Q8_0, "qwen3moe", false}};
    int n = 0;
    for (size_t t = 0; t < sizeof toys / sizeof *toys; t++) {
        struct toy toy = grid_write_toy(toys[t].type, toys[t].architecture, toys[t].tied);
        struct grid g;
        grid_init(&g, toy.big, toy.little, grid_fastest());
        grid_expect(&g);
        for (int tp = 2; tp <= 3; tp++)
            for (int s = 0; shards[tp - 1][s]; s++)
                for (int pp = 1; pp <= 3; pp++, n++) {
                    g.self_max = grid_self_max(n);
                    g.groups = 1 + n / 3 % 3;
                    g.shard_share = shards[tp - 1][s];
                    g.stage_share = stages[pp - 1][n % 2];
                    grid_run(&g, &(struct cell){(enum grid_drafter)(n % N_GRID_DRAFTERS), grid_windows[n % 4],
                                                1 + n % 2, tp, pp, grid_company(n % 2, n / 2)});
                }
    }
    print_message("%d cells\n", n);
}

/* Each value of an axis (drafter, self-start, network, layout) meets each of another. */
static void no_delay_and_no_jitter_changes_a_text(void **state)
{
    (void)state;
    static const struct net_path paths[] = {
        {.delay_ns = 1000000}, {.jitter_ns = 2000000}, {.delay_ns = 1500000, .jitter_ns = 3000000}};
    struct toy toy = grid_write_toy(QUANT_F32, "qwen2", false);
    struct grid g;
    grid_init(&g, toy.big, toy.little, grid_fastest());
    grid_expect(&g);
    for (int i = 0; i < 45; i++) {
        int layout = (i + i / 5 * 2) % 9;
        g.self_max = grid_self_max(i / 5);
        g.draft_ahead = grid_draft_ahead(i / 2);
        g.path = paths[i / 15];
        g.hold_us = hold_us(i / 7);
        grid_run(&g, &(struct cell){(enum grid_drafter)(i % N_GRID_DRAFTERS), grid_windows[i % 4], 1 + i % 2,
                                    1 + layout % 3, 1 + layout / 3, (enum company)(i / 2 % N_COMPANIES)});
    }
}

/* What follows a wrong draft is under way in several stages, one after another: it is dropped there, or is not. */
static void what_later_stages_drop_changes_no_text(void **state)
{
    (void)state;
    static const struct net_path paths[] = {{0}, {.delay_ns = 1000000, .jitter_ns = 1000000}};
    static const struct sampler samplers[] = {{.temp = 0}, {.temp = 0.8f, .top_p = 1, .seed = 7}};
    struct toy toy = grid_write_toy(QUANT_Q8_0, "llama", false);
    struct grid g;
    grid_init(&g, toy.big, toy.little, grid_fastest());
    for (int s = 0; s < 2; s++) {
        g.sampler = samplers[s];
        g.path = paths[0];
        g.drops_nothing = false;
        grid_expect(&g);
        for (int i = 0; i < 24; i++) {
            g.drops_nothing = i % 2;
            g.path = paths[i / 2 % 2];
            g.draft_ahead = grid_draft_ahead(1 + i / 2 % 3);
            g.max_rows = max_rows(i / 4);
            grid_run(&g, &(struct cell){i / 6 % 2 ? GRID_LITTLE : GRID_WRONG, grid_windows[i / 4 % 4], 1, 1 + i / 8 % 2,
                                        2 + i / 3 % 3, (enum company)(i / 2 % N_COMPANIES)});
        }
    }
    assert_true(g.n_accepted > 0 && g.n_accepted < g.n_judged);
}

/* Delays by early drafts, on and off: one text, and as many fallbacks and rollbacks. */
static void early_drafts_change_no_text_at_any_delay(void **state)
{
    (void)state;
    static const struct net_path paths[] = {
        {0}, {.delay_ns = 1000000}, {.jitter_ns = 2000000}, {.delay_ns = 4000000, .jitter_ns = 3000000}};
    static const struct sampler samplers[] = {{.temp = 0}, {.temp = 0.8f, .top_p = 1, .seed = 7}};
    struct toy toy = grid_write_toy(QUANT_Q8_0, "llama", true);
    struct grid g;
    grid_init(&g, toy.big, toy.little, grid_fastest());
    for (int i = 0; i < 32; i++) {
        uint64_t before = g.bild;
        bool anew = i % 8 == 0;
        if (anew) {
            g.rule = (struct rule){i / 8 == 2 ? RULE_REPO : RULE_STRICT, 5.5f};
            g.fallback = 0.003f;
            g.sampler = samplers[i / 16];
            g.have_expected = 0;
        }
        g.path = paths[i % 4];
        g.draft_ahead = i / 4 % 2 ? 1 + i % 3 : 0;
        grid_run(&g, &(struct cell){i / 8 % 2 ? GRID_ITSELF : GRID_LITTLE, 5, 1, 1 + i % 2, 1 + i / 2 % 2, TOGETHER});
        g.have_expected = 1;
        if (!anew) assert_true(g.bild == before);
    }
    print_message("%llu early drafts of use\n", (unsigned long long)g.n_early);
    assert_true(g.n_early > 0);
}

/* In the middle of a job, to all requests, those that come later too. */
static void a_drafter_that_dies_changes_no_text(void **state)
{
    (void)state;
    struct toy toy = grid_write_toy(QUANT_F32, "llama", false);
    struct grid g;
    grid_init(&g, toy.big, toy.little, grid_fastest());
    grid_expect(&g);
    for (int i = 0; i < 2 * N_COMPANIES; i++) {
        g.drafters = 1 + i / N_COMPANIES;
        grid_run(&g, &(struct cell){GRID_DYING, 3, 1, 1 + i % 3, 1 + i % 2, i % N_COMPANIES});
    }
}

static void every_format_and_architecture_gives_one_hash(void **state)
{
    (void)state;
    static const char *const architectures[] = {"qwen2", "llama", "qwen3moe", "qwen3", "gemma3"};
    static const struct cell cells[] = {{GRID_LITTLE, 4, 2, 2, 2, 1},
                                        {GRID_ITSELF, 8, 1, 3, 1, 0},
                                        {GRID_SUFFIX, 4, 2, 1, 3, 1},
                                        {GRID_WRONG, 16, 1, 2, 1, 1}};
    const enum quant *type;
    for (int t = 0; (type = kernels_format(t)) != NULL; t++) { /* architectures take turns */
        struct toy toy = grid_write_toy(*type, architectures[t % 5], t / 5 % 2);
        struct grid g;
        grid_init(&g, toy.big, toy.little, grid_fastest());
        grid_expect(&g);
        for (size_t c = 0; c < sizeof cells / sizeof *cells; c++) grid_run(&g, &cells[c]);
    }
}

static void every_path_of_this_cpu_gives_the_reference_s_hash(void **state)
{
    (void)state;
    const enum quant *type;
    for (int t = 0; (type = kernels_format(t)) != NULL; t++) {
        struct toy toy = grid_write_toy(*type, "qwen2", false);
        struct grid g;
        grid_init(&g, toy.big, toy.little, &kernels_ref);
        grid_expect(&g);
        for (int i = 1; (g.kernels = kernels_path(i)); i++) {
            grid_run(&g, &(struct cell){GRID_NONE, 1, 2, 1, 1, 1});
            grid_run(&g, &(struct cell){GRID_LITTLE, 4, 2, 2, 1, 1});
        }
    }
}

static void samples_do_not_depend_on_how_they_were_computed(void **state)
{
    (void)state;
    static const struct sampler samplers[] = {
        {.temp = 0.9f, .top_p = 1, .seed = 7},
        {.temp = 1, .top_k = 20, .top_p = 0.9f, .min_p = 0.01f, .seed = 8},
        {.temp = 1.5f, .top_p = 0.97f, .seed = 9}, /* more ids than a shard offers at first */
        {.temp = 0.7f, .top_p = 1, .min_p = 0.3f, .seed = 10},
    };
    struct toy toy = grid_write_toy(QUANT_Q8_0, "qwen2", false);
    struct grid g;
    uint64_t before = 0;
    grid_init(&g, toy.big, toy.little, grid_fastest());
    for (size_t s = 0; s < sizeof samplers / sizeof *samplers; s++) {
        g.sampler = samplers[s];
        grid_expect(&g);
        assert_int_not_equal(g.expected[0], before); /* another sampler, another text */
        before = g.expected[0];
        for (int i = 0; i < 36; i++) {
            struct cell c = grid_cover((enum grid_drafter)(i % N_GRID_DRAFTERS), grid_windows[i / 2 % 4], i);
            grid_run(&g, &c);
        }
    }
    assert_true(g.n_accepted > 0 && g.n_accepted < g.n_judged);
}

static void lossy_text_depends_on_the_method_alone(void **state)
{
    (void)state;
    struct toy toy = grid_write_toy(QUANT_Q8_0, "llama", true);
    struct grid g;
    grid_init(&g, toy.big, toy.little, grid_fastest());
    grid_expect(&g);
    uint64_t exact = g.expected[1];
    g.rule = (struct rule){RULE_STRICT, 0}; /* rollback 0 is exact */
    for (int i = 0; i < 6; i++) grid_run(&g, &(struct cell){GRID_LITTLE, 3, 1, 1 + i % 3, 1 + i / 3, 1});
    g.rule.rollback = 5.5f;
    g.fallback = 1.5f; /* never draft */
    grid_run(&g, &(struct cell){GRID_LITTLE, 3, 2, 1, 1, 1});
    for (int kind = RULE_STRICT; kind <= RULE_REPO; kind++) {
        g.rule.kind = (enum rule_kind)kind;
        g.fallback = 0.003f;
        g.have_expected = 0;
        grid_run(&g, &(struct cell){GRID_LITTLE, 5, 1, 1, 1, 1});
        g.have_expected = 1;
        assert_int_not_equal(g.expected[1], exact);
        for (int i = 0; i < 18; i++) {
            struct cell c = grid_cover(GRID_LITTLE, 5, i);
            g.draft_ahead = grid_draft_ahead(i);
            grid_run(&g, &c);
        }
    }
}

/* Quit comes to each shard by itself, so one may end while the leader begins another pass. */
static void a_shard_that_has_quit_lets_no_other_wait(void **state)
{
    (void)state;
    struct toy toy = grid_write_toy(QUANT_F32, "llama", true);
    struct grid g;
    struct err err = {0};
    struct layout l;
    struct cluster *cluster = NULL;
    struct job *job = NULL;
    struct seq seq;
    grid_init(&g, toy.big, toy.little, grid_fastest());
    assert_int_equal(layout_make(&l, 1, 1, 1, 2, 1, DRAFTER_NONE, &err), OK);
    struct router *router = router_open(l.n_peers);
    const struct cluster_config config = {.launch.layout = l, .big = toy.big, .kernels = g.kernels, .n_threads = 1};
    const struct job_config jobs = {
        .layout = l, .vocab_big = grid_vocab_hash(toy.big), .n_ids = 512, .n_ctx = GRID_CTX, .n_slots = 1};
    assert_int_equal(cluster_start(&cluster, &config, router, &err), OK);
    assert_int_equal(job_open(&job, &jobs, router, &err), OK);
    const struct request request = {.prompt = g.prompts[0], .n_prompt = g.n_prompt[0]};
    struct mail quit = {.from = PEER_COORDINATOR, .to = group_peer(layout_verifier(&l, 0), 0, 1), .tag = TAG_QUIT};
    assert_int_equal(router_deliver(router, &quit, &err), OK);
    assert_int_equal(seq_init(&seq, &request, GRID_CTX, &err), OK);
    assert_int_equal(job_run(job, &seq, 1, &(struct job_watch){.tokens = NULL}, &err), E_PEER);
    job_close(job);
    job_quit(router, &l, OK, "");
    cluster_join(cluster);
    router_close(router);
    seq_free(&seq);
}

int main(int argc, char **argv)
{
    all_cells = argc > 1 && !strcmp(argv[1], "--all");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_of_this_cpu_gives_the_reference_s_hash),
        cmocka_unit_test(groups_give_one_hash),
        cmocka_unit_test(what_the_leader_copies_gives_one_hash),
        cmocka_unit_test(what_slots_copy_from_one_another_gives_one_hash),
        cmocka_unit_test(uneven_shares_give_one_hash),
        cmocka_unit_test(a_drafter_that_dies_changes_no_text),
        cmocka_unit_test(every_format_and_architecture_gives_one_hash),
        cmocka_unit_test(samples_do_not_depend_on_how_they_were_computed),
        cmocka_unit_test(lossy_text_depends_on_the_method_alone),
        cmocka_unit_test(no_delay_and_no_jitter_changes_a_text),
        cmocka_unit_test(what_later_stages_drop_changes_no_text),
        cmocka_unit_test(early_drafts_change_no_text_at_any_delay),
        cmocka_unit_test(a_shard_that_has_quit_lets_no_other_wait),
        cmocka_unit_test(every_layout_window_thread_count_and_company_gives_one_hash),
    };
    return cmocka_run_group_tests(tests, grid_make_folder, grid_remove_folder);
}
