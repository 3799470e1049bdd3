/* What workers say of themselves before they serve: what cannot be is an error, and so is what does not fit
 * together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/fit.h"
#include "coordinator/workers.h"

/* A little model and two shards of the big one, each on a host of its own: 100 bytes for a position, 1000 of
 * weights. */
enum { DRAFTER = 1, SHARD_1, SHARD_2, N_PEERS, VOCAB_BIG = 70, VOCAB_LITTLE, N_CTX = 8, N_SLOTS = 2 };
enum { WEIGHTS = 1000, KV_POSITION = 100, NEEDED = WEIGHTS + KV_POSITION * N_CTX * N_SLOTS };

static const struct workers_need need = {VOCAB_BIG, VOCAB_LITTLE, N_SLOTS, N_CTX};

static struct hello hello_of(int peer)
{
    static const char *const hosts[] = {"", "a", "b", "c"};
    return (struct hello){.version = WIRE_VERSION,
                          .host = hosts[peer],
                          .peer = peer,
                          .model = 5,
                          .plan = 6,
                          .vocab = peer == DRAFTER ? VOCAB_LITTLE : VOCAB_BIG,
                          .arithmetic = 1,
                          .selftest = 2,
                          .path = peer == DRAFTER ? "little.gguf" : "big.gguf",
                          .weights_bytes = WEIGHTS,
                          .body_bytes = peer == DRAFTER ? 200 : 400,
                          .head_bytes = 100,
                          .kv_position_bytes = KV_POSITION,
                          .memory_bytes = NEEDED,
                          .n_vocab = 50,
                          .threads = (uint32_t)peer,
                          .cpu = "avx2"};
}

static void open_job(struct workers *w, enum drafter drafter)
{
    struct layout l;
    struct err err;
    assert_int_equal(layout_make(&l, 1, 1, 1, 2, 1, drafter, &err), OK);
    assert_int_equal(workers_init(w, &l, NULL, &err), OK);
    assert_int_equal(w->n, drafter == DRAFTER_LITTLE ? 3 : 2);
}

static void say_hello(struct workers *w, const struct hello *h)
{
    struct err err;
    if (workers_hello(w, h->peer, h, &err) != OK) fail_msg("%s", err.text);
}

/* Everybody has said Hello; of `peer` another one, if it is given. */
static void open_with(struct workers *w, int peer, const struct hello *other)
{
    open_job(w, DRAFTER_LITTLE);
    for (int p = DRAFTER; p < N_PEERS; p++) {
        struct hello h = hello_of(p);
        say_hello(w, p == peer ? other : &h);
    }
}

static void expect_error(int rc, const struct err *err, int code, const char *text)
{
    if (rc != code || !strstr(err->text, text)) fail_msg("%d \"%s\", not \"%s\"", rc, err->text, text);
}

/* ---- Hello, Loading, Ready: each in its time ---- */

static void a_worker_says_hello_once_in_its_own_name_and_in_this_version(void **state)
{
    (void)state;
    struct workers w;
    struct err err = {0};
    struct hello h = hello_of(SHARD_1), older = h;
    open_job(&w, DRAFTER_LITTLE);
    older.version = WIRE_VERSION + 1;
    expect_error(workers_hello(&w, SHARD_1, &older, &err), &err, E_PEER, "host b has version");
    if (!strstr(err.text, ". Do: scp /") || !strstr(err.text, "/test_workers b:/")) fail_msg("%s", err.text);
    expect_error(workers_hello(&w, SHARD_2, &h, &err), &err, E_PEER, "peer 3 says Hello as peer 2");
    assert_int_equal(w.n_hello, 0);
    say_hello(&w, &h);
    expect_error(workers_hello(&w, SHARD_1, &h, &err), &err, E_PEER, "peer 2 says Hello twice");
    assert_int_equal(w.n_hello, 1);
    workers_free(&w);
    workers_free(&w); /* zeroed is fine */
}

