/* What people and programs see, written to memory, with a vocabulary of six tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include "coordinator/front.h"

enum { HELLO, WORLD, EURO_1, EURO_2, BROKEN, END, N_PIECES };
static const struct gguf_str pieces[N_PIECES] = {
    [HELLO] = {"Hello", 5},  [WORLD] = {" world", 6}, [EURO_1] = {" \xe2\x82", 3},
    [EURO_2] = {"\xac!", 2}, [BROKEN] = {"a\xff", 2}, [END] = {"", 0},
};

struct gguf_str tokenizer_piece(const struct tokenizer *t, int32_t id, bool special)
{
    (void)t;
    assert_false(special);
    assert_in_range(id, 0, N_PIECES - 1);
    return pieces[id];
}

/* A front that writes to memory. */
struct scene {
    struct front *f;
    struct options o;
    char *out, *notes;
    size_t n_out, n_notes;
    struct front_io io;
};

static void scene_open(struct scene *c, int n_seqs, const char *const *names)
{
    c->io =
        (struct front_io){open_memstream(&c->out, &c->n_out), open_memstream(&c->notes, &c->n_notes), c->io.terminal};
    assert_int_equal(front_open_io(&c->f, &c->o, NULL, n_seqs, names, &c->io, NULL), OK);
}

static void scene_close(struct scene *c)
{
    front_close(c->f);
    fclose(c->io.out);
    fclose(c->io.notes);
    free(c->out);
    free(c->notes);
}

enum { PROMPT = 2, LIMIT = 16 };
struct told { /* a sequence of ours: tokens are told one by one */
    struct seq s;
    int32_t ids[LIMIT];
    float lp[LIMIT];
    uint8_t origin[LIMIT];
    struct top top[2 * LIMIT];
};

static void told_init(struct told *x, int index)
{
    *x = (struct told){.s = {.index = index, .n_prompt = PROMPT, .n_ids = PROMPT, .n_limit = LIMIT}};
    x->s.ids = x->ids, x->s.lp = x->lp, x->s.origin = x->origin;
    x->s.stats = (struct seq_stats){.start_ns = 1000000000};
}

static void tell(struct told *x, int32_t id, enum origin origin)
{
    struct seq *s = &x->s;
    s->ids[s->n_ids] = id;
    s->lp[s->n_ids] = -0.1f * (float)s->n_ids;
    s->origin[s->n_ids++] = origin;
    s->stats.last_ns = 1000000000 + 500000000 * (uint64_t)seq_n_generated(s);
    if (seq_n_generated(s) == 1) s->stats.first_ns = s->stats.last_ns;
}

static void text_is_shown_as_it_is_accepted(void **state)
{
    (void)state;
    struct scene c = {0};
    struct told x;
    scene_open(&c, 1, NULL);
    told_init(&x, 0);
    tell(&x, HELLO, ORIGIN_BIG);
    assert_int_equal(front_tokens(c.f, &x.s, NULL), OK);
    assert_string_equal(c.out, "Hello");
    tell(&x, WORLD, ORIGIN_DRAFT);
    tell(&x, END, ORIGIN_BIG);
    assert_int_equal(front_tokens(c.f, &x.s, NULL), OK);
    assert_string_equal(c.out, "Hello world");
    assert_int_equal(front_done(c.f, &x.s, NULL), OK);
    assert_string_equal(c.out, "Hello world\n");
    assert_int_equal(c.n_notes, 0);
    scene_close(&c);
}

static void bytes_of_an_unfinished_character_wait_for_the_rest(void **state)
{
    (void)state;
    struct scene c = {0};
    struct told x;
    scene_open(&c, 1, NULL);
    told_init(&x, 0);
    tell(&x, EURO_1, ORIGIN_BIG);
    front_tokens(c.f, &x.s, NULL);
    assert_string_equal(c.out, " ");
    tell(&x, EURO_2, ORIGIN_BIG);
    front_tokens(c.f, &x.s, NULL);
    assert_string_equal(c.out, " \xe2\x82\xac!");
    tell(&x, BROKEN, ORIGIN_BIG);
    front_tokens(c.f, &x.s, NULL);
    assert_string_equal(c.out, " \xe2\x82\xac!a\xff");
    tell(&x, EURO_1, ORIGIN_BIG); /* never finished: its bytes come at the end */
    front_done(c.f, &x.s, NULL);
    assert_string_equal(c.out, " \xe2\x82\xac!a\xff \xe2\x82\n");
    scene_close(&c);
}

