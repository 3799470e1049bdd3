#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/option_table.h"
#include "coordinator/template.h"
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
    size_t n_user = n_text - (size_t)(user - text) - strlen(after), n = 0;
    char *got = template_render(t, NULL, NULL, user, n_user, &n);
    assert_non_null(got);
    if (n != n_text || memcmp(got, text, n) != 0) fail_msg("%s: rendered as \"%.*s\"", what, (int)n, got);
    free(got);
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
        assert_int_equal(template_find(&t, &g), TEMPLATE_OK);
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

static const struct {
    const char *name, *text; /* NULL: no template in the file */
    enum template_found found;
    const char *system;
} rows[] = {
    {"no template", NULL, TEMPLATE_NONE, ""},
    {"an empty template", "", TEMPLATE_NONE, ""},
    {"no default system message", LOOP, TEMPLATE_OK, ""},
    {"double quotes, and dots for keys",
     "{%- for message in messages -%}{{\"<|im_start|>\"+message.role+\"\\n\"+message.content+\"<|im_end|>\\n\"}}"
     "{%- endfor -%}{{\"<|im_start|>assistant\\n\"}}",
     TEMPLATE_OK, ""},
    {"a line end written as two characters", "{{ '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}" LOOP, TEMPLATE_OK,
     "Be brief."},
    {"a line end as it is", "{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}" LOOP, TEMPLATE_OK, "Be brief."},
    {"escapes inside the message", "{{ '<|im_start|>system\\nDon\\'t.\\n\\tGo \\\\ on.<|im_end|>\\n' }}" LOOP,
     TEMPLATE_OK, "Don't.\n\tGo \\ on."},
    {"the other quotes inside the message", "{{ \"<|im_start|>system\\nI'm here.<|im_end|>\\n\" }}" LOOP, TEMPLATE_OK,
     "I'm here."},
    {"a message outside any expression", "<|im_start|>system\nBe 'brief'.<|im_end|>\n" LOOP, TEMPLATE_OK,
     "Be 'brief'."},
    {"a message that is an expression is not the default",
     "{{ '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}" LOOP, TEMPLATE_OK, ""},
    {"nor is one outside quotes", "<|im_start|>system\n{{ messages[0]['content'] }}<|im_end|>\n" LOOP, TEMPLATE_OK, ""},
    {"the default behind an expression",
     "{{ '<|im_start|>system\\n' + system + '<|im_end|>\\n' }}{{ '<|im_start|>system\\nSo.<|im_end|>\\n' }}" LOOP,
     TEMPLATE_OK, "So."},
    {"another form of chat", "{% for message in messages %}[INST] {{ message['content'] }} [/INST]{% endfor %}",
     TEMPLATE_UNKNOWN, ""},
    {"the marks of ChatML without its loop", "<|im_start|>{{ prompt }}<|im_end|><|im_start|>assistant",
     TEMPLATE_UNKNOWN, ""},
    {"a role that is no message's",
     "{% for message in messages %}{{ '<|im_start|>' + role + '<|im_end|>' }}{% endfor %}<|im_start|>assistant",
     TEMPLATE_UNKNOWN, ""},
    {"an opening that nothing follows", "<|im_start|>system" LOOP "<|im_start|>system", TEMPLATE_OK, ""},
};

static void chatml_is_recognised_with_its_default_system_message(void **state)
{
    (void)state;
    for (size_t i = 0; i < N(rows); i++) {
        struct toy toy = {0};
        struct gguf g;
        struct template t = {0};
        if (rows[i].text) toy_str(&toy, "tokenizer.chat_template", rows[i].text);
        toy_open(&toy, &g);
        enum template_found found = template_find(&t, &g);
        if (found != rows[i].found) fail_msg("%s: found %d, expected %d", rows[i].name, found, rows[i].found);
        if (strcmp(t.system, rows[i].system) != 0) fail_msg("%s: \"%s\"", rows[i].name, t.system);
        toy_close(&toy, &g);
    }
}

static void a_default_system_message_that_is_too_long_is_not_cut(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        enum template_found found;
    } lengths[] = {{511, TEMPLATE_OK}, {512, TEMPLATE_UNKNOWN}};
    for (size_t i = 0; i < N(lengths); i++) {
        struct toy toy = {0};
        struct gguf g;
        struct template t = {0};
        char message[1024] = {0}, text[2048];
        memset(message, 'x', lengths[i].n);
        snprintf(text, sizeof text, "{{ '<|im_start|>system\\n%s<|im_end|>\\n' }}%s", message, LOOP);
        toy_str(&toy, "tokenizer.chat_template", text);
        toy_open(&toy, &g);
        assert_int_equal(template_find(&t, &g), lengths[i].found);
        assert_int_equal(strlen(t.system), lengths[i].found == TEMPLATE_OK ? lengths[i].n : 0);
        toy_close(&toy, &g);
    }
}

static void a_system_message_can_be_given_or_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *by_default, *given, *text;
    } prompts[] = {
        {"Be brief.", NULL,
         "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"},
        {"Be brief.", "Sing.",
         "<|im_start|>system\nSing.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"},
        {"Be brief.", "", "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"},
        {"", NULL, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"},
    };
    for (size_t i = 0; i < N(prompts); i++) {
        struct template t;
        struct err err;
        size_t n;
        assert_int_equal(template_named(&t, "chatml", &err), OK);
        strcpy(t.system, prompts[i].by_default);
        char *got = template_render(&t, NULL, prompts[i].given, "hi there", 2, &n);
        assert_non_null(got);
        assert_string_equal(got, prompts[i].text);
        assert_int_equal(n, strlen(got));
        free(got);
    }
}

static void an_unknown_name_is_refused_and_the_known_ones_named(void **state)
{
    (void)state;
    struct template t;
    struct err err;
    assert_int_equal(template_named(&t, "gemma", &err), OK);
    assert_string_equal(t.end, "<end_of_turn>");
    assert_int_equal(template_named(&t, "alpaca", &err), E_USAGE);
    assert_string_equal(err.text,
                        "no chat template is called alpaca; there are chatml, llama3, gemma, phi3, zephyr, llama2, "
                        "mistral-v1, mistral, mistral-v3, mistral-tekken, deepseek");
}

static void help_names_each_of_them(void **state)
{
    (void)state;
    struct template t;
    struct err err;
    const struct option *o = option_table;
    while (strcmp(o->name, "template") != 0) o++;
    assert_int_equal(template_named(&t, "alpaca", &err), E_USAGE);
    char *rest = strstr(err.text, "there are ") + strlen("there are "), *name;
    int n = 0;
    for (; (name = strtok_r(rest, ", ", &rest)); n++)
        if (!strstr(o->help, name)) fail_msg("--help does not name the template %s", name);
    assert_int_equal(n, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_chats_are_rendered_byte_for_byte),
        cmocka_unit_test(chatml_is_recognised_with_its_default_system_message),
        cmocka_unit_test(a_default_system_message_that_is_too_long_is_not_cut),
        cmocka_unit_test(a_system_message_can_be_given_or_left_out),
        cmocka_unit_test(an_unknown_name_is_refused_and_the_known_ones_named),
        cmocka_unit_test(help_names_each_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