static void a_worker_loads_what_it_has_said_and_is_ready_once(void **state)
{
    (void)state;
    const struct ready ready = {.epoch = EPOCH}, other = {.epoch = EPOCH + 1};
    struct workers w;
    struct err err = {0};
    open_job(&w, DRAFTER_LITTLE);
    assert_int_equal(workers_loading(&w, SHARD_1, 0, &err), OK);                                    /* it has begun */
    expect_error(workers_loading(&w, SHARD_1, 1, &err), &err, E_PEER, "peer 2 has loaded 1 bytes"); /* no Hello yet */
    workers_free(&w);
    open_with(&w, 0, NULL);
    expect_error(workers_ready(&w, SHARD_1, &ready, &err), &err, E_PEER, "peer 2 is ready for epoch 1 and was not");
    assert_int_equal(fit_check(&w, &need, &err), OK);
    expect_error(workers_ready(&w, SHARD_1, &other, &err), &err, E_PEER, "peer 2 is ready for epoch 2 and was not");
    assert_int_equal(workers_loading(&w, DRAFTER, 7, &err), OK);
    assert_int_equal(workers_loading(&w, SHARD_1, 500, &err), OK);
    assert_int_equal(workers_loading(&w, SHARD_1, WEIGHTS, &err), OK);
    assert_int_equal(workers_loaded_bytes(&w), WEIGHTS + 7);
    expect_error(workers_loading(&w, SHARD_1, WEIGHTS + 1, &err), &err, E_PEER, "peer 2 has loaded 1001 bytes");
    assert_int_equal(w.n_ready, 0);
    assert_int_equal(workers_ready(&w, SHARD_1, &ready, &err), OK);
    assert_int_equal(w.n_ready, 1);
    expect_error(workers_ready(&w, SHARD_1, &ready, &err), &err, E_PEER, "peer 2 is ready for epoch 1 twice");
    expect_error(workers_loading(&w, SHARD_1, 7, &err), &err, E_PEER, "peer 2 has loaded 7 bytes");
    assert_int_equal(w.n_ready, 1);
    workers_free(&w);
}

static void what_a_worker_says_outlives_its_message(void **state)
{
    (void)state;
    char device[] = "a card";
    struct workers w;
    struct hello h = hello_of(DRAFTER);
    h.device = device;
    open_with(&w, DRAFTER, &h);
    memset(device, 0, sizeof device);
    assert_string_equal(workers_drafter(&w)->device, "a card");
    workers_free(&w);
}

/* ---- whether they fit ---- */

