/* Which blocks and heads workers take: by how fast they read, within what their hosts hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/fit.h"
#include "coordinator/shares.h"

static void units_are_dealt_so_that_all_are_done_together(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int n, n_parts;
        double base[3], rate[3];
        int most[3], units[3]; /* units 0: they do not fit */
    } rows[] = {
        {"one has all", 9, 1, {0}, {1}, {9}, {9}},
        {"alike", 24, 3, {0}, {5, 5, 5}, {24, 24, 24}, {8, 8, 8}},
        {"twice as fast, twice as many", 24, 2, {0}, {20, 10}, {24, 24}, {16, 8}},
        {"the rest goes to the first that is done", 7, 2, {0}, {1, 1}, {7, 7}, {4, 3}},
        {"a head is read in the time of four blocks", 28, 2, {0, 4}, {1, 1}, {28, 28}, {16, 12}},
        {"each has one, however slow", 12, 3, {0}, {100, 100, 1e-3}, {12, 12, 12}, {6, 5, 1}},
        {"what does not fit goes to the others by their rates", 24, 3, {0}, {4, 2, 1}, {5, 24, 24}, {5, 13, 6}},
        {"it fits exactly", 12, 2, {0}, {9, 1}, {7, 5}, {7, 5}},
        {"it does not fit", 12, 2, {0}, {9, 1}, {7, 4}, {0}},
        {"one that holds nothing", 12, 2, {0}, {1, 1}, {12, 0}, {0}},
        {"more parts than units", 2, 3, {0}, {1, 1, 1}, {2, 2, 2}, {0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int units[3];
        bool fits = shares_deal(units, rows[i].n, rows[i].n_parts, rows[i].base, rows[i].rate, rows[i].most);
        if (fits != (rows[i].units[0] > 0)) fail_msg("%s: %s", rows[i].why, fits ? "it fits" : "it does not fit");
        for (int k = 0; fits && k < rows[i].n_parts; k++)
            if (units[k] != rows[i].units[k]) fail_msg("%s: part %d has %d", rows[i].why, k, units[k]);
    }
}

/* A model of 24 blocks of 100 MB and 12 heads, in equal parts; each of its positions takes 1 KB a block. */
enum { N_BLOCKS = 24, N_HEADS = 12, BLOCK_MB = 100, N_CTX = 1000, WORKERS_MOST = 4 };
static const uint64_t MB = 1000000;

struct machine {
    const char *host;
    int gb_per_s, memory_mb;
};

static void open_groups(struct workers *w, int groups, int tp, int pp, const struct machine *machines, int head_mb)
{
    struct layout l;
    struct err err = {0};
    assert_int_equal(layout_make(&l, 1, 1, groups, tp, pp, DRAFTER_NONE, &err), OK);
    assert_int_equal(workers_init(w, &l, NULL, &err), OK);
    for (int i = 0; i < groups * tp * pp; i++) {
        int peer = 1 + i, stage = i / tp % pp;
        uint64_t head = stage == pp - 1 ? (uint64_t)head_mb * MB / (uint64_t)tp : 0;
        uint64_t body = N_BLOCKS * BLOCK_MB * MB / (uint64_t)(tp * pp);
        struct hello h = {.version = WIRE_VERSION,
                          .host = machines[i].host,
                          .peer = peer,
                          .path = "big.gguf",
                          .weights_bytes = body + head,
                          .body_bytes = body,
                          .head_bytes = head,
                          .kv_position_bytes = N_BLOCKS * 1000 / (uint64_t)(tp * pp),
                          .memory_bytes = (uint64_t)machines[i].memory_mb * MB,
                          .threads = 1,
                          .cpu = "avx2",
                          .read_bytes_per_s = (uint64_t)machines[i].gb_per_s * 1000 * MB,
                          .entry_from = (uint32_t)(N_BLOCKS / pp * stage),
                          .entry_to = (uint32_t)(N_BLOCKS / pp * (stage + 1)),
                          .n_heads = (uint32_t)(N_HEADS / tp)};
        if (workers_hello(w, peer, &h, &err) != OK) fail_msg("%s", err.text);
    }
}

static void open_job(struct workers *w, int tp, int pp, const struct machine *machines, int head_mb)
{
    open_groups(w, 1, tp, pp, machines, head_mb);
}

static const struct workers_need need = {.n_slots = 1, .n_ctx = N_CTX};

static void shares_follow_read_loops_and_memory(void **state)
{
    (void)state;
    enum { STAGES = 1, SHARDS = 2 };
    static const struct {
        const char *why;
        int tp, pp, wanted;
        struct machine machines[WORKERS_MOST];
        int head_mb;
        const char *stages, *shards; /* NULL: none fit */
    } rows[] = {
        {"two stages alike", 1, 2, STAGES, {{"a", 10, 9000}, {"b", 10, 9000}}, 0, "12,12", ""},
        {"one of two threads", 1, 2, STAGES, {{"a", 20, 9000}, {"b", 10, 9000}}, 0, "16,8", ""},
        {"the head is the last one's", 1, 2, STAGES, {{"a", 10, 9000}, {"b", 10, 9000}}, 400, "14,10", ""},
        {"the fast one is small", 1, 2, STAGES, {{"a", 20, 1100}, {"b", 10, 9000}}, 0, "10,14", ""},
        {"two hosts too small", 1, 2, STAGES, {{"a", 20, 1100}, {"b", 10, 1100}}, 0, NULL, NULL},
        {"one host has both", 1, 2, STAGES, {{"a", 20, 3000}, {"a", 20, 3000}}, 0, "12,12", ""},
        {"one was not timed", 1, 2, STAGES, {{"a", 20, 9000}, {"b", 0, 9000}}, 0, "12,12", ""},
        {"shards of three to one", 2, 1, SHARDS, {{"a", 15, 9000}, {"b", 5, 9000}}, 0, "", "9,3"},
        {"a small shard", 2, 1, SHARDS, {{"a", 10, 9000}, {"b", 10, 700}}, 0, "", "9,3"},
        {"shards, the same in both stages",
         2,
         2,
         SHARDS,
         {{"a", 10, 9000}, {"b", 5, 9000}, {"c", 10, 9000}, {"d", 5, 9000}},
         0,
         "",
         "8,4"},
        {"a stage is as fast as its slowest shard",
         2,
         2,
         STAGES,
         {{"a", 10, 9000}, {"b", 10, 9000}, {"c", 10, 9000}, {"d", 5, 9000}},
         0,
         "16,8",
         ""},
        {"unless shards are uneven too",
         2,
         2,
         STAGES | SHARDS,
         {{"a", 10, 9000}, {"b", 5, 9000}, {"c", 20, 9000}, {"d", 10, 9000}},
         0,
         "8,16",
         "8,4"},
        {"nothing is wanted", 1, 2, 0, {{"a", 20, 9000}, {"b", 10, 9000}}, 0, "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct workers w;
        struct shares s;
        open_job(&w, rows[i].tp, rows[i].pp, rows[i].machines, rows[i].head_mb);
        workers_set_context(&w, &need);
        bool fits = shares_choose(&s, &w, 0, rows[i].wanted & STAGES, rows[i].wanted & SHARDS);
        if (fits != (rows[i].stages != NULL)) fail_msg("%s: %s", rows[i].why, fits ? "it fits" : "it does not fit");
        if (fits && (strcmp(s.stages, rows[i].stages) || strcmp(s.shards, rows[i].shards)))
            fail_msg("%s: \"%s\", \"%s\"", rows[i].why, s.stages, s.shards);
        workers_free(&w);
    }
}

/* Two groups of two stages, or of two shards: machines in order of peers. */
static void each_group_has_shares_of_its_own(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int tp, pp;
        struct machine machines[4];
        const char *first, *second; /* NULL: none fit */
        const char *says;           /* of shares as they are; NULL: they fit */
    } rows[] = {
        {"fast and slow, slow and fast",
         1,
         2,
         {{"a", 20, 9000}, {"b", 10, 9000}, {"c", 10, 9000}, {"d", 20, 9000}},
         "16,8",
         "8,16",
         NULL},
        {"both groups on two hosts",
         1,
         2,
         {{"a", 20, 9000}, {"b", 10, 9000}, {"a", 20, 9000}, {"b", 10, 9000}},
         "16,8",
         "16,8",
         NULL},
        {"two hosts, one of them small",
         1,
         2,
         {{"a", 20, 2000}, {"b", 10, 9000}, {"a", 20, 2000}, {"b", 10, 9000}},
         "9,15",
         "9,15",
         "--stage-share auto would fit; or "},
        {"one group does not fit",
         1,
         2,
         {{"a", 20, 9000}, {"b", 10, 9000}, {"c", 20, 900}, {"d", 10, 900}},
         "16,8",
         NULL,
         "MiB: use a smaller"},
        {"shards", 2, 1, {{"a", 15, 9000}, {"b", 5, 9000}, {"c", 5, 9000}, {"d", 5, 9000}}, "9,3", "6,6", NULL},
        {"a small host of shards",
         2,
         1,
         {{"a", 10, 9000}, {"b", 10, 700}, {"c", 10, 9000}, {"d", 10, 9000}},
         "9,3",
         "6,6",
         "--shard-share auto would fit; or "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct workers w;
        struct err err = {0};
        open_groups(&w, 2, rows[i].tp, rows[i].pp, rows[i].machines, 0);
        workers_set_context(&w, &need);
        for (int group = 0; group < 2; group++) {
            struct shares s;
            const char *right = group ? rows[i].second : rows[i].first;
            bool fits = shares_choose(&s, &w, group, rows[i].pp > 1, rows[i].tp > 1);
            if (fits != (right != NULL) || (fits && strcmp(rows[i].pp > 1 ? s.stages : s.shards, right)))
                fail_msg("%s: group %d, \"%s\", \"%s\"", rows[i].why, group, s.stages, s.shards);
        }
        int rc = fit_check(&w, &need, &err);
        if (rc != (rows[i].says ? E_LAYOUT : OK) || (rc != OK && !strstr(err.text, rows[i].says)))
            fail_msg("%s: %s", rows[i].why, err.text);
        workers_free(&w);
    }
}

static void what_does_not_fit_is_refused_with_the_shares_that_would(void **state)
{
    (void)state;
    static const struct {
        int tp, pp;
        struct machine machines[2];
        const char *says; /* "": it fits */
    } rows[] = {
        {1, 2, {{"a", 0, 1300}, {"b", 0, 1300}}, ""},
        {1,
         2,
         {{"a", 0, 1000}, {"b", 0, 9000}},
         "host a: 1144 MiB of weights and 11 MiB of KV (1 sequences of 1000) do not fit into 953 MiB: --stage-share "
         "9,15 would fit; or use a smaller --ctx or --parallel, or more hosts"},
        {2,
         1,
         {{"a", 0, 9000}, {"b", 0, 1000}},
         "host b: 1144 MiB of weights and 11 MiB of KV (1 sequences of 1000) do not fit into 953 MiB: --shard-share "
         "8,4 would fit; or use a smaller --ctx or --parallel, or more hosts"},
        {1,
         2,
         {{"a", 0, 1000}, {"b", 0, 1000}},
         "host a: 1144 MiB of weights and 11 MiB of KV (1 sequences of 1000) do not fit into 953 MiB: use a smaller "
         "--ctx or --parallel, or more hosts"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct workers w;
        struct err err = {0};
        open_job(&w, rows[i].tp, rows[i].pp, rows[i].machines, 0);
        assert_int_equal(fit_check(&w, &need, &err), *rows[i].says ? E_LAYOUT : OK);
        assert_string_equal(err.text, rows[i].says);
        workers_free(&w);
    }
}

static void verifiers_with_another_share_say_hello_again(void **state)
{
    (void)state;
    static const struct machine machines[] = {{"a", 20, 9000}, {"b", 10, 9000}};
    struct workers w;
    struct err err = {0};
    open_job(&w, 1, 2, machines, 0);
    struct hello h = w.seen[1].h;
    const struct ready ready = {.epoch = EPOCH};
    workers_set_context(&w, &need);
    workers_expect_again(&w, 0);
    assert_int_equal(w.n_hello, 0);
    assert_int_equal(workers_ready(&w, 1, &ready, &err), E_PEER); /* not yet */
    h.entry_to = 16;
    h.body_bytes = h.weights_bytes = 1600 * MB;
    assert_int_equal(workers_hello(&w, 1, &h, &err), OK);
    assert_int_equal(w.n_hello, 1);
    assert_int_equal(w.seen[1].h.entry_to, 16);
    workers_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_dealt_so_that_all_are_done_together),
        cmocka_unit_test(shares_follow_read_loops_and_memory),
        cmocka_unit_test(each_group_has_shares_of_its_own),
        cmocka_unit_test(what_does_not_fit_is_refused_with_the_shares_that_would),
        cmocka_unit_test(verifiers_with_another_share_say_hello_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
