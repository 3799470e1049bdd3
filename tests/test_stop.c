/* Texts that end a generation, wherever the borders of tokens lie; tokens here are whatever a row says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/stop.h"

enum { MOST = 8, PROMPT = 1 };
static const char *const *pieces; /* [id]; id 0 is the prompt */

struct gguf_str tokenizer_piece(const struct tokenizer *t, int32_t id, bool special)
{
    (void)t;
    assert_false(special);
    return (struct gguf_str){pieces[id], strlen(pieces[id])};
}

static const struct {
    const char *why;
    const char *pieces[MOST], *stops[3];
    int at;           /* the token that completes a stop; 0: none */
    const char *text; /* of the answer, without the stop */
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

/* Tokens come one by one, as spec asks. */
static void a_stop_ends_the_text_with_the_token_that_completes_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t ids[MOST] = {0, 1, 2, 3, 4, 5, 6, 7};
        struct stops stops = {rows[i].stops, 0, NULL};
        while (stops.n < 3 && rows[i].stops[stops.n]) stops.n++;
        struct seq s = {.ids = ids, .n_prompt = PROMPT, .n_ids = PROMPT};
        pieces = rows[i].pieces;
        char text[64] = "";
        int at = 0;
        while (!at && s.n_ids < n_of(pieces)) {
            strcat(text, pieces[s.n_ids++]);
            if (stop_reached(&stops, &s)) at = s.n_ids - 1;
        }
        if (at != rows[i].at) fail_msg("%s: at token %d, not %d", rows[i].why, at, rows[i].at);
        if (at) text[stop_find(&stops, text, strlen(text), strlen(pieces[at]))] = 0;
        if (strcmp(text, rows[i].text) != 0) fail_msg("%s: '%s', not '%s'", rows[i].why, text, rows[i].text);
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
