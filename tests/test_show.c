/* Foreign text as terminals get it: one line, nothing that they obey. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "proto/err.h"
#include "proto/show.h"

static void what_a_terminal_would_obey_is_spelled_out(void **state)
{
    (void)state;
    static const struct {
        const char *why, *text, *shown;
    } rows[] = {
        {"plain", "blk.0.attn_q.weight", "blk.0.attn_q.weight"},
        {"nothing", "", ""},
        {"other scripts", "gr\303\274n \342\202\254 \360\237\220\237", "gr\303\274n \342\202\254 \360\237\220\237"},
        {"lines", "a\nb\r\tc", "a\\nb\\r\\tc"},
        {"a colour, a title, a bell", "\033[31m\033]0;x\007", "\\x1b[31m\\x1b]0;x\\x07"},
        {"delete", "\177", "\\x7f"},
        {"the same in eight bits, as a character and as a byte",
         "\302\233"
         "31m \233"
         "31m",
         "\\xc2\\x9b31m \\x9b31m"},
        {"a line's end of Unicode, an order from right to left", "a\342\200\250b\342\200\256\342\201\246",
         "a\\xe2\\x80\\xa8b\\xe2\\x80\\xae\\xe2\\x81\\xa6"},
        {"no-break space is none of them", "\302\240", "\302\240"},
        {"overlong, a surrogate, past the last", "\300\212\340\200\212\355\240\200\364\220\200\200",
         "\\xc0\\x8a\\xe0\\x80\\x8a\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80"},
        {"cut off", "\342\202", "\\xe2\\x82"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[256];
        show_text(out, sizeof out, rows[i].text, strlen(rows[i].text));
        if (strcmp(out, rows[i].shown) != 0) fail_msg("%s: \"%s\"", rows[i].why, out);
        show_text(out, sizeof out, rows[i].shown, strlen(rows[i].shown)); /* shown again, nothing changes */
        if (strcmp(out, rows[i].shown) != 0) fail_msg("%s twice", rows[i].why);
    }
}

static void a_text_that_does_not_fit_ends_between_two_characters(void **state)
{
    (void)state;
    static const char text[] = "a\n\342\202\254\033";
    static const char *const shown[] = {"", "a", "a", "a\\n", "a\\n", "a\\n", "a\\n\342\202\254"};
    for (size_t room = 1; room <= sizeof shown / sizeof *shown; room++) {
        char out[16];
        memset(out, 'x', sizeof out);
        show_text(out, room, text, sizeof text - 1);
        assert_string_equal(out, shown[room - 1]);
        assert_int_equal(out[room], 'x');
    }
}

static void an_error_is_one_line_whatever_it_quotes(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(err_set(&err, E_MODEL, "%s: no such model", "a\nb\033[2J"), E_MODEL);
    assert_string_equal(err.text, "a\\nb\\x1b[2J: no such model");
    assert_int_equal(err_wrap(&err, "--%s", "li\nttle"), E_MODEL);
    assert_string_equal(err.text, "--li\\nttle: a\\nb\\x1b[2J: no such model");
    char longest[3000];
    memset(longest, '\n', sizeof longest);
    longest[sizeof longest - 1] = 0;
    err_set(&err, E_FAIL, "%s", longest);
    assert_int_equal(strlen(err.text), sizeof err.text - 2);
    assert_null(strchr(err.text, '\n'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_terminal_would_obey_is_spelled_out),
        cmocka_unit_test(a_text_that_does_not_fit_ends_between_two_characters),
        cmocka_unit_test(an_error_is_one_line_whatever_it_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
