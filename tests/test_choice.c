/* What a stream shows, token by token, and what a whole reply shows, are the same text: no part ends inside a
 * character, and none shows what becomes a stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/serve/choice.h"
#include "tests/lib/toy_vocab.h"

enum { PARTS_MOST = 16 };

static struct {
    struct toy toy;
    struct gguf g;
    struct tokenizer *t;
} w;

static int set_up(void **state)
{
    (void)state;
    struct err err;
    toy_vocab(&w.toy, &(struct toy_vocab){0}); /* a token for each byte */
    toy_open(&w.toy, &w.g);
    return tokenizer_open(&w.t, &w.g, &err);
}

static int tear_down(void **state)
{
    (void)state;
    tokenizer_close(w.t);
    toy_close(&w.toy, &w.g);
    return 0;
}

/* The id of a token that is this byte. */
static int32_t id_of(char byte)
{
    int32_t *ids = NULL, id;
    size_t n = 0;
    struct err err;
    assert_int_equal(tokenizer_encode(w.t, &(struct tokenizer_text){.bytes = &byte, .n_bytes = 1}, &ids, &n, &err), OK);
    assert_int_equal(n, 1);
    id = *ids;
    free(ids);
    return id;
}

static const struct {
    const char *what;
    const char *answer, *stop;     /* stop NULL: none, the answer ends at its length */
    const char *parts[PARTS_MOST]; /* of the stream; "" ends none of them, NULL the list */
} rows[] = {
    {"plain text comes as it is", "abc", NULL, {"a", "b", "c"}},
    {"a character comes whole",
     "a\xF0\x9F\x90\x9F"
     "b",
     NULL,
     {"a", "\xF0\x9F\x90\x9F", "b"}},
    {"bytes that are no character are shown as one each", "\xFFz\xC3", NULL, {"\xEF\xBF\xBD", "z", "\xEF\xBF\xBD"}},
    {"a byte that breaks a character shows both", "\xC3z", NULL, {"\xEF\xBF\xBDz"}},
    {"a stop is not shown", "onetwo", "two", {"o", "n", "e", ""}},
    {"what may become a stop waits until it does not", "ottob", "tob", {"o", "t", ""}},
    {"and is shown if it did not", "otta", "tob", {"o", "t", "ta"}},
    {"a stop inside a character's tokens waits for it", "\xC3\xA4xy", "xy", {"\xC3\xA4", ""}},
    {"an answer that is nothing but its stop is empty", "xy", "xy", {""}},
};

static struct choice begin(const struct ask *ask, const struct stops *stops, int32_t *prompt, int n_limit)
{
    struct err err;
    struct request r = {.prompt = prompt, .n_prompt = 1, .settings = {.n_predict = n_limit, .stops = stops}};
    struct choice c = {.ask = ask, .t = w.t};
    assert_int_equal(seq_init(&c.seq, &r, 64, &err), OK);
    assert_int_equal(seq_start(&c.seq, 1, &err), OK);
    assert_true(choice_begin(&c, &(struct ask_prompt){0}));
    return c;
}

/* The text of an entry of "choices". */
static const char *text_of(const json_t *piece)
{
    return json_string_value(json_object_get(piece, "text"));
}

static void stream_row(size_t i)
{
    const struct ask ask = {.stream = true};
    const char *texts[] = {rows[i].stop ? rows[i].stop : ""};
    const struct stops stops = {texts, rows[i].stop != NULL, w.t};
    const char *const *part = rows[i].parts;
    int n = (int)strlen(rows[i].answer);
    int32_t prompt = id_of('p');
    struct choice c = begin(&ask, rows[i].stop ? &stops : NULL, &prompt, n);
    char all[128] = "";
    for (int k = 0; k < n; k++) {
        seq_commit(&c.seq, id_of(rows[i].answer[k]), 0, ORIGIN_BIG, NULL, 0);
        bool last = k == n - 1;
        if (last) c.seq.end = rows[i].stop && stop_reached(&stops, &c.seq) ? SEQ_STOP : SEQ_LENGTH;
        assert_true(choice_take(&c));
        if (!last && !choice_has_news(&c)) continue;
        json_t *piece = choice_piece(&c);
        if (!*part || strcmp(text_of(piece), *part++))
            fail_msg("%s: '%s' at token %d", rows[i].what, text_of(piece), k);
        strcat(all, text_of(piece));
        json_decref(piece);
    }
    if (*part) fail_msg("%s: '%s' does not come", rows[i].what, *part);
    struct ask whole_ask = {0};
    c.ask = &whole_ask;
    c.n_shown = 0;
    json_t *whole = choice_piece(&c);
    if (strcmp(text_of(whole), all)) fail_msg("%s: as a whole '%s'", rows[i].what, text_of(whole));
    json_decref(whole);
    choice_free(&c);
}

static void parts_of_a_stream_are_the_whole_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) stream_row(i);
}

static void every_token_is_told_once_with_its_place(void **state)
{
    (void)state;
    const struct ask ask = {.stream = true, .logprobs = true};
    const char answer[] = "a\xC3\xA4z";
    int32_t prompt = id_of('p');
    struct choice c = begin(&ask, NULL, &prompt, 4);
    int n_told = 0, offsets[4] = {0};
    for (int k = 0; k < 4; k++) {
        seq_commit(&c.seq, id_of(answer[k]), -(float)k, k ? ORIGIN_DRAFT : ORIGIN_BIG, NULL, 0);
        if (k == 3) c.seq.end = SEQ_LENGTH;
        assert_true(choice_take(&c));
        if (!choice_has_news(&c)) continue;
        json_t *piece = choice_piece(&c), *told = json_object_get(piece, "logprobs");
        for (size_t i = 0; i < json_array_size(json_object_get(told, "ids")); i++) {
            double lp = json_number_value(json_array_get(json_object_get(told, "token_logprobs"), i));
            assert_int_equal((int)-lp, n_told);
            offsets[n_told++] = (int)json_integer_value(json_array_get(json_object_get(told, "text_offset"), i));
        }
        json_decref(piece);
    }
    assert_int_equal(n_told, 4);
    const int wanted[] = {0, 1, 2, 2}; /* in characters: of the second, half is no whole one */
    assert_memory_equal(offsets, wanted, sizeof wanted);
    choice_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_a_stream_are_the_whole_answer),
        cmocka_unit_test(every_token_is_told_once_with_its_place),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
