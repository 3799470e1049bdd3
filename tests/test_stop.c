/* Texts that end a generation, wherever the borders of tokens lie; tokens here are whatever a row says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/text/stop.h"
#include "tests/lib/sim.h"

enum { MOST = 8 };
static const char *const *pieces; /* of ids from 'a' on */

struct gguf_str tokenizer_piece(const struct tokenizer *t, int32_t id, bool special)
{
    (void)t;
    assert_false(special);
    assert_in_range(id, 'a', 'a' + MOST - 1);
    return (struct gguf_str){pieces[id - 'a'], strlen(pieces[id - 'a'])};
}

static const struct {
    const char *why;
    const char *pieces[MOST], *stops[2]; /* the first piece is the prompt */
    int at;                              /* the token that completes a stop; 0: none */
    const char *text;                    /* of the answer, without the stop */
} rows[] = {
    {"a stop that is a token", {"?", "one", "\n", "two"}, {"\n"}, 2, "one"},
    {"a stop inside a token", {"?", "one.\ntwo", "x"}, {"\n"}, 1, "one."},
    {"a stop over two tokens", {"?", "one#", "#two"}, {"##"}, 2, "one"},
    {"a stop over many tokens, bytes of a character among them",
     {"?", "a", "\xe2", "\x82", "\xac", "b"},
     {"a\xe2\x82\xac"},
     4,
     ""},
    {"what only began is text", {"?", "STO", "OP"}, {"STOP"}, 0, "STOOP"},
    {"a beginning inside a beginning", {"?", "aa", "ab"}, {"aab"}, 2, "a"},
    {"of two stops the one that ends first", {"?", "one", " two", " three"}, {"three", "two"}, 2, "one "},
    {"of two stops in one token the one that begins first", {"?", "x end of y"}, {"of", "end"}, 1, "x "},
    {"the prompt is not searched", {"stop", "ped", "."}, {"stop", "stopped"}, 0, "ped."},
    {"a token without text", {"?", "a", "", "b"}, {"ab"}, 3, ""},
    {"a stop is not found twice, in the token behind it", {"?", "##", "x"}, {"##"}, 1, ""},
};

static int n_of(const char *const *list)
{
    int n = 0;
    while (n < MOST && list[n]) n++;
    return n;
}

/* Of big alone, token by token, and in blocks of drafts. */
static void a_stop_ends_the_text_with_the_token_that_completes_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        const char *const *texts = rows[i / 2].stops;
        struct stops stops = {texts, texts[1] ? 2 : 1, NULL};
        pieces = rows[i / 2].pieces;
        int n_tokens = n_of(pieces) - 1, at = rows[i / 2].at;
        struct sim_config config = {.draft_max = i % 2 ? 5 : 0, .stops = stop_reached, .stops_of = &stops};
        struct sim *sim = sim_open(&config, &(struct sim_text){"a", "bcdefgh", NULL, n_tokens}, 1);
        sim_run(sim);
        const struct seq *s = sim_seq(sim, 0);
        char *text;
        size_t n = stop_answer(NULL, s, &text);
        assert_int_equal(s->end, at ? SEQ_STOP : SEQ_LENGTH);
        if (seq_n_generated(s) != (at ? at : n_tokens)) fail_msg("%s: at %d", rows[i / 2].why, seq_n_generated(s));
        if (n != strlen(rows[i / 2].text) || memcmp(text, rows[i / 2].text, n) != 0)
            fail_msg("%s: '%.*s', not '%s'", rows[i / 2].why, (int)n, text, rows[i / 2].text);
        free(text);
        sim_close(sim);
    }
}

static void what_may_become_a_stop_is_held_back(void **state)
{
    (void)state;
    static const struct {
        const char *text, *stops[2];
        size_t held;
    } held[] = {{"Hello", {"low"}, 2},   {"Hello", {"lo!", "o?"}, 2}, {"Hello", {"x"}, 0}, {"", {"x"}, 0},
                {"aaa", {"aab"}, 2},     {"Hello", {"Hello!"}, 5},    {"ab", {"b"}, 0}, /* complete: stop_find's */
                {"Hello", {"xHello"}, 0}};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++) {
        struct stops stops = {held[i].stops, 1 + (held[i].stops[1] != NULL), NULL};
        assert_int_equal(stop_held(&stops, held[i].text, strlen(held[i].text)), held[i].held);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_ends_the_text_with_the_token_that_completes_it),
        cmocka_unit_test(what_may_become_a_stop_is_held_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
