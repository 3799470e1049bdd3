/* Which groups there are, and which peer lives on which rank. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "proto/layout.h"

/* ranks: the rank of each peer, one letter a peer. */
static const struct {
    const char *why;
    int n_ranks, groups, tp, pp;
    enum drafter drafter;
    const char *ranks;
} right[] = {
    {"one process, big alone", 1, 1, 1, 1, DRAFTER_NONE, "00"},
    {"one process, with little", 1, 1, 1, 1, DRAFTER_LITTLE, "000"},
    {"one process, with suffixes: the leader's", 1, 1, 1, 1, DRAFTER_SUFFIX, "00"},
    {"one process, shards and stages", 1, 1, 2, 3, DRAFTER_LITTLE, "00000000"},
    {"big on a rank of its own", 2, 1, 1, 1, DRAFTER_NONE, "01"},
    {"little before big", 3, 1, 1, 1, DRAFTER_LITTLE, "012"},
    {"big, with suffixes", 2, 1, 1, 1, DRAFTER_SUFFIX, "01"},
    {"two shards", 3, 1, 2, 1, DRAFTER_NONE, "012"},
    {"two shards and little", 4, 1, 2, 1, DRAFTER_LITTLE, "0123"},
    {"two shards, with suffixes", 3, 1, 2, 1, DRAFTER_SUFFIX, "012"},
    {"three stages and little", 5, 1, 1, 3, DRAFTER_LITTLE, "01234"},
    {"two shards of two stages", 5, 1, 2, 2, DRAFTER_NONE, "01234"},
    {"two shards of two stages and little", 6, 1, 2, 2, DRAFTER_LITTLE, "012345"},
    {"three shards of two stages and little", 8, 1, 3, 2, DRAFTER_LITTLE, "01234567"},
    {"three shards of two stages", 7, 1, 3, 2, DRAFTER_NONE, "0123456"},
    {"one process, three groups", 1, 3, 1, 1, DRAFTER_LITTLE, "00000"},
    {"two groups", 3, 2, 1, 1, DRAFTER_NONE, "012"},
    {"two groups of two shards and little", 6, 2, 2, 1, DRAFTER_LITTLE, "012345"},
    {"two groups of two shards of two stages", 9, 2, 2, 2, DRAFTER_SUFFIX, "012345678"},
};
enum { N_RIGHT = sizeof right / sizeof *right };

static struct layout made(size_t i)
{
    struct layout l;
    struct err err = {0};
    if (layout_make(&l, right[i].n_ranks, 1, right[i].groups, right[i].tp, right[i].pp, right[i].drafter, &err) != OK)
        fail_msg("%s: %s", right[i].why, err.text);
    return l;
}

static void every_peer_lives_on_its_rank(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_RIGHT; i++) {
        struct layout l = made(i);
        assert_int_equal(l.n_peers, strlen(right[i].ranks));
        for (int peer = 0; peer < l.n_peers; peer++) {
            char is = (char)('0' + layout_rank(&l, peer));
            if (is != right[i].ranks[peer]) fail_msg("%s: peer %d is at %c", right[i].why, peer, is);
        }
    }
}

static void every_rank_is_the_peer_that_lives_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_RIGHT; i++) {
        struct layout l = made(i);
        for (int rank = 0; rank < l.n_ranks; rank++) {
            int peer = layout_peer(&l, rank);
            if (peer >= l.n_peers || layout_rank(&l, peer) != rank)
                fail_msg("%s: rank %d is peer %d", right[i].why, rank, peer);
        }
    }
}

static void every_peer_but_the_coordinator_is_of_one_group_stage_by_stage(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_RIGHT; i++) {
        struct layout l = made(i);
        int next = PEER_COORDINATOR + 1;
        for (const struct group *g = l.groups; g < l.groups + l.n_groups; g++) {
            assert_int_equal(group_leader(g), next);
            for (int stage = 0; stage < g->pp; stage++)
                for (int shard = 0; shard < g->tp; shard++, next++) {
                    assert_ptr_equal(layout_group(&l, next), g);
                    assert_int_equal(group_peer(g, stage, shard), next);
                    assert_int_equal(group_stage(g, next), stage);
                    assert_int_equal(group_shard(g, next), shard);
                }
            assert_int_equal(group_last(g), next - g->tp);
        }
        assert_int_equal(next, l.n_peers);
        assert_null(layout_group(&l, -1));
        assert_null(layout_group(&l, PEER_COORDINATOR));
        assert_null(layout_group(&l, l.n_peers));
    }
}

