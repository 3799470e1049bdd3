/* Who is lost, as a function of what came when: rows of times on a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/heartbeat.h"
#include "proto/deadline.h"

/* Over ranks: the coordinator, a drafter, two shards. */
enum { DRAFTER = 1, SHARD_1, SHARD_2, N_PEERS };
/* What a look finds, as one number: a worker, or one of these. */
enum { NOBODY_LOST = -1, ALL_STALLED = PEER_COORDINATOR, LINK_1_2 = 12, LINK_2_1 = 21 };

static const uint64_t ms_ns = 1000000;

struct played {
    struct heartbeat h;
    uint64_t now_ns;
};

static int look(struct played *p, bool working)
{
    enum heartbeat_awaits awaits[GROUPS_MOST];
    for (int i = 0; i < GROUPS_MOST; i++) awaits[i] = working ? AWAITS_VERDICTS : AWAITS_NOTHING;
    struct heartbeat_found found = heartbeat_look(&p->h, awaits, p->now_ns);
    switch (found.loss) {
    case LOST_NOTHING: return NOBODY_LOST;
    case LOST_MESSAGE: return ALL_STALLED;
    case LOST_LINK: return 10 * (found.peer - DRAFTER) + found.other - DRAFTER;
    default: return found.peer;
    }
}

static void open_played(struct played *p, int n_ranks)
{
    struct layout l;
    struct err err;
    assert_int_equal(layout_make(&l, n_ranks, 1, 1, 2, 1, DRAFTER_LITTLE, &err), OK);
    assert_int_equal(heartbeat_init(&p->h, &l, &err), OK);
    p->now_ns = 7000 * ms_ns;
    for (int peer = DRAFTER; peer < N_PEERS; peer++) heartbeat_begin(&p->h, peer, p->now_ns);
    assert_int_equal(look(p, false), NOBODY_LOST);
}

static void hear(struct played *p, int peer, const struct pong *pong)
{
    struct message m = {.tag = TAG_PONG, .pong = *pong};
    heartbeat_heard(&p->h, peer, &m, p->now_ns);
}

/* Time goes on, with looks as the loop makes them; all but `silent` answer. Returns the first loss. */
static int play(struct played *p, int n_ms, int silent, const struct pong *pong, bool working)
{
    for (int t = 0; t < n_ms; t += LOOK_MS) {
        p->now_ns += LOOK_MS * ms_ns;
        struct pong answer = *pong;
        answer.sent_ns = p->now_ns - 3 * ms_ns;
        for (int peer = DRAFTER; peer < N_PEERS; peer++)
            if (peer != silent) hear(p, peer, &answer);
        int lost = look(p, working);
        if (lost != NOBODY_LOST) return lost;
    }
    return NOBODY_LOST;
}

static void silence_is_a_loss_after_two_seconds_or_ten_blocks(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int n_ranks, silent;
        uint32_t block_us;
        int alive_ms, dead_ms; /* it is alive after the first, and lost after the second */
    } rows[] = {
        {"a shard", 4, SHARD_2, 0, 2000, 2200},
        {"the drafter", 4, DRAFTER, 1000, 2000, 2200},
        {"short blocks", 4, SHARD_1, 200000, 2000, 2200},
        {"ten blocks of .5 s", 4, SHARD_1, 500000, 5000, 5200},
        {"a block that cannot be", 4, SHARD_1, UINT32_MAX, 60000, 60200},
        {"a thread of this process", 1, SHARD_2, 0, 600000, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct played p;
        const struct pong pong = {.busy = true, .block_us = rows[i].block_us};
        open_played(&p, rows[i].n_ranks);
        assert_int_equal(play(&p, 1000, NOBODY_LOST, &pong, true), NOBODY_LOST);
        if (play(&p, rows[i].alive_ms, rows[i].silent, &pong, true) != NOBODY_LOST)
            fail_msg("%s is lost too early", rows[i].what);
        if (rows[i].dead_ms &&
            play(&p, rows[i].dead_ms - rows[i].alive_ms, rows[i].silent, &pong, true) != rows[i].silent)
            fail_msg("%s is not lost", rows[i].what);
        heartbeat_free(&p.h);
    }
}

