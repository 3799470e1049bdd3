#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/cli/option_table.h"
#include "coordinator/text/template.h"
#include "tests/lib/real.h"
#include "tests/lib/toy_vocab.h"

#define N(rows) (sizeof(rows) / sizeof *(rows))

/* Renders the user's part of a golden prompt anew, with the default system message. */
static bool check_prompt(const struct template *t, const char *text, size_t n_text, const char *what)
{
    static const char before[] = "<|im_start|>user\n", after[] = "<|im_end|>\n<|im_start|>assistant\n";
    if (strncmp(text, "<|im_start|>", 12) != 0) return false;
    const char *user = strstr(text, before);
    assert_non_null(user);
    user += strlen(before);
    struct jinja_text got = {0};
    struct err err;
    size_t n_user = n_text - (size_t)(user - text) - strlen(after);
    if (template_render(t, NULL, (struct gguf_str){user, n_user}, &got, &err) != OK) fail_msg("%s", err.text);
    if (got.n != n_text || memcmp(got.bytes, text, n_text) != 0) fail_msg("%s: rendered as \"%s\"", what, got.bytes);
    jinja_text_free(&got);
    return true;
}

static void golden_chats_are_rendered_byte_for_byte(void **state)
{
    (void)state;
    static const char *const models[] = {"SmolLM2-135M-Instruct.Q4_1", "qwen2.5-coder-0.5b-instruct-q4_k_m",
                                         "qwen2.5-coder-1.5b-instruct-q4_k_m"};
    for (size_t i = 0; i < N(models); i++) {
        struct gguf g;
        struct template t;
        int n_chats = 0;
        size_t at;
        real_open(&g, models[i]);
        assert_int_equal(template_find(&t, &g, NULL), TEMPLATE_OK);
        assert_string_equal(t.name, "chatml");
        json_t *rows = real_golden(models[i]), *row;
        json_array_foreach(rows, at, row)
        {
            const json_t *text = json_object_get(row, "text");
            n_chats += check_prompt(&t, json_string_value(text), json_string_length(text),
                                    json_string_value(json_object_get(row, "id")));
        }
        assert_int_equal(n_chats, 7);
        json_decref(rows);
        gguf_close(&g);
    }
}

/* The usual loop and the opening of the answer, behind whatever a row puts first. */
#define LOOP                                                                                                           \
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n'}}" \
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
#define DEFAULT(text)                                                                                                  \
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\n" text "<|im_end|>\\n' }}{% endif %}"

static const struct {
    const char *name, *text; /* NULL: no template in the file */
    enum template_found found;
    const char *seen, *system, *end;
} rows[] = {
    {"no template", NULL, TEMPLATE_NONE, "", "", ""},
    {"an empty template", "", TEMPLATE_NONE, "", "", ""},
    {"no default system message", LOOP, TEMPLATE_OK, "chatml", "", "<|im_end|>"},
    {"a default system message", DEFAULT("Don\\'t.\\n\\tGo \\\\ on.") LOOP, TEMPLATE_OK, "chatml",
     "Don't.\n\tGo \\ on.", "<|im_end|>"},
    {"another form of chat", "{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}", TEMPLATE_OK,
     "the file's own", "", "[/INST]"},
    {"one turn alone", "{{ '<|user|>' + messages[0].content + '<|end|>' }}", TEMPLATE_OK, "the file's own", "", ""},
    {"the marks of ChatML without its loop", "<|im_start|>{{ prompt }}<|im_end|><|im_start|>assistant",
     TEMPLATE_UNKNOWN, "", "", ""},
    {"what is not known here", "{{ messages|tojson }}", TEMPLATE_UNKNOWN, "", "", ""},
};

static void of_text(struct toy *toy, struct gguf *g, const char *text)
{
    *toy = (struct toy){0};
    if (text) toy_str(toy, "tokenizer.chat_template", text);
    toy_open(toy, g);
}

static void a_template_shows_what_it_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < N(rows); i++) {
        struct toy toy;
        struct gguf g;
        struct err why = {0};
        struct template t = {.name = ""};
        of_text(&toy, &g, rows[i].text);
        enum template_found found = template_find(&t, &g, &why);
        if (found != rows[i].found) fail_msg("%s: found %d, expected %d", rows[i].name, found, rows[i].found);
        if (strcmp(t.name, rows[i].seen) != 0) fail_msg("%s: taken for %s", rows[i].name, t.name);
        if (strcmp(t.system, rows[i].system) != 0) fail_msg("%s: \"%s\"", rows[i].name, t.system);
        if (strcmp(t.end, rows[i].end) != 0) fail_msg("%s: ends in \"%s\"", rows[i].name, t.end);
        assert_int_equal(found == TEMPLATE_UNKNOWN, why.text[0] != 0);
        toy_close(&toy, &g);
    }
}

static void a_default_system_message_is_rendered_whole_however_long(void **state)
{
    (void)state;
    struct toy toy;
    struct gguf g;
    struct template t;
    struct err err;
    struct jinja_text got = {0};
    char message[1024] = {0}, text[2048];
    memset(message, 'x', 1000);
    snprintf(text, sizeof text, "{{ '<|im_start|>system\\n%s<|im_end|>\\n' }}%s", message, LOOP);
    of_text(&toy, &g, text);
    assert_int_equal(template_find(&t, &g, NULL), TEMPLATE_OK);
    assert_int_equal(template_render(&t, NULL, (struct gguf_str){"hi", 2}, &got, &err), OK);
    assert_non_null(strstr(got.bytes, message));
    jinja_text_free(&got);
    toy_close(&toy, &g);
}