static void a_stop_is_never_shown(void **state)
{
    (void)state;
    static const struct {
        const char *stop, *first,
            *last; /* on standard output after "Hello" (tokens are held back whole), and when the text has ended */
        enum seq_end end;
    } rows[] = {{"o w", "", "Hell\n", SEQ_STOP},
                {"rld", "Hello", "Hello wo\n", SEQ_STOP},
                {"ox", "", "Hello world\n", SEQ_LENGTH},
                {"world!", "Hello", "Hello world\n", SEQ_LENGTH}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c = {.o = {.stops = {rows[i].stop}, .n_stops = 1}};
        struct told x;
        scene_open(&c, 1, NULL);
        told_init(&x, 0);
        tell(&x, HELLO, ORIGIN_BIG);
        front_tokens(c.f, &x.s, NULL);
        assert_string_equal(c.out, rows[i].first);
        tell(&x, WORLD, ORIGIN_DRAFT);
        x.s.end = rows[i].end;
        front_done(c.f, &x.s, NULL);
        assert_string_equal(c.out, rows[i].last);
        scene_close(&c);
    }
}

static void colours_tell_drafts_from_bigs_own(void **state)
{
    (void)state;
    struct {
        enum when when;
        bool terminal, colored;
    } rows[] = {
        {WHEN_AUTO, true, true}, {WHEN_AUTO, false, false}, {WHEN_ALWAYS, false, true}, {WHEN_NEVER, true, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c = {.o = {.color = rows[i].when}, .io = {.terminal = rows[i].terminal}};
        struct told x;
        scene_open(&c, 1, NULL);
        told_init(&x, 0);
        tell(&x, HELLO, ORIGIN_BIG);
        tell(&x, WORLD, ORIGIN_DRAFT);
        tell(&x, WORLD, ORIGIN_DRAFT);
        tell(&x, HELLO, ORIGIN_CORRECTION);
        front_done(c.f, &x.s, NULL);
        assert_string_equal(c.out, rows[i].colored ? "Hello\033[32m world world\033[33mHello\033[0m\n"
                                                   : "Hello world worldHello\n");
        scene_close(&c);
    }
}

static void several_texts_come_out_in_input_order(void **state)
{
    (void)state;
    struct scene c = {0};
    struct told x[3];
    const char *names[] = {"first", NULL, "third"};
    scene_open(&c, 3, names);
    for (int i = 0; i < 3; i++) told_init(&x[i], i);
    tell(&x[2], HELLO, ORIGIN_BIG);
    front_done(c.f, &x[2].s, NULL);
    tell(&x[1], WORLD, ORIGIN_BIG);
    front_tokens(c.f, &x[1].s, NULL);
    assert_int_equal(c.n_out, 0);
    tell(&x[0], HELLO, ORIGIN_BIG);
    front_tokens(c.f, &x[0].s, NULL);
    assert_string_equal(c.out, "Hello");
    front_done(c.f, &x[0].s, NULL);
    assert_string_equal(c.out, "Hello\n world"); /* the next one streams at once */
    tell(&x[1], WORLD, ORIGIN_BIG);
    front_done(c.f, &x[1].s, NULL);
    assert_string_equal(c.out, "Hello\n world world\nHello\n");
    assert_string_equal(c.notes, "== first\n== 1\n== third\n");
    scene_close(&c);
}

static void a_line_of_json_gives_every_float_back(void **state)
{
    (void)state;
    struct scene c = {.o = {.output = OUT_JSONL}};
    struct told x;
    const char *names[] = {"q81"};
    scene_open(&c, 1, names);
    told_init(&x, 0);
    x.s.top = x.top;
    x.s.n_top = 2;
    tell(&x, BROKEN, ORIGIN_BIG);
    tell(&x, EURO_1, ORIGIN_DRAFT);
    tell(&x, EURO_2, ORIGIN_CORRECTION);
    x.top[2 * PROMPT] = (struct top){BROKEN, -0.1f};
    x.top[2 * PROMPT + 1] = (struct top){HELLO, -INFINITY};
    x.s.end = SEQ_LENGTH;
    front_tokens(c.f, &x.s, NULL);
    assert_int_equal(c.n_out, 0);
    front_done(c.f, &x.s, NULL);
    assert_ptr_equal(strchr(c.out, '\n'), c.out + c.n_out - 1);

    json_t *line = json_loads(c.out, 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "id")), "q81");
    assert_string_equal(json_string_value(json_object_get(line, "text")), "a\xef\xbf\xbd \xe2\x82\xac!");
    assert_string_equal(json_string_value(json_object_get(line, "end")), "length");
    assert_int_equal(json_integer_value(json_object_get(line, "prompt_tokens")), PROMPT);
    const char *origins[] = {"big", "draft", "correction"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(json_integer_value(json_array_get(json_object_get(line, "ids"), i)), x.ids[PROMPT + i]);
        float lp = (float)json_real_value(json_array_get(json_object_get(line, "logprobs"), i));
        assert_memory_equal(&lp, &x.lp[PROMPT + i], sizeof lp);
        assert_string_equal(json_string_value(json_array_get(json_object_get(line, "origin"), i)), origins[i]);
    }
    json_t *top = json_array_get(json_object_get(line, "top"), 0);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(top, 0), 0)), BROKEN);
    assert_true(json_is_null(json_array_get(json_array_get(top, 1), 1)));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(line, "stats"), "tokens")), 3);
    json_decref(line);
    scene_close(&c);
}