static void a_drafter_is_a_group_of_one_where_there_is_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_RIGHT; i++) {
        struct layout l = made(i);
        const struct group *d = layout_drafter(&l, 0), *v = layout_verifier(&l, 0);
        assert_int_equal(v->role, ROLE_VERIFIER);
        assert_int_equal(v->tp, right[i].tp);
        assert_int_equal(v->pp, right[i].pp);
        assert_int_equal(d != NULL, right[i].drafter == DRAFTER_LITTLE);
        if (d && (d->role != ROLE_DRAFTER || group_n_peers(d) != 1)) fail_msg("%s: no drafter of one", right[i].why);
    }
}

static void groups_of_verifiers_are_alike_and_numbered_in_order_of_peers(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_RIGHT; i++) {
        struct layout l = made(i);
        int n = layout_n_verifiers(&l);
        assert_int_equal(n, right[i].groups);
        for (int k = 0; k < n; k++) {
            const struct group *g = layout_verifier(&l, k);
            assert_true(g->role == ROLE_VERIFIER && g->tp == right[i].tp && g->pp == right[i].pp);
            assert_int_equal(layout_i_verifier(&l, group_leader(g)), k);
            assert_int_equal(layout_i_verifier(&l, group_last(g)), k);
        }
        assert_int_equal(layout_i_verifier(&l, PEER_COORDINATOR), -1);
        if (layout_drafter(&l, 0)) assert_int_equal(layout_i_verifier(&l, group_leader(layout_drafter(&l, 0))), -1);
    }
}