static void workers_that_do_not_fit_are_named_with_what_they_differ_in(void **state)
{
    (void)state;
    static const struct {
        int peer;
        size_t at; /* of a number in its Hello that is another than it should be */
        int code;
        const char *text;
    } rows[] = {
        {SHARD_2, offsetof(struct hello, model), E_MODEL,
         "big.gguf on host b and big.gguf on host c are different models"},
        {SHARD_2, offsetof(struct hello, plan), E_MODEL, "hosts b and c run different plans of the model"},
        {SHARD_2, offsetof(struct hello, arithmetic), E_LAYOUT, "hosts b (avx2) and c (avx2) compute different bits"},
        {SHARD_2, offsetof(struct hello, selftest), E_LAYOUT, "hosts b (avx2) and c (avx2) compute different bits"},
        {SHARD_1, offsetof(struct hello, vocab), E_MODEL,
         "host b reads another vocabulary from big.gguf than the coordinator"},
        {DRAFTER, offsetof(struct hello, vocab), E_MODEL,
         "host a reads another vocabulary from little.gguf than the coordinator"},
        {DRAFTER, offsetof(struct hello, weights_bytes), E_LAYOUT,
         "host a: 0 MiB of weights and 0 MiB of KV (2 sequences of 8)"},
        {SHARD_2, offsetof(struct hello, kv_position_bytes), E_LAYOUT,
         "host c: 0 MiB of weights and 0 MiB of KV (2 sequences of 8)"},
        {DRAFTER, offsetof(struct hello, model), OK, ""}, /* another model than the shards', so another plan too */
        {DRAFTER, offsetof(struct hello, plan), OK, ""},
        {DRAFTER, offsetof(struct hello, selftest), OK, ""}, /* what it drafts changes no text */
        {SHARD_2, offsetof(struct hello, memory_bytes), OK, ""},
        {SHARD_2, offsetof(struct hello, threads), OK, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct workers w;
        struct err err = {0};
        struct hello other = hello_of(rows[i].peer);
        ++*((uint8_t *)&other + rows[i].at);
        open_with(&w, rows[i].peer, &other);
        expect_error(fit_check(&w, &need, &err), &err, rows[i].code, rows[i].text);
        workers_free(&w);
    }
}

/* Two groups of one, each on a host of its own, or on one: then ranks tell them apart. */
static void a_group_that_differs_from_the_first_is_refused_with_both_places(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* of a number in the second leader's Hello */
        const char *host;
        int code;
        const char *text;
    } rows[] = {
        {offsetof(struct hello, model), "c", E_MODEL,
         "big.gguf on host b, rank 2, group 1 and big.gguf on host c, rank 3, group 2 are different models"},
        {offsetof(struct hello, model), "b", E_MODEL,
         "big.gguf on host b, rank 2, group 1 and big.gguf on host b, rank 3, group 2 are different models"},
        {offsetof(struct hello, selftest), "c", E_LAYOUT,
         "hosts b, rank 2, group 1 (avx2) and c, rank 3, group 2 (avx2) compute different bits"},
        {offsetof(struct hello, threads), "c", OK, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct workers w;
        struct layout l;
        struct err err = {0};
        assert_int_equal(layout_make(&l, 4, 1, 2, 1, 1, DRAFTER_LITTLE, &err), OK);
        assert_int_equal(workers_init(&w, &l, NULL, &err), OK);
        for (int p = DRAFTER; p < N_PEERS; p++) {
            struct hello h = hello_of(p);
            h.memory_bytes *= 10;
            if (p == SHARD_2) h.host = rows[i].host;
            if (p == SHARD_2) ++*((uint8_t *)&h + rows[i].at);
            say_hello(&w, &h);
        }
        expect_error(fit_check(&w, &need, &err), &err, rows[i].code, rows[i].text);
        assert_int_equal(workers_n_slots(&w, SHARD_2), N_SLOTS);
        assert_int_equal(workers_n_slots(&w, DRAFTER), 2 * N_SLOTS); /* it drafts for both groups */
        assert_string_equal(workers_name(&w, SHARD_1).text, "the verifier on host b (rank 2, group 1)");
        workers_free(&w);
    }
}

static void a_drafter_needs_memory_for_the_sequences_of_all_groups(void **state)
{
    (void)state;
    for (int less = 0; less <= 1; less++) {
        struct workers w;
        struct layout l;
        struct err err = {0};
        assert_int_equal(layout_make(&l, 4, 1, 2, 1, 1, DRAFTER_LITTLE, &err), OK);
        assert_int_equal(workers_init(&w, &l, NULL, &err), OK);
        for (int p = DRAFTER; p < N_PEERS; p++) {
            struct hello h = hello_of(p);
            if (p == DRAFTER) h.memory_bytes += (uint64_t)(KV_POSITION * N_CTX * N_SLOTS - less);
            say_hello(&w, &h);
        }
        expect_error(fit_check(&w, &need, &err), &err, less ? E_LAYOUT : OK,
                     less ? "host a: 0 MiB of weights and 0 MiB of KV (4 sequences of 8) do not fit" : "");
        assert_int_equal(workers_kv_bytes(&w), 4 * KV_POSITION * N_CTX * N_SLOTS); /* 2 of them the drafter's */
        workers_free(&w);
    }
}

static void there_is_a_drafter_where_a_little_model_drafts(void **state)
{
    (void)state;
    for (enum drafter drafter = DRAFTER_NONE; drafter <= DRAFTER_SUFFIX; drafter++) {
        struct workers w;
        struct err err = {0};
        open_job(&w, drafter);
        for (int p = 1; p < w.layout.n_peers; p++) {
            struct hello h = hello_of(p + N_PEERS - w.layout.n_peers);
            h.peer = p;
            say_hello(&w, &h);
        }
        if (fit_check(&w, &need, &err) != OK) fail_msg("drafter %d: %s", (int)drafter, err.text);
        assert_int_equal(workers_drafter(&w)->weights_bytes, drafter == DRAFTER_LITTLE ? WEIGHTS : 0);
        workers_free(&w);
    }
}

/* ---- devices ---- */

static const char card[] = "cuda: A card at 1b", other_card[] = "cuda: A card at 1c";

/* Both shards on host b, by devices of arithmetic 2, each with the memory that it needs there; the drafter by the CPU.
 */
static struct hello hello_by_device(int peer, const char *device)
{
    struct hello h = hello_of(peer);
    if (peer == DRAFTER) return h;
    h.host = "b";
    h.memory_bytes = 0; /* the host's is of no matter */
    h.arithmetic = 2;
    h.selftest = 7;
    h.device = device;
    h.device_bytes = NEEDED;
    return h;
}

static void verifiers_by_devices_are_alike_and_fit_into_the_memory_of_these(void **state)
{
    (void)state;
    const struct hello alike = hello_by_device(SHARD_2, other_card);
    struct hello other_bits = alike, other_hash = alike, same_card = alike, by_cpu = alike, small = alike,
                 together = alike;
    other_bits.arithmetic = 1;
    other_hash.selftest = 8;
    same_card.device = together.device = card;
    together.device_bytes = 2 * NEEDED;
    by_cpu.device = "";
    by_cpu.device_bytes = 0;
    by_cpu.memory_bytes = NEEDED;
    small.device_bytes--;
    const struct {
        const struct hello *second;
        uint64_t first_bytes;
        int code;
        const char *text;
    } rows[] = {
        {&alike, NEEDED, OK, ""},
        {&other_bits, NEEDED, E_LAYOUT,
         "hosts b (cuda: A card at 1b) and b (cuda: A card at 1c) compute different bits"},
        {&other_hash, NEEDED, E_LAYOUT,
         "hosts b (cuda: A card at 1b) and b (cuda: A card at 1c) compute different bits"},
        {&by_cpu, NEEDED, E_LAYOUT,
         "hosts b (cuda: A card at 1b) and b (avx2) exchange rows in different ways: use --device alike"},
        {&small, NEEDED, E_LAYOUT, "host b, device cuda: A card at 1c: 0 MiB of weights and 0 MiB of KV"},
        {&same_card, NEEDED, E_LAYOUT, "host b, device cuda: A card at 1b: 0 MiB of weights"},
        {&together, 2 * NEEDED, OK, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct workers w;
        struct err err = {0};
        struct hello drafts = hello_by_device(DRAFTER, ""), first = hello_by_device(SHARD_1, card);
        first.device_bytes = rows[i].first_bytes;
        open_job(&w, DRAFTER_LITTLE);
        say_hello(&w, &drafts);
        say_hello(&w, &first);
        say_hello(&w, rows[i].second);
        expect_error(fit_check(&w, &need, &err), &err, rows[i].code, rows[i].text);
        workers_free(&w);
    }
}

static void what_a_person_should_know_of_devices_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *device; /* of the second shard */
        bool chosen, differs;
        const char *lines[3];
    } rows[] = {
        {other_card, false, false, {NULL}},
        {other_card, true, false, {"--device auto: the big model computes by cuda: A card at 1b"}},
        {other_card,
         false,
         true,
         {"the drafter on host a (avx2) and the verifier on host b (cuda: A card at 1b) differ in arithmetic: the text "
          "is the verifier's own"}},
        {card,
         true,
         true,
         {"--device auto", "differ in arithmetic", "several verifiers share the device cuda: A card"}},
        {card, false, false, {"host b: several verifiers share the device cuda: A card at 1b"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct workers w;
        char line[800];
        int n = 0;
        open_job(&w, DRAFTER_LITTLE);
        for (int p = DRAFTER; p < N_PEERS; p++) {
            struct hello h = hello_by_device(p, p == SHARD_2 ? rows[i].device : p == SHARD_1 ? card : "");
            if (p == DRAFTER && !rows[i].differs) h.arithmetic = 2;
            say_hello(&w, &h);
        }
        for (; workers_device_note(&w, n, rows[i].chosen, line, sizeof line); n++)
            if (n > 2 || !rows[i].lines[n] || !strstr(line, rows[i].lines[n])) fail_msg("row %zu: %s", i, line);
        if (n < 3 && rows[i].lines[n]) fail_msg("row %zu lacks %s", i, rows[i].lines[n]);
        workers_free(&w);
    }
}

/* Each host has what its workers take together, or a byte less. */
static void the_workers_of_a_host_share_its_memory(void **state)
{
    (void)state;
    static const struct {
        const char *hosts[N_PEERS];
        int n_on_fullest;
    } rows[] = {{{"", "a", "b", "c"}, 1}, {{"", "a", "a", "b"}, 2}, {{"", "a", "b", "a"}, 2}, {{"", "a", "a", "a"}, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int less = 0; less <= 1; less++) {
            struct workers w;
            struct err err = {0};
            open_job(&w, DRAFTER_LITTLE);
            for (int p = DRAFTER; p < N_PEERS; p++) {
                struct hello h = hello_of(p);
                h.host = rows[i].hosts[p];
                h.memory_bytes = (uint64_t)(NEEDED * rows[i].n_on_fullest - less);
                say_hello(&w, &h);
            }
            int rc = fit_check(&w, &need, &err);
            if (rc != (less ? E_LAYOUT : OK)) fail_msg("row %zu, %d bytes less: %d", i, less, rc);
            workers_free(&w);
        }
    }
}

static void what_does_not_fit_is_said_in_mebibytes(void **state)
{
    (void)state;
    struct workers w;
    struct err err = {0};
    struct hello h = hello_of(SHARD_1);
    h.weights_bytes = 5 << 20;
    h.kv_position_bytes = 1 << 20;
    h.memory_bytes = 20 << 20;
    open_with(&w, SHARD_1, &h);
    expect_error(fit_check(&w, &need, &err), &err, E_LAYOUT,
                 "host b: 5 MiB of weights and 16 MiB of KV (2 sequences of 8) do not fit into 20 MiB: use a smaller "
                 "--ctx or --parallel, or more hosts");
    workers_free(&w);
}

static void the_context_is_the_model_s_own_at_most(void **state)
{
    (void)state;
    static const struct {
        uint32_t of_model; /* 0: it does not say */
        int n_ctx;
    } rows[] = {{0, N_CTX}, {N_CTX - 1, N_CTX - 1}, {N_CTX, N_CTX}, {N_CTX + 1, N_CTX}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct workers w;
        struct err err;
        struct hello h = hello_of(SHARD_1); /* the leader's counts */
        h.n_ctx_max = rows[i].of_model;
        open_with(&w, SHARD_1, &h);
        assert_int_equal(fit_check(&w, &need, &err), OK);
        assert_int_equal(w.n_ctx, rows[i].n_ctx);
        assert_int_equal(w.n_slots, N_SLOTS);
        assert_int_equal(workers_kv_bytes(&w), 3 * KV_POSITION * N_SLOTS * rows[i].n_ctx);
        workers_free(&w);
    }
}

/* ---- facts ---- */

/* A drafted token streams 200 bytes and a head of 100, of which the proposed ids are half; big's shards 500 each, on
 * two hosts at once or on one after the other. */
static void what_a_draft_is_expected_to_cost_follows_from_bytes_and_hosts(void **state)
{
    (void)state;
    struct workers w;
    struct hello h = hello_of(SHARD_2);
    open_with(&w, SHARD_2, &h);
    assert_int_equal(workers_weights_bytes(&w), 3 * WEIGHTS);
    assert_int_equal(workers_leader(&w, 0)->peer, SHARD_1);
    assert_int_equal(workers_drafter(&w)->peer, DRAFTER);
    struct cost_prior apart = workers_cost_prior(&w, 25), all = workers_cost_prior(&w, 50);
    workers_free(&w);
    h.host = "b";
    open_with(&w, SHARD_2, &h);
    struct cost_prior together = workers_cost_prior(&w, 25);
    workers_free(&w);
    assert_float_equal(apart.draft, 250. / 500, 1e-9);
    assert_float_equal(apart.read, 200. / 400, 1e-9);
    assert_float_equal(all.draft, 300. / 500, 1e-9);
    assert_float_equal(together.draft, 250. / 1000, 1e-9);
    assert_float_equal(together.read, 200. / 800, 1e-9);
}

/* Whatever bytes a worker puts into its names. */
static void a_list_has_a_line_for_each_worker(void **state)
{
    (void)state;
    char *text;
    size_t n;
    FILE *to = open_memstream(&text, &n);
    struct workers w;
    struct err err;
    struct hello h = hello_of(SHARD_1);
    h.host = "b\n\x1b[31m";
    h.weights_bytes = 70 << 20;
    h.body_bytes = 60 << 20;
    h.head_bytes = 5 << 20;
    h.kv_position_bytes = 1 << 20;
    h.memory_bytes = 100 << 20;
    h.read_bytes_per_s = 12340000000;
    h.entry_from = 3;
    h.entry_to = 16;
    h.n_heads = 5;
    h.gather_bytes = 25600;
    h.gather_float_bytes = 51712;
    open_with(&w, SHARD_1, &h);
    assert_int_equal(fit_check(&w, &need, &err), OK);
    workers_list(&w, to);
    fclose(to);
    assert_string_equal(text,
                        "drafter on host a: 1 thread, avx2; rank 0, 0 MiB of weights, 0 MiB of KV\n"
                        "verifier on host b\\n\\x1b[31m: 2 threads, avx2; rank 0, blocks 3-15, 5 heads, 70 MiB of "
                        "weights, 16 MiB of KV, gathers 25.0 KiB a row (50.5 as floats), reads 65.0 MiB a pass at "
                        "12.3 GB/s\n"
                        "verifier on host c: 3 threads, avx2; rank 0, 0 MiB of weights, 0 MiB of KV\n");
    free(text);
    workers_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_says_hello_once_in_its_own_name_and_in_this_version),
        cmocka_unit_test(a_worker_loads_what_it_has_said_and_is_ready_once),
        cmocka_unit_test(what_a_worker_says_outlives_its_message),
        cmocka_unit_test(workers_that_do_not_fit_are_named_with_what_they_differ_in),
        cmocka_unit_test(a_group_that_differs_from_the_first_is_refused_with_both_places),
        cmocka_unit_test(a_drafter_needs_memory_for_the_sequences_of_all_groups),
        cmocka_unit_test(there_is_a_drafter_where_a_little_model_drafts),
        cmocka_unit_test(verifiers_by_devices_are_alike_and_fit_into_the_memory_of_these),
        cmocka_unit_test(what_a_person_should_know_of_devices_is_told),
        cmocka_unit_test(the_workers_of_a_host_share_its_memory),
        cmocka_unit_test(what_does_not_fit_is_said_in_mebibytes),
        cmocka_unit_test(the_context_is_the_model_s_own_at_most),
        cmocka_unit_test(what_a_draft_is_expected_to_cost_follows_from_bytes_and_hosts),
        cmocka_unit_test(a_list_has_a_line_for_each_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
