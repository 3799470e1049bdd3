#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/utf8.h"

#define N(rows) (sizeof(rows) / sizeof *(rows))

static void every_character_is_read_and_its_parts_are_incomplete(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF) continue;
        char s[4];
        uint32_t got = 0;
        size_t n = utf8_put(s, cp);
        if (utf8_next(s, n, &got) != (int)n || got != cp) fail_msg("U+%04X is read as U+%04X", cp, got);
        if (utf8_complete(s, n) != n) fail_msg("U+%04X is held", cp);
        for (size_t part = 1; part < n; part++)
            if (utf8_next(s, part, &got) != 0 || utf8_complete(s, part) != 0)
                fail_msg("%zu bytes of U+%04X are not held", part, cp);
    }
}

static const struct {
    const char *name, *bytes;
} no_character[] = {
    {"a later byte alone", "\x80"},
    {"an overlong slash", "\xC0\xAF"},
    {"an overlong form of three bytes", "\xE0\x9F\xBF"},
    {"an overlong form of four bytes", "\xF0\x8F\xBF\xBF"},
    {"a surrogate", "\xED\xA0\x80"},
    {"above U+10FFFF", "\xF4\x90\x80\x80"},
    {"a first byte that Unicode never uses", "\xF5\x80\x80\x80"},
    {"a first byte followed by a letter", "\xE4x"},
    {"a first byte followed by another", "\xF0\xF0"},
    {"a third byte that is none", "\xF0\x9F(\x80"},
};

static void what_is_no_character_is_not_one_and_is_shown_at_once(void **state)
{
    (void)state;
    uint32_t cp;
    for (size_t i = 0; i < N(no_character); i++) {
        const char *s = no_character[i].bytes;
        if (utf8_next(s, strlen(s), &cp) != -1) fail_msg("%s: read as a character", no_character[i].name);
    }
}

static const struct {
    const char *name, *bytes;
    size_t n_shown;
} tails[] = {
    {"nothing", "", 0},
    {"letters", "abc", 3},
    {"a whole character", "a\xC3\xA9", 3},
    {"one byte of two", "a\xC3", 1},
    {"two bytes of three", "a\xE4\xBD", 1},
    {"three bytes of four", "a\xF0\x9F\x98", 1},
    {"four bytes of four", "a\xF0\x9F\x98\x80", 5},
    {"a whole character and a part of the next", "\xF0\x9F\x98\x80\xF0\x9F", 4},
    {"later bytes without a first one", "\x80\x80\x80", 3},
    {"too many later bytes", "\xC3\xA9\xA9", 3},
    {"a part that cannot go on", "a\xE0\x80", 3},
    {"a part of a surrogate", "a\xED\xA0", 3},
    {"a part behind a broken one", "\xE4\xF0\x9F", 1},
    {"a first byte that never begins a character", "a\xFF", 2},
    {"a broken part and a letter", "\xF0\x9Fz", 3},
};

static void only_a_tail_that_may_go_on_is_held(void **state)
{
    (void)state;
    for (size_t i = 0; i < N(tails); i++) {
        size_t n = utf8_complete(tails[i].bytes, strlen(tails[i].bytes));
        if (n != tails[i].n_shown) fail_msg("%s: %zu bytes shown, expected %zu", tails[i].name, n, tails[i].n_shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_is_read_and_its_parts_are_incomplete),
        cmocka_unit_test(what_is_no_character_is_not_one_and_is_shown_at_once),
        cmocka_unit_test(only_a_tail_that_may_go_on_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