static void a_system_message_can_be_given_or_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *text, *given, *prompt;
    } prompts[] = {
        {DEFAULT("Be brief.") LOOP, NULL,
         "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"},
        {DEFAULT("Be brief.") LOOP, "Sing.",
         "<|im_start|>system\nSing.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"},
        {DEFAULT("Be brief.") LOOP, "",
         "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"},
        {LOOP, NULL, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"},
        {LOOP, "", "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"},
    };
    for (size_t i = 0; i < N(prompts); i++) {
        struct toy toy;
        struct gguf g;
        struct template t;
        struct err err;
        struct jinja_text got = {0};
        of_text(&toy, &g, prompts[i].text);
        assert_int_equal(template_find(&t, &g, NULL), TEMPLATE_OK);
        assert_int_equal(template_render(&t, prompts[i].given, (struct gguf_str){"hi there", 2}, &got, &err), OK);
        assert_string_equal(got.bytes, prompts[i].prompt);
        assert_int_equal(got.n, strlen(got.bytes));
        jinja_text_free(&got);
        toy_close(&toy, &g);
    }
}

/* What messages brought, as it is marked: the rest is dots. */
static void check_marks(const char *source, const char *user, const char *want)
{
    struct toy toy;
    struct gguf g;
    struct template t;
    struct err err;
    struct jinja_text got = {0};
    of_text(&toy, &g, source);
    if (template_find(&t, &g, &err) != TEMPLATE_OK) fail_msg("%s: %s", source, err.text);
    if (template_render(&t, NULL, (struct gguf_str){user, strlen(user)}, &got, &err) != OK) fail_msg("%s", err.text);
    for (size_t i = 0; i < got.n; i++)
        if (!got.message[i]) got.bytes[i] = '.';
    if (strcmp(got.bytes, want) != 0) fail_msg("%s: %s, expected %s", source, got.bytes, want);
    jinja_text_free(&got);
    toy_close(&toy, &g);
}

static void what_a_message_brought_is_marked_through_all_that_is_done_with_it(void **state)
{
    (void)state;
    static const struct {
        const char *template, *user, *marked;
    } marks[] = {
        {"{{ '<a>' + messages[-1].content + '<b>' }}", "<b>", "...<b>..."},
        {"<a>{{ messages[-1]['content'] | trim }}<b>", " <b> ", "...<b>..."},
        {"{{ '<a>' ~ messages[-1].content.strip() ~ '<b>' }}", " x ", "...x..."},
        {"{{ messages[-1].content.split('|')[-1].lstrip() }}<b>", "a| <b>", "<b>..."},
        {"{{ messages[-1].content.replace('+', '<p>') }}", "a+b", "a...b"},
        {"{{ 'a+b'.replace('+', messages[-1].content) }}", "<p>", ".<p>."},
        {"{{ [messages[-1].content, 'x']|join('<j>') }}", "<j>", "<j>...."},
        {"{% for c in messages[-1].content %}{{ c }}{% endfor %}<b>", "<b>", "<b>..."},
        {"{% set x %}<a>{{ messages[-1].content }}{% endset %}{{ x }}", "<b>", "...<b>"},
        {"{% macro m(x, y='<d>') %}{{ x + y }}{% endmacro %}{{ m(messages[-1].content) }}", "<b>", "<b>..."},
        {"{{ messages[-1].content[0:] ~ messages[-1].content[1:-1]|upper }}", "abc", "abcB"},
        {"{% set ns = namespace(s='<s>') %}{% for m in messages %}{% set ns.s = ns.s + m.content %}{% endfor %}{{ ns.s "
         "}}",
         "<b>", "...<b>"},
    };
    for (size_t i = 0; i < N(marks); i++) check_marks(marks[i].template, marks[i].user, marks[i].marked);
}

static void an_unknown_name_is_refused_and_the_known_ones_named(void **state)
{
    (void)state;
    struct template t;
    struct err err;
    assert_int_equal(template_named(&t, "gemma", &err), OK);
    assert_string_equal(t.end, "<end_of_turn>");
    assert_int_equal(template_named(&t, "alpaca", &err), E_USAGE);
    assert_string_equal(
        err.text, "no chat template is called alpaca; there are chatml, llama3, llama4, gemma, phi3, phi4, phi4-mini, "
                  "granite, zephyr, llama2, mistral-v1, mistral, mistral-v3, mistral-tekken, deepseek, "
                  "deepseek-r1, deepseek-coder");
}

static void help_names_each_of_them_and_each_runs(void **state)
{
    (void)state;
    struct template t;
    struct err err, why;
    const struct option *o = option_table;
    while (strcmp(o->name, "template") != 0) o++;
    assert_int_equal(template_named(&t, "alpaca", &err), E_USAGE);
    char *rest = strstr(err.text, "there are ") + strlen("there are "), *name;
    int n = 0;
    for (; (name = strtok_r(rest, ", ", &rest)); n++) {
        if (!strstr(o->help, name)) fail_msg("--help does not name the template %s", name);
        if (template_named(&t, name, &why) != OK) fail_msg("%s: %s", name, why.text);
        if (!*t.end) fail_msg("%s: an answer has no end", name);
    }
    assert_int_equal(n, 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_chats_are_rendered_byte_for_byte),
        cmocka_unit_test(a_template_shows_what_it_does),
        cmocka_unit_test(a_default_system_message_is_rendered_whole_however_long),
        cmocka_unit_test(a_system_message_can_be_given_or_left_out),
        cmocka_unit_test(what_a_message_brought_is_marked_through_all_that_is_done_with_it),
        cmocka_unit_test(an_unknown_name_is_refused_and_the_known_ones_named),
        cmocka_unit_test(help_names_each_of_them_and_each_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