/* linked: for each peer of a group, in order, those that it has a link to. */
static void peers_of_a_group_have_links_as_they_send(void **state)
{
    (void)state;
    static const struct {
        int tp, pp;
        const char *linked[6];
    } rows[] = {
        {1, 1, {""}},
        {2, 1, {"1", "0"}},
        {3, 1, {"12", "02", "01"}},
        {1, 2, {"1", "0"}},
        {1, 4, {"13", "023", "13", "012"}}, /* the last one sends Tokens */
        {2, 3, {"124", "03", "034", "1245", "0235", "34"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct group g = {ROLE_VERIFIER, 3, rows[i].tp, rows[i].pp};
        for (int a = 0; a < group_n_peers(&g); a++)
            for (int b = 0; b < group_n_peers(&g); b++)
                if (group_has_link(&g, 3 + a, 3 + b) != (strchr(rows[i].linked[a], '0' + b) != NULL))
                    fail_msg("tp %d, pp %d: %d and %d", rows[i].tp, rows[i].pp, a, b);
    }
}

static void ranks_that_do_not_fit_are_refused_with_the_right_number(void **state)
{
    (void)state;
    static const struct {
        int n_ranks, groups, tp, pp;
        enum drafter drafter;
        const char *says;
    } wrong[] = {
        {3, 1, 1, 1, DRAFTER_NONE, "3 ranks, but --tp 1 --pp 1 takes 2"},
        {2, 1, 1, 1, DRAFTER_LITTLE, "2 ranks, but --tp 1 --pp 1 with --little takes 3"},
        {4, 1, 1, 1, DRAFTER_LITTLE, "4 ranks, but --tp 1 --pp 1 with --little takes 3"},
        {3, 1, 1, 1, DRAFTER_SUFFIX, "3 ranks, but --tp 1 --pp 1 takes 2"},
        {4, 1, 2, 2, DRAFTER_NONE, "4 ranks, but --tp 2 --pp 2 takes 5"},
        {5, 1, 2, 2, DRAFTER_LITTLE, "5 ranks, but --tp 2 --pp 2 with --little takes 6"},
        {4, 2, 2, 1, DRAFTER_LITTLE, "4 ranks, but --groups 2 --tp 2 --pp 1 with --little takes 6"},
        {1, 9, 1, 1, DRAFTER_NONE, "--groups 9 --tp 1 --pp 1: 1 to 8 groups, and groups x tp x pp at most 254"},
        {1, 4, 8, 8, DRAFTER_NONE, "--groups 4 --tp 8 --pp 8: 1 to 8 groups, and groups x tp x pp at most 254"},
        {0, 1, 1, 1, DRAFTER_NONE, "0 ranks, but --tp 1 --pp 1 takes 2"},
        {1, 1, 0, 1, DRAFTER_NONE, "--tp 0 --pp 1: each is at least 1, and tp x pp at most 254"},
        {1, 1, 1, 0, DRAFTER_NONE, "--tp 1 --pp 0: each is at least 1, and tp x pp at most 254"},
        {1, 1, 1, -3, DRAFTER_NONE, "--tp 1 --pp -3: each is at least 1, and tp x pp at most 254"},
        {1, 1, 5, 51, DRAFTER_NONE, "--tp 5 --pp 51: each is at least 1, and tp x pp at most 254"},
        {1, 1, 4, 1 << 30, DRAFTER_NONE, "--tp 4 --pp 1073741824: each is at least 1, and tp x pp at most 254"},
        {1, 1, 1 << 30, 4, DRAFTER_NONE, "--tp 1073741824 --pp 4: each is at least 1, and tp x pp at most 254"},
        {1, 1, 65536, 65536, DRAFTER_NONE, "--tp 65536 --pp 65536: each is at least 1, and tp x pp at most 254"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct layout l = {.n_peers = 77};
        struct err err = {0};
        int rc =
            layout_make(&l, wrong[i].n_ranks, 1, wrong[i].groups, wrong[i].tp, wrong[i].pp, wrong[i].drafter, &err);
        assert_int_equal(rc, E_LAYOUT);
        assert_string_equal(err.text, wrong[i].says);
        assert_int_equal(l.n_peers, 77); /* set only on success */
    }
}

static void the_most_peers_that_there_can_be_fit(void **state)
{
    (void)state;
    static const int sides[][2] = {{2, 127}, {SHARDS_MOST, 1}, {1, SHARDS_MOST}};
    for (int i = 0; i < 3; i++) {
        struct layout l;
        assert_int_equal(layout_make(&l, 1, 1, 1, sides[i][0], sides[i][1], DRAFTER_LITTLE, NULL), OK);
        assert_int_equal(l.n_peers, MAX_PEERS);
    }
}

static void groups_share_sequences_evenly_and_have_one_each_at_least(void **state)
{
    (void)state;
    static const struct {
        int groups, n_slots, of_each;
    } rows[] = {{1, 1, 1}, {1, 7, 7},    {2, 1, 1},    {2, 8, 4},    {2, 9, 5},
                {3, 4, 2}, {3, 256, 85}, {3, 255, 85}, {8, 256, 32}, {1, 256, 256}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(layout_group_slots(rows[i].groups, rows[i].n_slots), rows[i].of_each);
}

/* Two drafters of one group take its slots in turn; with as many as groups each has its own. */
static void a_slot_s_drafter_is_one_of_few_requests(void **state)
{
    (void)state;
    static const struct {
        int drafters, groups, n_slots; /* n_slots: of a group */
        const char *of[3];             /* by group: its slots' drafters */
    } rows[] = {
        {1, 1, 3, {"000"}},
        {2, 1, 4, {"0101"}},
        {1, 2, 2, {"00", "00"}},
        {2, 2, 3, {"000", "111"}},
        {3, 2, 3, {"021", "102"}},
        {4, 2, 2, {"02", "13"}},
        {2, 3, 2, {"01", "10", "01"}},
        {3, 3, 2, {"00", "11", "22"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int n_of[DRAFTERS_MOST] = {0}, n = layout_drafter_slots(rows[i].drafters, rows[i].groups, rows[i].n_slots);
        for (int g = 0; g < rows[i].groups; g++)
            for (int s = 0; s < rows[i].n_slots; s++) {
                int d = layout_drafter_of(rows[i].drafters, rows[i].groups, g, s);
                if (d != rows[i].of[g][s] - '0' || ++n_of[d] > n)
                    fail_msg("row %zu: group %d, slot %d: drafter %d", i, g, s, d);
            }
    }
}

static void several_drafters_are_peers_before_the_verifiers(void **state)
{
    (void)state;
    struct layout l;
    struct err err = {0};
    assert_int_equal(layout_make(&l, 6, 2, 3, 1, 1, DRAFTER_LITTLE, &err), OK);
    assert_int_equal(layout_n_drafters(&l), 2);
    assert_int_equal(layout_n_verifiers(&l), 3);
    assert_int_equal(group_leader(layout_drafter(&l, 1)), 2);
    assert_null(layout_drafter(&l, 2));
    for (int peer = 0; peer < 6; peer++) {
        assert_int_equal(layout_i_drafter(&l, peer), peer == 1 || peer == 2 ? peer - 1 : -1);
        assert_int_equal(layout_i_verifier(&l, peer), peer > 2 ? peer - 3 : -1);
    }
    assert_int_equal(layout_make(&l, 5, 2, 3, 1, 1, DRAFTER_LITTLE, &err), E_LAYOUT);
    assert_string_equal(err.text, "5 ranks, but --groups 3 --tp 1 --pp 1 with --little --drafters 2 takes 6");
    assert_int_equal(layout_make(&l, 1, 9, 1, 1, 1, DRAFTER_LITTLE, &err), E_LAYOUT);
    assert_string_equal(err.text, "--drafters 9: 1 to 8");
    assert_int_equal(layout_make(&l, 1, 2, 1, SHARDS_MOST, 1, DRAFTER_LITTLE, &err), E_LAYOUT);
    assert_string_equal(err.text, "--tp 254 --pp 1 with --little --drafters 2 takes 257 ranks, at most 256");
    assert_int_equal(layout_make(&l, 3, 2, 2, 1, 1, DRAFTER_NONE, &err), OK); /* there is none */
}

static void weights_of_stages_are_read_one_for_each(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int n_stages, code, first, last;
    } rows[] = {
        {"20,10", 2, OK, 20, 10},     {"1", 1, OK, 1, 1},          {"1,2,3", 3, OK, 1, 3},
        {"65536,1", 2, OK, 65536, 1}, {"20,10", 1, E_USAGE, 0, 0}, {"20", 2, E_USAGE, 0, 0},
        {"0,1", 2, E_USAGE, 0, 0},    {"-1,2", 2, E_USAGE, 0, 0},  {"65537,1", 2, E_USAGE, 0, 0},
        {"1,", 2, E_USAGE, 0, 0},     {",1", 2, E_USAGE, 0, 0},    {"1,2x", 2, E_USAGE, 0, 0},
        {"", 1, E_USAGE, 0, 0},       {"1;2", 2, E_USAGE, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int share[4];
        struct err err;
        if (layout_read_share(rows[i].text, "stages", rows[i].n_stages, share, &err) != rows[i].code)
            fail_msg("%s", rows[i].text);
        if (rows[i].code != OK) continue;
        assert_int_equal(share[0], rows[i].first);
        assert_int_equal(share[rows[i].n_stages - 1], rows[i].last);
    }
}

static void parts_follow_their_weights_to_the_nearest_border(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int n, n_parts, weight[4], least, from[5];
    } rows[] = {
        {"one part has all", 9, 1, {5}, 1, {0, 9}},
        {"equal", 12, 3, {1, 1, 1}, 0, {0, 4, 8, 12}},
        {"weights that sum to the units are the units", 24, 2, {20, 4}, 1, {0, 20, 24}},
        {"three to one of 14 heads", 14, 2, {3, 1}, 0, {0, 11, 14}},
        {"halves go up", 9, 2, {1, 1}, 0, {0, 5, 9}},
        {"the borders are rounded, not the parts", 10, 3, {1, 1, 1}, 0, {0, 3, 7, 10}},
        {"small weights may have nothing", 4, 3, {1, 100, 1}, 0, {0, 0, 4, 4}},
        {"unless each must have one", 4, 3, {1, 100, 1}, 1, {0, 1, 3, 4}},
        {"as few units as parts", 4, 4, {9, 1, 1, 9}, 1, {0, 1, 2, 3, 4}},
        {"fewer units than parts", 2, 4, {1, 1, 1, 1}, 0, {0, 1, 1, 2, 2}},
        {"no units", 0, 2, {1, 2}, 0, {0, 0, 0}},
        {"great numbers", 1 << 24, 2, {65536, 65536}, 0, {0, 1 << 23, 1 << 24}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int from[5];
        layout_cut(from, rows[i].n, rows[i].n_parts, rows[i].weight, rows[i].least);
        for (int k = 0; k <= rows[i].n_parts; k++)
            if (from[k] != rows[i].from[k]) fail_msg("%s: part %d begins at %d", rows[i].why, k, from[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_peer_lives_on_its_rank),
        cmocka_unit_test(every_rank_is_the_peer_that_lives_there),
        cmocka_unit_test(every_peer_but_the_coordinator_is_of_one_group_stage_by_stage),
        cmocka_unit_test(a_drafter_is_a_group_of_one_where_there_is_one),
        cmocka_unit_test(groups_of_verifiers_are_alike_and_numbered_in_order_of_peers),
        cmocka_unit_test(peers_of_a_group_have_links_as_they_send),
        cmocka_unit_test(ranks_that_do_not_fit_are_refused_with_the_right_number),
        cmocka_unit_test(the_most_peers_that_there_can_be_fit),
        cmocka_unit_test(groups_share_sequences_evenly_and_have_one_each_at_least),
        cmocka_unit_test(a_slot_s_drafter_is_one_of_few_requests),
        cmocka_unit_test(several_drafters_are_peers_before_the_verifiers),
        cmocka_unit_test(weights_of_stages_are_read_one_for_each),
        cmocka_unit_test(parts_follow_their_weights_to_the_nearest_border),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
