/* Merging against the plain definition: while a pair of neighbours has a rank, merge the leftmost one of the lowest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/text/bpe.h"
#include "tests/lib/toy_vocab.h"

enum { MAX_MERGES = 200, TEXT_ROOM = 40 };

static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % below;
}

/* Random merges over "abc": each is of two texts that are tokens already, and makes a new one. */
struct random_merges {
    char text[MAX_MERGES + 3][TEXT_ROOM];
    char merge[MAX_MERGES][2 * TEXT_ROOM];
    int left[MAX_MERGES], right[MAX_MERGES]; /* places in text */
    const char *list[MAX_MERGES + 1];
    int n;
};

static int find_text(const struct random_merges *m, const char *text)
{
    int at = 0;
    while (at < m->n + 3 && strcmp(m->text[at], text) != 0) at++;
    return at < m->n + 3 ? at : -1;
}

static void draw_merges(struct random_merges *m, int n, uint64_t *state)
{
    *m = (struct random_merges){.text = {"a", "b", "c"}};
    while (m->n < n) {
        int left = (int)draw(state, (uint32_t)m->n + 3), right = (int)draw(state, (uint32_t)m->n + 3);
        char joined[2 * TEXT_ROOM];
        snprintf(joined, sizeof joined, "%s%s", m->text[left], m->text[right]);
        if (strlen(joined) >= TEXT_ROOM || find_text(m, joined) >= 0) continue;
        stpcpy(stpcpy(stpcpy(m->merge[m->n], m->text[left]), " "), m->text[right]);
        m->left[m->n] = left, m->right[m->n] = right;
        m->list[m->n] = m->merge[m->n];
        memcpy(m->text[m->n + 3], joined, TEXT_ROOM);
        m->n++;
    }
}

static int rank_of(const struct random_merges *m, int left, int right)
{
    for (int r = 0; r < m->n; r++)
        if (m->left[r] == left && m->right[r] == right) return r;
    return MAX_MERGES;
}

/* Places in text, which are ids but for the first three. */
static size_t merge_plainly(const struct random_merges *m, const char *piece, size_t n, int *out)
{
    for (size_t i = 0; i < n; i++) out[i] = piece[i] - 'a';
    for (;;) {
        int best = MAX_MERGES;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            int rank = rank_of(m, out[i], out[i + 1]);
            if (rank < best) best = rank, at = i;
        }
        if (best == MAX_MERGES) return n;
        out[at] = best + 3;
        memmove(out + at + 1, out + at + 2, (n - at - 2) * sizeof *out);
        n--;
    }
}

static void check_pieces(const struct random_merges *m, const struct bpe *bpe, uint64_t *state)
{
    struct bpe_work work = {0};
    for (int round = 0; round < 200; round++) {
        char piece[64];
        int want[64];
        int32_t ids[64];
        size_t n = 1 + draw(state, 64), n_ids;
        uint32_t n_letters = 1 + draw(state, 3);
        for (size_t i = 0; i < n; i++) piece[i] = (char)('a' + draw(state, n_letters));
        size_t n_want = merge_plainly(m, piece, n, want);
        struct err err;
        assert_int_equal(bpe_encode(bpe, &work, (struct gguf_str){piece, n}, ids, &n_ids, &err), OK);
        assert_int_equal(n_ids, n_want);
        for (size_t i = 0; i < n_ids; i++) {
            int32_t id = want[i] < 3 ? 'a' + want[i] : 256 + want[i] - 3;
            if (ids[i] != id) fail_msg("\"%.*s\": id %zu is %d, expected %d", (int)n, piece, i, ids[i], id);
        }
    }
    bpe_work_free(&work);
}

static void merges_are_those_of_the_plain_definition(void **state)
{
    (void)state;
    uint64_t seed = 7;
    struct random_merges *m = malloc(sizeof *m);
    assert_non_null(m);
    for (int vocabulary = 0; vocabulary < 20; vocabulary++) {
        struct toy toy = {0};
        struct gguf g;
        struct vocab vocab;
        struct bpe bpe;
        struct err err;
        draw_merges(m, 1 + (int)draw(&seed, MAX_MERGES), &seed);
        toy_vocab(&toy, &(struct toy_vocab){.merges = m->list});
        toy_open(&toy, &g);
        assert_int_equal(vocab_open(&vocab, VOCAB_BYTE_LEVEL, &g, &err), OK);
        assert_int_equal(bpe_open(&bpe, &vocab, &g, &err), OK);
        check_pieces(m, &bpe, &seed);
        bpe_close(&bpe);
        vocab_close(&vocab);
        toy_close(&toy, &g);
    }
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(merges_are_those_of_the_plain_definition)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