static void any_message_is_a_sign_of_life_and_one_that_is_held_too(void **state)
{
    (void)state;
    struct played p;
    struct message verdict = {.tag = TAG_VERDICT};
    const struct pong busy = {.busy = true};
    open_played(&p, 4);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(play(&p, 1800, SHARD_1, &busy, true), NOBODY_LOST);
        heartbeat_heard(&p.h, SHARD_1, &verdict, p.now_ns);
    }
    heartbeat_due(&p.h, SHARD_1, p.now_ns + 5000 * ms_ns); /* a slow network has it */
    assert_int_equal(play(&p, 7000, SHARD_1, &busy, true), NOBODY_LOST);
    assert_int_equal(play(&p, 200, SHARD_1, &busy, true), SHARD_1);
    heartbeat_free(&p.h);
}

static void a_stopped_coordinator_restarts_all_deadlines(void **state)
{
    (void)state;
    struct played p;
    const struct pong busy = {.busy = true};
    open_played(&p, 4);
    assert_int_equal(play(&p, 1800, SHARD_1, &busy, true), NOBODY_LOST);
    p.now_ns += 3600 * 1000 * ms_ns;
    assert_int_equal(play(&p, 2000, SHARD_1, &busy, true), NOBODY_LOST);
    assert_int_equal(play(&p, 600, SHARD_1, &busy, true), SHARD_1);
    heartbeat_free(&p.h);
}

static void a_worker_that_is_not_ready_or_lost_already_is_not_missed(void **state)
{
    (void)state;
    struct played p;
    const struct pong busy = {.busy = true};
    open_played(&p, 4);
    p.h.workers[SHARD_1].begun = false;
    assert_int_equal(play(&p, 9000, SHARD_1, &busy, true), NOBODY_LOST);
    assert_int_equal(play(&p, 2200, DRAFTER, &busy, true), DRAFTER);
    assert_false(heartbeat_is_lost(&p.h, DRAFTER));
    heartbeat_lose(&p.h, DRAFTER);
    assert_true(heartbeat_is_lost(&p.h, DRAFTER));
    assert_int_equal(play(&p, 9000, DRAFTER, &busy, true), NOBODY_LOST);
    assert_false(heartbeat_is_lost(&p.h, -3) || heartbeat_is_lost(&p.h, PEER_COORDINATOR) ||
                 heartbeat_is_lost(&p.h, N_PEERS));
    heartbeat_free(&p.h);
}

/* Each row: what comes from shards 1 and 2 while they start with a limit of 5 s, a letter every second: b it has begun,
 * h Hello and its Welcome, l Loading, r Ready, p a Pong, s the coordinator was stopped for a minute. */