static void the_closing_line_counts_what_it_cost(void **state)
{
    (void)state;
    struct scene c = {0};
    struct told x;
    scene_open(&c, 1, NULL);
    told_init(&x, 0);
    for (int i = 0; i < 5; i++) tell(&x, WORLD, i ? ORIGIN_DRAFT : ORIGIN_BIG);
    x.s.stats.n_verifies = 2, x.s.stats.n_drafted = 8, x.s.stats.n_judged = 5, x.s.stats.n_accepted = 4;
    x.s.stats.draft_ns = 800000000, x.s.stats.verify_ns = 1900000000, x.s.stats.wait_ns = 10000000;
    front_done(c.f, &x.s, NULL);
    front_finish(c.f, 4000000000, false, NULL);
    assert_string_equal(c.notes,
                        "2.0 token/s, first token after 0.50 s; drafts: 4 of 8 accepted (50 %; 80 % of 5 judged), "
                        "2.0 tokens a verify; draft 0.80 s, verify 1.90 s, network 0.01 s\n");
    scene_close(&c);
}

static void totals_run_from_the_first_token_of_any_to_the_last(void **state)
{
    (void)state;
    struct scene c = {.o = {.stats = true}};
    struct told x[2];
    const char *names[] = {"a", "b"};
    scene_open(&c, 2, names);
    for (int i = 0; i < 2; i++) {
        told_init(&x[i], i);
        tell(&x[i], HELLO, ORIGIN_BIG);
        tell(&x[i], WORLD, ORIGIN_BIG);
        front_done(c.f, &x[i].s, NULL);
    }
    x[1].s.stats.last_ns += 500000000;
    front_finish(c.f, 3500000000, false, NULL);
    assert_non_null(
        strstr(c.notes, "\n2 prompts, 4 tokens in 2.5 s; 3.0 token/s, first token after 0.50 s (mean); draft"));
    assert_non_null(strstr(c.notes, "\na "));
    assert_non_null(strstr(c.notes, "\nall "));
    scene_close(&c);
}

static void an_interrupted_text_is_kept(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        struct scene c = {.o = {.output = json ? OUT_JSONL : OUT_TEXT}};
        struct told x[2];
        scene_open(&c, 3, NULL); /* the third never began */
        for (int i = 0; i < 2; i++) {
            told_init(&x[i], i);
            tell(&x[i], HELLO, ORIGIN_BIG);
            front_tokens(c.f, &x[i].s, NULL);
        }
        front_finish(c.f, 2000000000, true, NULL);
        if (!json)
            assert_string_equal(c.out, "Hello\nHello\n");
        else
            assert_non_null(strstr(c.out, "\"end\": \"aborted\""));
        assert_non_null(strstr(c.notes, "interrupted; "));
        scene_close(&c);
    }
}

static void a_write_that_fails_is_an_error(void **state)
{
    (void)state;
    struct scene c = {.io = {.out = fopen("/dev/full", "w"), .notes = stderr}};
    struct told x;
    struct err err = {0};
    if (!c.io.out) skip();
    assert_int_equal(front_open_io(&c.f, &c.o, NULL, 1, NULL, &c.io, NULL), OK);
    told_init(&x, 0);
    tell(&x, HELLO, ORIGIN_BIG);
    assert_int_equal(front_tokens(c.f, &x.s, &err), E_FAIL);
    assert_non_null(strstr(err.text, "standard output: No space left on device"));
    front_close(c.f);
    fclose(c.io.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_shown_as_it_is_accepted),
        cmocka_unit_test(bytes_of_an_unfinished_character_wait_for_the_rest),
        cmocka_unit_test(a_stop_is_never_shown),
        cmocka_unit_test(colours_tell_drafts_from_bigs_own),
        cmocka_unit_test(several_texts_come_out_in_input_order),
        cmocka_unit_test(a_line_of_json_gives_every_float_back),
        cmocka_unit_test(the_closing_line_counts_what_it_cost),
        cmocka_unit_test(totals_run_from_the_first_token_of_any_to_the_last),
        cmocka_unit_test(an_interrupted_text_is_kept),
        cmocka_unit_test(a_write_that_fails_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
