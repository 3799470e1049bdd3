#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/cli/progress.h"

/* What a terminal shows, by the only three things that are written there: text, the line's begin, "the rest is
 * blank". */
struct screen {
    struct progress p;
    char *bytes;
    size_t n, at;
    char line[200];
};

static void open_screen(struct screen *s)
{
    memset(s, 0, sizeof *s);
    s->p.out = open_memstream(&s->bytes, &s->n);
    assert_non_null(s->p.out);
}

static void close_screen(struct screen *s)
{
    fclose(s->p.out);
    free(s->bytes);
}

static const char *seen(struct screen *s)
{
    static const char rest[] = "\033[K";
    fflush(s->p.out);
    for (size_t x = strlen(s->line); s->at < s->n;) {
        const char *c = s->bytes + s->at;
        if (*c == '\r') {
            x = 0, s->at++;
        } else if (!strncmp(c, rest, sizeof rest - 1)) {
            s->line[x] = 0, s->at += sizeof rest - 1;
        } else {
            assert_true(x < sizeof s->line - 1);
            s->line[x++] = *c, s->at++;
        }
    }
    return s->line;
}

static void tick(struct screen *s, double at_s, const char *what, const char *unit, unsigned done, unsigned total)
{
    progress_show(&s->p, what, unit, done, total, (uint64_t)(at_s * 1e9) + 1000000000);
}

static void what_is_short_shows_nothing(void **state)
{
    (void)state;
    struct screen s;
    open_screen(&s);
    for (unsigned i = 0; i <= 39; i++) tick(&s, i * .01, "loading", NULL, i, 40);
    progress_clear(&s.p);
    tick(&s, .5, "reading the prompt", "tokens", 0, 10); /* another one begins */
    tick(&s, .8, "reading the prompt", "tokens", 9, 10);
    progress_clear(&s.p);
    fflush(s.p.out);
    assert_int_equal(s.n, 0);
    close_screen(&s);
}

static void one_line_is_written_over_and_goes(void **state)
{
    (void)state;
    struct screen s;
    open_screen(&s);
    tick(&s, 0, "loading", NULL, 0, 1000);
    tick(&s, .5, "loading", NULL, 105, 1000);
    assert_string_equal(seen(&s), "loading 10 %");
    tick(&s, .55, "loading", NULL, 200, 1000); /* not so often */
    assert_string_equal(seen(&s), "loading 10 %");
    tick(&s, .7, "loading", NULL, 1000, 1000);
    assert_string_equal(seen(&s), "loading 100 %");
    progress_clear(&s.p);
    assert_string_equal(seen(&s), "");
    size_t n = s.n;
    progress_clear(&s.p); /* nothing is there: nothing is written */
    fflush(s.p.out);
    assert_int_equal(s.n, n);
    tick(&s, 1, "reading the prompt", "tokens", 0, 2829);
    tick(&s, 1.5, "reading the prompt", "tokens", 1024, 2829);
    assert_string_equal(seen(&s), "reading the prompt: 1024 of 2829 tokens");
    tick(&s, 3, "writing", "tokens", 7, 0);
    tick(&s, 4, "writing", "tokens", 8, 0);
    assert_string_equal(seen(&s), "writing: 8 tokens");
    close_screen(&s);
}

static void the_time_left_stands_where_it_takes_over_ten_seconds(void **state)
{
    (void)state;
    struct screen s;
    open_screen(&s);
    tick(&s, 0, "reading", "tokens", 100, 1100); /* a hundred were known: they took no time */
    tick(&s, 2, "reading", "tokens", 100, 1100);
    assert_string_equal(seen(&s), "reading: 100 of 1100 tokens");
    tick(&s, 4, "reading", "tokens", 300, 1100);
    assert_string_equal(seen(&s), "reading: 300 of 1100 tokens, 16 s left");
    tick(&s, 5, "reading", "tokens", 300, 1100); /* it goes on while nothing is new */
    assert_string_equal(seen(&s), "reading: 300 of 1100 tokens, 15 s left");
    tick(&s, 60, "reading", "tokens", 300, 1100);
    assert_string_equal(seen(&s), "reading: 300 of 1100 tokens, 0 s left");
    tick(&s, 100, "window", "windows", 0, 20);
    tick(&s, 100.9, "window", "windows", 2, 20);
    assert_string_equal(seen(&s), "window: 2 of 20 windows"); /* 9 s in all */
    tick(&s, 200, "slow", "windows", 0, 100);
    tick(&s, 203, "slow", "windows", 1, 100);
    assert_string_equal(seen(&s), "slow: 1 of 100 windows, 5 min left");
    close_screen(&s);
}

static void a_part_says_of_what(void **state)
{
    (void)state;
    struct screen s;
    open_screen(&s);
    for (int i = 0; i < 3; i++) {
        double at = i * 20.;
        progress_within(&s.p, "request", i, 10, (uint64_t)(at * 1e9) + 1000000000);
        tick(&s, at, "reading", "tokens", 0, 50);
        tick(&s, at + 1, "reading", "tokens", 50, 50);
        progress_part_over(&s.p);
        assert_non_null(strstr(seen(&s), "reading: 50 of 50 tokens")); /* it may go on at once */
        progress_clear(&s.p);
        tick(&s, at + 1.2, "writing", "tokens", 3, 0); /* it need not wait again */
    }
    assert_string_equal(seen(&s), "request 3 of 10; writing: 3 tokens, 3 min left");
    progress_within(&s.p, "check:", 0, 0, 60000000000);
    tick(&s, 60, "writing", "tokens", 9, 0);
    assert_string_equal(seen(&s), "check: writing: 9 tokens");
    progress_within(&s.p, NULL, 0, 0, 0);
    tick(&s, 100, "loading", NULL, 0, 2);
    tick(&s, 101, "loading", NULL, 1, 2);
    assert_string_equal(seen(&s), "loading 50 %");
    progress_part_over(&s.p);
    assert_string_equal(seen(&s), "");
    close_screen(&s);
}

static void the_line_is_no_longer_than_the_terminal_is_wide(void **state)
{
    (void)state;
    struct screen s;
    open_screen(&s);
    progress_within(&s.p, "a very long name of what all this is only a part of, it is", 1, 10, 1);
    tick(&s, 5, "and the part has a long name, too", "of them, which go on", 1, 100);
    assert_int_equal(strlen(seen(&s)), 79); /* of 80, where nobody says how wide it is */
    close_screen(&s);
}

static void without_a_terminal_nothing_is_written(void **state)
{
    (void)state;
    struct progress p = {0};
    progress_show(&p, "loading", NULL, 0, 10, 0);
    progress_show(&p, "loading", NULL, 5, 10, UINT64_MAX);
    progress_clear(&p);
    assert_false(p.drawn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_short_shows_nothing),
        cmocka_unit_test(one_line_is_written_over_and_goes),
        cmocka_unit_test(the_time_left_stands_where_it_takes_over_ten_seconds),
        cmocka_unit_test(a_part_says_of_what),
        cmocka_unit_test(the_line_is_no_longer_than_the_terminal_is_wide),
        cmocka_unit_test(without_a_terminal_nothing_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