static void a_worker_that_starts_is_lost_after_the_limit_without_a_sign_of_life(void **state)
{
    (void)state;
    static const struct {
        const char *what, *first, *second;
        int expect, after_s;
    } rows[] = {
        {"none has begun: the first rank", "       ", "       ", SHARD_1, 6},
        {"one keeps the other waiting", "b      ", "       ", SHARD_2, 6},
        {"so does one later", "b h    ", "b       ", SHARD_2, 6},
        {"a long load", "bh l l l l l l l r pppppppp", "bh  l    l    l  r pppppppp", NOBODY_LOST, 0},
        {"that stops", "bh l l l l l l l", "bh l l         ", SHARD_2, 11},
        {"or is Ready, and then stops", "bhlr   ", "bhlrppppp", SHARD_1, 6},
        {"a minute that is nobody's", "b   sh l    r", "b   s  h lr", NOBODY_LOST, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct played p = {.now_ns = 7000 * ms_ns};
        struct layout l;
        int lost = NOBODY_LOST, s = 0;
        assert_int_equal(layout_make(&l, 3, 1, 1, 2, 1, DRAFTER_NONE, NULL), OK);
        assert_int_equal(heartbeat_init(&p.h, &l, NULL), OK);
        for (int peer = 1; peer <= 2; peer++) heartbeat_await(&p.h, peer, 5000 * ms_ns, p.now_ns);
        for (; lost == NOBODY_LOST && rows[i].first[s] && rows[i].second[s]; s++) {
            for (int k = 0; k < 2; k++) {
                int peer = 1 + k, c = (k ? rows[i].second : rows[i].first)[s];
                if (c == 's' && !k) p.now_ns += 60000 * ms_ns;
                if (c == 'b' || c == 'l') heartbeat_heard(&p.h, peer, &(struct message){.tag = TAG_LOADING}, p.now_ns);
                if (c == 'h') heartbeat_heard(&p.h, peer, &(struct message){.tag = TAG_HELLO}, p.now_ns);
                if (c == 'h') heartbeat_await(&p.h, peer, 5000 * ms_ns, p.now_ns);
                if (c == 'r') heartbeat_begin(&p.h, peer, p.now_ns);
                if (c == 'p') hear(&p, peer, &(struct pong){.sent_ns = p.now_ns});
            }
            for (int t = 0; t < 1000 && lost == NOBODY_LOST; t += LOOK_MS) {
                p.now_ns += LOOK_MS * ms_ns;
                lost = look(&p, false);
            }
        }
        int expect = rows[i].expect == NOBODY_LOST ? NOBODY_LOST : rows[i].expect - DRAFTER;
        if (lost != expect || (rows[i].after_s && s != rows[i].after_s))
            fail_msg("%s: %d after %d s", rows[i].what, lost, s);
        heartbeat_free(&p.h);
    }
    struct played waits; /* for Welcome, since others start */
    open_played(&waits, 4);
    waits.h.workers[SHARD_1].begun = false;
    heartbeat_await(&waits.h, SHARD_1, 5000 * ms_ns, waits.now_ns);
    heartbeat_heard(&waits.h, SHARD_1, &(struct message){.tag = TAG_HELLO}, waits.now_ns);
    assert_int_equal(play(&waits, 60000, SHARD_1, &(struct pong){.busy = true}, false), NOBODY_LOST);
    heartbeat_free(&waits.h);
}

/* All are alive, all say that they have nothing to do, and nothing moves. */
static void nobody_works_on_what_is_unfinished(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        bool working, busy;
        int n_ms, expect;
    } rows[] = {
        {"not yet", true, false, 10000, NOBODY_LOST},
        {"a lost message", true, false, 10400, ALL_STALLED},
        {"nothing to do", false, false, 600000, NOBODY_LOST},
        {"a long pass", true, true, 600000, NOBODY_LOST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct played p;
        const struct pong pong = {.busy = rows[i].busy};
        open_played(&p, 4);
        heartbeat_sent(&p.h, SHARD_1, p.now_ns);
        int lost = play(&p, rows[i].n_ms, NOBODY_LOST, &pong, rows[i].working);
        if (lost != rows[i].expect) fail_msg("%s: %d", rows[i].what, lost);
        heartbeat_free(&p.h);
    }
    struct played after; /* of a pass that was long they are idle only now */
    const struct pong busy = {.busy = true}, done = {.busy = false};
    open_played(&after, 4);
    assert_int_equal(play(&after, 30000, NOBODY_LOST, &busy, true), NOBODY_LOST);
    assert_int_equal(play(&after, 9000, NOBODY_LOST, &done, true), NOBODY_LOST);
    assert_int_equal(play(&after, 1400, NOBODY_LOST, &done, true), ALL_STALLED);
    heartbeat_free(&after.h);
    struct played p; /* a Pong from before the last message says nothing of what that began */
    open_played(&p, 4);
    const struct pong idle = {.busy = false};
    assert_int_equal(play(&p, 9000, NOBODY_LOST, &idle, true), NOBODY_LOST);
    heartbeat_sent(&p.h, SHARD_1, p.now_ns);
    assert_int_equal(play(&p, 9000, NOBODY_LOST, &idle, true), NOBODY_LOST);
    heartbeat_free(&p.h);
}

/* Two groups of two shards and a drafter for both; each row is how busy they are, and what texts wait for. */
static void a_group_stalls_whatever_the_others_do(void **state)
{
    (void)state;
    enum { LITTLE = 1, A_1, A_2, B_1, B_2, N };
    static const struct {
        const char *what, *busy; /* of each of them, in order: b busy, i idle, x lost */
        enum heartbeat_awaits awaits[2];
        int n_passes[2]; /* of A's shards; B's have as many as those */
        int moves;       /* messages go to this peer all the time; 0: none do */
        int expect;
    } rows[] = {
        {"both work", "ibbbb", {AWAITS_VERDICTS, AWAITS_VERDICTS}, {3, 3}, 0, LOST_NOTHING},
        {"A alone", "iiiii", {AWAITS_VERDICTS, AWAITS_NOTHING}, {3, 3}, 0, A_1},
        {"A, while B works", "iiibb", {AWAITS_VERDICTS, AWAITS_VERDICTS}, {3, 3}, B_1, A_1},
        {"A's second shard is behind", "iiibb", {AWAITS_VERDICTS, AWAITS_VERDICTS}, {3, 2}, B_1, A_2},
        {"B, while A works", "ibbii", {AWAITS_VERDICTS, AWAITS_VERDICTS}, {3, 2}, A_1, B_2},
        {"B has no text", "iiiii", {AWAITS_NOTHING, AWAITS_NOTHING}, {3, 3}, 0, LOST_NOTHING},
        {"A gets messages", "iiiii", {AWAITS_VERDICTS, AWAITS_NOTHING}, {3, 3}, A_1, LOST_NOTHING},
        {"one of A's is busy", "iibii", {AWAITS_VERDICTS, AWAITS_NOTHING}, {3, 3}, 0, LOST_NOTHING},
        {"A waits for verdicts, little works for B", "biiii", {AWAITS_VERDICTS, AWAITS_DRAFTS}, {3, 3}, LITTLE, A_1},
        {"both wait for little, which works", "biiii", {AWAITS_DRAFTS, AWAITS_DRAFTS}, {3, 3}, 0, LOST_NOTHING},
        {"or is asked", "iiiii", {AWAITS_DRAFTS, AWAITS_DRAFTS}, {3, 3}, LITTLE, LOST_NOTHING},
        {"or rests", "iiiii", {AWAITS_NOTHING, AWAITS_DRAFTS}, {3, 3}, 0, B_1},
        {"or is lost", "xiiii", {AWAITS_DRAFTS, AWAITS_NOTHING}, {3, 3}, 0, A_1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct played p = {.now_ns = 7000 * ms_ns};
        struct layout l;
        struct heartbeat_found found = {LOST_NOTHING, 0, 0};
        assert_int_equal(layout_make(&l, N, 1, 2, 2, 1, DRAFTER_LITTLE, NULL), OK);
        assert_int_equal(heartbeat_init(&p.h, &l, NULL), OK);
        for (int peer = LITTLE; peer < N; peer++) heartbeat_begin(&p.h, peer, p.now_ns);
        if (rows[i].busy[0] == 'x') heartbeat_lose(&p.h, LITTLE);
        for (int t = 0; t < 12000 && found.loss == LOST_NOTHING; t += LOOK_MS) {
            p.now_ns += LOOK_MS * ms_ns;
            for (int peer = LITTLE; peer < N; peer++)
                hear(&p, peer,
                     &(struct pong){.sent_ns = p.now_ns - ms_ns,
                                    .busy = rows[i].busy[peer - LITTLE] == 'b',
                                    .n_passes = (uint32_t)rows[i].n_passes[peer == A_2 || peer == B_2]});
            if (rows[i].moves) heartbeat_sent(&p.h, rows[i].moves, p.now_ns);
            found = heartbeat_look(&p.h, rows[i].awaits, p.now_ns);
            if (found.loss != LOST_NOTHING && t < STALL_S * 1000) fail_msg("%s: after %d ms", rows[i].what, t);
        }
        if (found.loss != (rows[i].expect ? LOST_MESSAGE : LOST_NOTHING) || found.peer != rows[i].expect)
            fail_msg("%s: %d, peer %d", rows[i].what, (int)found.loss, found.peer);
        heartbeat_free(&p.h);
    }
}

/* Shard 1 says that it misses shard 2, which answers the coordinator. */
static void a_link_between_two_that_both_answer_is_lost_as_one_of_them_says(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int misses, silent, n_ms, expect; /* n_ms: since both were ready */
    } rows[] = {
        {"the other shard", SHARD_2, NOBODY_LOST, 2400, LINK_1_2},
        {"one that was not ready for long", SHARD_2, NOBODY_LOST, 1800, NOBODY_LOST},
        {"nobody", PEER_COORDINATOR, NOBODY_LOST, 60000, NOBODY_LOST},
        {"itself", SHARD_1, NOBODY_LOST, 60000, NOBODY_LOST},
        {"one of another group", DRAFTER, NOBODY_LOST, 60000, NOBODY_LOST},
        {"nobody that there is", MAX_PEERS - 1, NOBODY_LOST, 60000, NOBODY_LOST},
        {"one that is lost itself", SHARD_2, SHARD_2, 2400, SHARD_2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct played p;
        open_played(&p, 4);
        int lost = NOBODY_LOST;
        for (int t = 0; t < rows[i].n_ms && lost == NOBODY_LOST; t += LOOK_MS) {
            p.now_ns += LOOK_MS * ms_ns;
            for (int peer = DRAFTER; peer < N_PEERS; peer++) {
                struct pong pong = {.sent_ns = p.now_ns - ms_ns};
                if (peer == SHARD_1 && (rows[i].silent == NOBODY_LOST || t > 2000))
                    pong.misses = (uint32_t)rows[i].misses;
                if (peer != rows[i].silent) hear(&p, peer, &pong);
            }
            lost = look(&p, false);
        }
        if (lost != rows[i].expect) fail_msg("%s: %d", rows[i].what, lost);
        heartbeat_free(&p.h);
    }
    struct played loads; /* whoever is Ready first misses the others until they are */
    open_played(&loads, 4);
    loads.h.workers[SHARD_2].begun = false;
    const struct pong misses = {.busy = true, .misses = SHARD_2};
    assert_int_equal(play(&loads, 9000, NOBODY_LOST, &misses, true), NOBODY_LOST);
    heartbeat_begin(&loads.h, SHARD_2, loads.now_ns);
    assert_int_equal(play(&loads, 2000, NOBODY_LOST, &misses, true), NOBODY_LOST);
    assert_int_equal(play(&loads, 400, NOBODY_LOST, &misses, true), LINK_1_2);
    heartbeat_free(&loads.h);
    struct played p; /* what was said before the coordinator was stopped does not count */
    open_played(&p, 4);
    assert_int_equal(play(&p, 4000, NOBODY_LOST, &(struct pong){.busy = true}, true), NOBODY_LOST);
    hear(&p, SHARD_1, &(struct pong){.sent_ns = p.now_ns, .misses = SHARD_2});
    p.now_ns += 5000 * ms_ns;
    assert_int_equal(look(&p, true), NOBODY_LOST);
    hear(&p, SHARD_2, &(struct pong){.sent_ns = p.now_ns, .misses = SHARD_1});
    assert_int_equal(look(&p, true), LINK_2_1);
    heartbeat_free(&p.h);
}

/* Its last sign of life to that one was before its last Pong. */
static void a_stopped_worker_is_lost_itself_though_another_misses_it_first(void **state)
{
    (void)state;
    struct played p;
    int lost = NOBODY_LOST;
    open_played(&p, 4);
    for (int t = 0; t < 9000 && lost == NOBODY_LOST; t += LOOK_MS) {
        p.now_ns += LOOK_MS * ms_ns;
        for (int peer = DRAFTER; peer < N_PEERS; peer++)
            if (peer != SHARD_2 || t < 3000)
                hear(&p, peer,
                     &(struct pong){.sent_ns = p.now_ns - ms_ns,
                                    .misses = peer == SHARD_1 && t > 4400 ? SHARD_2 : PEER_COORDINATOR});
        lost = look(&p, false);
    }
    assert_int_equal(lost, SHARD_2);
    heartbeat_free(&p.h);
}

static void it_says_what_was_heard_and_how_long_a_message_takes(void **state)
{
    (void)state;
    struct played p;
    open_played(&p, 4);
    assert_int_equal(heartbeat_rtt_ns(&p.h, SHARD_1), 0);
    p.now_ns += 1500 * ms_ns;
    assert_string_equal(heartbeat_last(&p.h, SHARD_1, p.now_ns).text, "last heard 1.5 s ago (Ready)");
    hear(&p, SHARD_1, &(struct pong){.sent_ns = p.now_ns - ms_ns}); /* it lay there while nobody looked */
    assert_int_equal(heartbeat_rtt_ns(&p.h, SHARD_1), 0);
    look(&p, true);
    hear(&p, SHARD_1, &(struct pong){.sent_ns = p.now_ns - ms_ns}); /* and so did this one, or its Ping */
    assert_int_equal(heartbeat_rtt_ns(&p.h, SHARD_1), 0);
    p.now_ns += 100 * ms_ns;
    for (int ms = 90; ms > 5; ms -= 4) /* the least of the last 16 */
        hear(&p, SHARD_1, &(struct pong){.sent_ns = p.now_ns - (uint64_t)ms * ms_ns, .n_passes = 12, .busy = true});
    assert_int_equal(heartbeat_rtt_ns(&p.h, SHARD_1), 6 * ms_ns);
    for (int i = 0; i < RTTS_MOST; i++)
        hear(&p, SHARD_1, &(struct pong){.sent_ns = p.now_ns - 70 * ms_ns, .n_passes = 12, .waits_for = SHARD_2});
    assert_int_equal(heartbeat_rtt_ns(&p.h, SHARD_1), 70 * ms_ns);
    hear(&p, SHARD_1, &(struct pong){.sent_ns = p.now_ns + 1, .n_passes = 12, .waits_for = SHARD_2}); /* not of ours */
    assert_int_equal(heartbeat_rtt_ns(&p.h, SHARD_1), 70 * ms_ns);
    heartbeat_forget_rtts(&p.h, p.now_ns); /* other links */
    hear(&p, SHARD_1, &(struct pong){.sent_ns = p.now_ns - 1, .n_passes = 12, .waits_for = SHARD_2});
    assert_int_equal(heartbeat_rtt_ns(&p.h, SHARD_1), 0);
    p.now_ns += 9 * ms_ns;
    hear(&p, SHARD_1, &(struct pong){.sent_ns = p.now_ns - 8 * ms_ns, .n_passes = 12, .waits_for = SHARD_2});
    assert_int_equal(heartbeat_rtt_ns(&p.h, SHARD_1), 8 * ms_ns);
    assert_string_equal(heartbeat_last(&p.h, SHARD_1, p.now_ns).text,
                        "last heard 0.0 s ago (Pong, idle after pass 12)");
    assert_int_equal(heartbeat_waits_for(&p.h, SHARD_1), SHARD_2);
    hear(&p, SHARD_2, &(struct pong){.n_passes = 12, .waits_for = 200});
    assert_int_equal(heartbeat_waits_for(&p.h, SHARD_2), PEER_COORDINATOR);
    heartbeat_free(&p.h);
}

static void what_a_load_adds_to_the_round_trip_is_the_link_s_rate(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint64_t bare_us, loaded_us; /* round trips of Pings; 0: there was none */
        uint64_t bits_per_s;
    } rows[] = {{"a slow link", 1000, 17384, 1000000},
                {"a far and slow one", 100000, 116384, 1000000},
                {"only loads", 0, 16384, 0},
                {"no loads", 1000, 0, 0},
                {"a load that costs next to nothing", 100, 140, 0},
                {"or that the way hides", 100000, 104000, 0},
                {"a load that was faster", 1000, 900, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct played p;
        open_played(&p, 4);
        p.now_ns += 200 * ms_ns;
        look(&p, true);
        if (rows[i].bare_us) hear(&p, SHARD_1, &(struct pong){.sent_ns = p.now_ns - rows[i].bare_us * 1000});
        for (int k = 0; k < LOADS_LEAST && rows[i].loaded_us; k++)
            hear(&p, SHARD_1, &(struct pong){.sent_ns = p.now_ns - rows[i].loaded_us * 1000, .n_load = PING_LOAD});
        if (heartbeat_bits_per_s(&p.h, SHARD_1) != rows[i].bits_per_s)
            fail_msg("%s: %llu", rows[i].why, (unsigned long long)heartbeat_bits_per_s(&p.h, SHARD_1));
        assert_int_equal(heartbeat_rtt_ns(&p.h, SHARD_1), rows[i].bare_us * 1000);
        heartbeat_free(&p.h);
    }
}

/* What measures links between two runs must not wait for it. */
static void a_drafter_that_is_lost_has_no_round_trip(void **state)
{
    (void)state;
    const struct pong pong = {.n_passes = 1};
    struct played p;
    open_played(&p, 4);
    play(&p, 1000, -1, &pong, false);
    assert_true(heartbeat_has_rtts(&p.h));
    heartbeat_forget_rtts(&p.h, p.now_ns);
    play(&p, 1000, DRAFTER, &pong, false);
    assert_false(heartbeat_has_rtts(&p.h));
    heartbeat_lose(&p.h, DRAFTER);
    assert_true(heartbeat_has_rtts(&p.h));
    heartbeat_free(&p.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_is_a_loss_after_two_seconds_or_ten_blocks),
        cmocka_unit_test(any_message_is_a_sign_of_life_and_one_that_is_held_too),
        cmocka_unit_test(a_stopped_coordinator_restarts_all_deadlines),
        cmocka_unit_test(a_worker_that_is_not_ready_or_lost_already_is_not_missed),
        cmocka_unit_test(a_worker_that_starts_is_lost_after_the_limit_without_a_sign_of_life),
        cmocka_unit_test(nobody_works_on_what_is_unfinished),
        cmocka_unit_test(a_group_stalls_whatever_the_others_do),
        cmocka_unit_test(a_link_between_two_that_both_answer_is_lost_as_one_of_them_says),
        cmocka_unit_test(a_stopped_worker_is_lost_itself_though_another_misses_it_first),
        cmocka_unit_test(it_says_what_was_heard_and_how_long_a_message_takes),
        cmocka_unit_test(a_drafter_that_is_lost_has_no_round_trip),
        cmocka_unit_test(what_a_load_adds_to_the_round_trip_is_the_link_s_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
