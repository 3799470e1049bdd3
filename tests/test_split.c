#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/text/split.h"

/* Pieces are written with | between them. */
static const struct {
    const char *name, *pre, *pieces;
} rows[] = {
    {"a space goes with its word", "qwen2", "Hello| world"},
    {"of many spaces the last goes with the word", "qwen2", "a|  | b"},
    {"spaces at the end stay together", "qwen2", "a|   "},
    {"digits stand alone", "qwen2", "x|1|2|3"},
    {"a space before a digit stands alone", "qwen2", "x| |7"},
    {"of many spaces before a digit the last stands alone", "qwen2", "x|  | |7"},
    {"endings in either case, but not behind a space", "qwen2", "I|'m|,| he|'LL|,| '|RE"},
    {"any sign goes with the word behind it", "qwen2", "(word|)_|x"},
    {"signs take the line ends behind them", "qwen2", "f|():\n\n|\t|\treturn"},
    {"spaces before line ends go with them", "qwen2", "a|  \n \n|  | b"},
    {"letters of all scripts", "qwen2", "Grüße|,| мир|!| 你好"},
    {"a mark is no letter and goes with the word behind it", "qwen2", "a|\u0301b"},
    {"digits of all scripts", "qwen2", "٣|½|Ⅷ"},
    {"a non-breaking and an ideographic space are spaces", "qwen2", "a|\u00a0|\u3000b"},
    {"U+0085 is a space, U+180E is not", "qwen2",
     "a|\xC2\x85|\xC2\x85"
     "b|.\u180e."},
    {"bytes that are no character are a piece", "qwen2", "a|\x80\xFF|b| c|\xC3"},
    {"a space before broken bytes", "qwen2", "a| |\xFE| b"},

    {"a space goes with its word", "smollm", "Hello| world"},
    {"spaces before a digit stay together", "smollm", "x|   |7|  | y"},
    {"digits stand alone", "smollm", "x|1|2|3| |4|.|5"},
    {"endings in lower case only", "smollm", "I|'m|,| he|'|LL|'ve"},
    {"a sign does not go with the word", "smollm", "(|word|)_|x"},
    {"line ends are spaces", "smollm", "f|():|\n\n\t|\t|return"},
    {"the last of spaces goes with a sign only if it is a space", "smollm", "a|\n| =|\n|="},
    {"spaces at the end stay together", "smollm", "a| \n "},

    {"digits go by three", "llama-bpe", "x|123|45| |6"},
    {"other names of the same", "llama3", "x|123|45| |6"},
    {"other names of the same", "deepseek-r1-qwen", "x|1|2|3"},
    {"words are cut before capitals, digits stand alone", "tekken", "get|Http|XMLRequest|S|1|2|3|'s|//\n"},
    {"endings go with the word", "gpt-4o", "get|HTTP's| café's|123|4| (|x|)/\n"},
    {"marks are letters", "gpt-4o", "a\u0301b| \u4e2d\u0301c"},
    {"a sign goes with ASCII letters, digits by three, han and kana alone", "deepseek-v3",
     "x|123|4|\u4e2d\u306e|.foo| é|(|é|):\n"},
    {"a mark is as good as a letter", "qwen35", "a\u0301b| e\u0301|1|2"},
    {"the rest as qwen2 has it", "llama-bpe", "I|'LL| (|x|):\n\n|  | b"},
    {"digits stay together, with a space", "gpt-2", "x|123| 456"},
    {"endings in lower case only", "gpt-2", "I|'m|,| he|'|LL"},
    {"line ends are spaces", "mpt", "f|():|\n\n\t|\t|return"},
    {"digits stand alone", "starcoder", "x| |1|2"},
    {"signs are cut off first, then words, then three digits", "falcon", "a|+=|b| |123|4|`|c"},
    {"a sign and a space", "falcon", "a|.| |\"|b|\""},
    {"three digits are cut off", "default", "a| |123|4٣٣|`|c"},
    {"line ends stand alone", "deepseek-coder", "a|\n|\n|b"},
    {"a space goes with letters and with signs, digits stand alone", "deepseek-coder", "a| b| (|c|1|2"},
    {"ideographs are cut out of words", "deepseek-coder", "你好|a"},
    {"letters with two cases are words, ideographs follow each other", "deepseek-llm", "你好|abc| d"},
    {"digits stay together, spaces at the end too", "deepseek-llm", "x|123|  "},
    {"spaces within stay with what is around them", "deepseek-llm", "a|  | b"},
};

static void pieces_are_what_the_expression_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[128], got[256];
        size_t n = 0, n_got = 0;
        for (const char *s = rows[i].pieces; *s; s++)
            if (*s != '|') text[n++] = *s;

        struct splitter splitter;
        struct split_run run;
        struct err err;
        assert_int_equal(split_open(&splitter, (struct gguf_str){rows[i].pre, strlen(rows[i].pre)}, &err), OK);
        assert_int_equal(split_run_init(&run, &splitter, &err), OK);
        split_text(&run, text, n);
        for (struct gguf_str piece;;) {
            assert_int_equal(split_next(&run, &piece, &err), OK);
            if (piece.n == 0) break;
            if (n_got > 0) got[n_got++] = '|';
            memcpy(got + n_got, piece.s, piece.n);
            n_got += piece.n;
        }
        got[n_got] = 0;
        if (strcmp(got, rows[i].pieces) != 0)
            fail_msg("%s: %s\n   got      \"%s\"\n   expected \"%s\"", rows[i].pre, rows[i].name, got, rows[i].pieces);
        split_run_free(&run);
        split_close(&splitter);
    }
}

static void an_unknown_name_is_refused_and_the_known_ones_named(void **state)
{
    (void)state;
    struct splitter splitter;
    struct err err;
    assert_int_equal(split_open(&splitter, (struct gguf_str){"bloom", 5}, &err), E_MODEL);
    assert_string_equal(
        err.text,
        "pre-tokenizer \"bloom\" is not supported (known: qwen2 deepseek-r1-qwen megrez qwen35 llama-bpe llama3 "
        "llama-v3 falcon3 pixtral dbrx smaug-bpe tekken gpt-4o llama4 smollm starcoder refact command-r "
        "gpt-2 mpt falcon default deepseek-v3 deepseek-coder deepseek-llm)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_what_the_expression_says),
        cmocka_unit_test(an_unknown_name_is_refused_and_the_known_ones_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
