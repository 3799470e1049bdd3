/* What the fields of a request become: the settings of its answers. What is refused is in serve.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/serve/ask.h"
#include "tests/lib/toy_vocab.h"

enum { CTX = 200, DRAWN = 99 };

static struct {
    struct toy toy;
    struct gguf g;
    struct tokenizer *t;
    struct stops stops; /* of the options; its texts go with them */
} w;

static int set_up(void **state)
{
    static const struct toy_token extra[] = {{"<|im_start|>", 3}, {"<|im_end|>", 3}, {NULL, 0}};
    struct err err;
    (void)state;
    toy_vocab(&w.toy, &(struct toy_vocab){.extra = extra});
    toy_int(&w.toy, "tokenizer.ggml.eos_token_id", 257);
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

/* As a server that was started with these options, words parted by spaces, reads a body; `more` are its fields beside
 * the prompt. */
static int read_with(struct ask *a, const char *options, enum ask_kind kind, const char *more, struct refusal *why)
{
    char line[256], body[512], *argv[32] = {"pilotfish", "serve", "--template", "chatml"}, *rest = line;
    int argc = 4;
    struct options o;
    struct prompt_encoder encoder;
    struct err err;
    snprintf(line, sizeof line, "%s", options);
    for (char *word; (word = strsep(&rest, " "));)
        if (*word) argv[argc++] = word;
    assert_int_equal(options_parse(&o, argc, argv, &err), OK);
    assert_int_equal(prompt_encoder_init(&encoder, &o, &w.g, w.t, CTX, &err), OK);
    w.stops = (struct stops){o.stops, o.n_stops, w.t};
    const struct ask_from from = {&o, &w.stops, &encoder, "toy", DRAWN};
    snprintf(body, sizeof body, "{%s%s}",
             kind == ASK_CHAT ? "\"messages\": [{\"role\": \"user\", \"content\": \"ab\"}]" : "\"prompt\": \"ab\"",
             more);
    int rc = ask_read(a, kind, body, strlen(body), &from, why);
    options_free(&o);
    return rc;
}

/* The settings as words. */
static void words_of(const struct ask *a, char out[256])
{
    static const char *const rules[] = {[RULE_EXACT] = "exact", [RULE_STRICT] = "strict", [RULE_REPO] = "repo"};
    const struct settings *s = &a->settings;
    int n = snprintf(out, 256, "n %d, %s, %s, window %d, fallback %g", s->n_predict, rules[s->rule.kind],
                     s->drafting ? "drafts" : "no drafts", s->draft_max, (double)s->fallback);
    if (s->sampler.temp > 0)
        n += snprintf(out + n, 256 - (size_t)n, ", temp %g, top_p %g, seed %u", (double)s->sampler.temp,
                      (double)s->sampler.top_p, s->sampler.seed);
    if (s->sampler.top_k) n += snprintf(out + n, 256 - (size_t)n, ", top_k %u", (unsigned)s->sampler.top_k);
    if (settings_lossy(s)) n += snprintf(out + n, 256 - (size_t)n, ", rollback %g", (double)s->rule.rollback);
    if (!s->n_end_ids) n += snprintf(out + n, 256 - (size_t)n, ", no ends");
    for (int i = 0; s->stops && i < s->stops->n; i++)
        n += snprintf(out + n, 256 - (size_t)n, ", stop %s", a->stops ? s->stops->texts[i] : "of the options");
    if (s->n_top) n += snprintf(out + n, 256 - (size_t)n, ", top %d", s->n_top);
    if (s->draft_plan) snprintf(out + n, 256 - (size_t)n, ", plan %d", s->draft_plan);
}

static const struct {
    const char *options, *more, *words;
} rows[] = {
    {"--draft suffix", "", "n 0, exact, drafts, window 8, fallback 0"},
    {"--draft suffix -n 5 --stop x", "", "n 5, exact, drafts, window 8, fallback 0, stop of the options"},
    {"--draft suffix -n 5 --stop x", ", \"max_tokens\": 7, \"stop\": [\"y\", \"z\"]",
     "n 7, exact, drafts, window 8, fallback 0, stop y, stop z"},
    {"--draft suffix", ", \"max_completion_tokens\": 7", "n 7, exact, drafts, window 8, fallback 0"},
    {"--draft suffix", ", \"max_tokens\": 9, \"max_completion_tokens\": 7", "n 7, exact, drafts, window 8, fallback 0"},
    {"--draft suffix", ", \"max_tokens\": 9, \"max_completion_tokens\": null",
     "n 9, exact, drafts, window 8, fallback 0"},
    {"--draft suffix", ", \"temperature\": 0.5, \"top_p\": 0.25",
     "n 0, exact, drafts, window 8, fallback 0, temp 0.5, top_p 0.25, seed 99"},
    {"--draft suffix", ", \"temperature\": 0.5, \"seed\": 7",
     "n 0, exact, drafts, window 8, fallback 0, temp 0.5, top_p 1, seed 7"},
    {"--draft suffix --temp 0.5 --seed 3", "", "n 0, exact, drafts, window 8, fallback 0, temp 0.5, top_p 1, seed 3"},
    {"--draft suffix --temp 0.5 --seed 3 --top-k 5", ", \"top_k\": 6",
     "n 0, exact, drafts, window 8, fallback 0, temp 0.5, top_p 1, seed 3, top_k 6"},
    {"--draft suffix --temp 0.5 --seed 3 --top-k 5", ", \"top_k\": -1",
     "n 0, exact, drafts, window 8, fallback 0, temp 0.5, top_p 1, seed 3"},
    {"--draft suffix --temp 0.5", ", \"temperature\": 0", "n 0, exact, drafts, window 8, fallback 0"},
    {"--draft suffix", ", \"temperature\": null, \"seed\": null, \"stop\": null, \"max_tokens\": null",
     "n 0, exact, drafts, window 8, fallback 0"},
    {"--draft suffix", ", \"speculative\": {\"accept\": \"bild\"}",
     "n 0, strict, drafts, window 10, fallback 0.6, rollback 3"},
    {"--draft suffix",
     ", \"speculative\": {\"accept\": \"bild\", \"n_max\": 4, \"fallback\": 0.5, \"rollback\": 2, \"rollback_rule\": "
     "\"repo\"}",
     "n 0, repo, drafts, window 4, fallback 0.5, rollback 2"},
    {"--draft suffix --accept bild", ", \"speculative\": {\"accept\": \"exact\"}",
     "n 0, exact, drafts, window 8, fallback 0"},
    {"--draft suffix", ", \"speculative\": {\"draft\": false}", "n 0, exact, no drafts, window 8, fallback 0"},
    {"--draft suffix", ", \"speculative.n_max\": 3, \"speculative.p_min\": 0.25",
     "n 0, exact, drafts, window 3, fallback 0.25"},
    {"--draft suffix", ", \"speculative.draft\": false", "n 0, exact, no drafts, window 8, fallback 0"},
    {"--draft suffix", ", \"speculative\": {\"draft\": true}, \"speculative.draft\": false",
     "n 0, exact, drafts, window 8, fallback 0"},
    {"", ", \"speculative\": {\"n_max\": 3}", "n 0, exact, no drafts, window 3, fallback 0"},
    {"--draft-plan half=layerskip:1", ", \"speculative\": {\"plan\": \"half\"}",
     "n 0, exact, drafts, window 8, fallback 0"},
    {"--draft-plan half=layerskip:1", ", \"speculative.plan\": \"none\"",
     "n 0, exact, no drafts, window 8, fallback 0"},
    {"--draft-plan half=layerskip:1", ", \"speculative\": {\"plan\": null}",
     "n 0, exact, drafts, window 8, fallback 0"},
    {"--draft-plan half=layerskip:1", ", \"speculative\": {\"plan\": \"half\", \"draft\": false}",
     "n 0, exact, no drafts, window 8, fallback 0"},
    {"--draft-plan half=layerskip:1 --draft-plan most=skip:1", ", \"speculative\": {\"plan\": \"most\"}",
     "n 0, exact, drafts, window 8, fallback 0, plan 1"},
    {"--draft-plan half=layerskip:1 --draft-plan most=skip:1", ", \"speculative.plan\": \"half\"",
     "n 0, exact, drafts, window 8, fallback 0"},
    {"--draft-plan half=layerskip:1 --draft-plan most=skip:1",
     ", \"speculative\": {\"plan\": \"most\", \"accept\": \"bild\"}",
     "n 0, strict, drafts, window 10, fallback 0.6, rollback 3, plan 1"},
    {"--draft suffix", ", \"speculative\": {\"plan\": \"none\"}", "n 0, exact, drafts, window 8, fallback 0"},
    {"--draft-plan swift", ", \"speculative\": {\"plan\": \"none\", \"accept\": \"bild\"}",
     "n 0, strict, no drafts, window 10, fallback 0.6, rollback 3"},
    {"--draft-plan swift", ", \"speculative\": {\"draft\": false, \"accept\": \"bild\"}",
     "n 0, strict, no drafts, window 10, fallback 0.6, rollback 3"},
    {"", ", \"ignore_eos\": true", "n 0, exact, no drafts, window 8, fallback 0, no ends"},
    {"", ", \"ignore_eos\": true, \"min_tokens\": 3", "n 0, exact, no drafts, window 8, fallback 0, no ends"},
    {"-n 5", ", \"min_tokens\": 0", "n 5, exact, no drafts, window 8, fallback 0"},
    {"-n 5", ", \"min_tokens\": 5", "n 5, exact, no drafts, window 8, fallback 0, no ends"},
};

static void fields_become_settings(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct ask a;
        struct refusal why;
        char words[256];
        size_t k = i / 2;
        if (read_with(&a, rows[k].options, i % 2 ? ASK_CHAT : ASK_COMPLETIONS, rows[k].more, &why) != OK)
            fail_msg("'%s' '%s': %s", rows[k].options, rows[k].more, why.text);
        words_of(&a, words);
        if (strcmp(words, rows[k].words)) fail_msg("'%s' '%s': %s", rows[k].options, rows[k].more, words);
        ask_free(&a);
    }
}

static void log_probabilities_are_asked_for_in_two_ways(void **state)
{
    (void)state;
    static const struct {
        enum ask_kind kind;
        const char *more;
        bool logprobs;
        int n_top;
    } ways[] = {
        {ASK_COMPLETIONS, "", false, 0},
        {ASK_COMPLETIONS, ", \"logprobs\": 0", true, 0},
        {ASK_COMPLETIONS, ", \"logprobs\": 3", true, 3},
        {ASK_COMPLETIONS, ", \"logprobs\": null", false, 0},
        {ASK_CHAT, ", \"logprobs\": true", true, 0},
        {ASK_CHAT, ", \"logprobs\": true, \"top_logprobs\": 3", true, 3},
        {ASK_CHAT, ", \"logprobs\": false, \"top_logprobs\": 0", false, 0},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct ask a;
        struct refusal why;
        if (read_with(&a, "", ways[i].kind, ways[i].more, &why) != OK) fail_msg("'%s': %s", ways[i].more, why.text);
        if (a.logprobs != ways[i].logprobs || a.settings.n_top != ways[i].n_top)
            fail_msg("'%s': %d, top %d", ways[i].more, a.logprobs, a.settings.n_top);
        ask_free(&a);
    }
}

static void a_text_is_continued_and_a_message_is_answered(void **state)
{
    (void)state;
    struct ask text, chat;
    struct refusal why;
    assert_int_equal(read_with(&text, "", ASK_COMPLETIONS, ", \"n\": 3, \"echo\": true", &why), OK);
    assert_int_equal(read_with(&chat, "", ASK_CHAT, "", &why), OK);
    assert_int_equal(text.prompts->n_ids, 2);
    assert_int_equal(ask_n_choices(&text), 3);
    assert_memory_equal(text.prompts->text, "ab", 2);
    assert_true(chat.prompts->n_ids > 10 && chat.prompts->ids[0] == 256);
    assert_null(chat.prompts->text);
    ask_free(&text);
    ask_free(&chat);
}

static void a_plan_is_known_by_its_name_alone(void **state)
{
    (void)state;
    static const struct {
        const char *options, *plan, *says;
    } refused[] = {
        {"--draft-plan half=layerskip:1", "\"layerskip:1\"", "there is no plan layerskip:1 here, only half and none"},
        {"--draft-plan half=layerskip:1", "\"hal\"", "no plan hal here"},
        {"--draft-plan half=layerskip:1 --draft-plan b=skip:1 --draft-plan c=skip:2", "\"d\"",
         "there is no plan d here, only half, b, c and none"},
        {"--draft-plan half=layerskip:1", "\"half=\"", "no plan half= here"},
        {"--draft-plan half=layerskip:1 --no-draft", "\"half\"", "no plan half here, only none"},
        {"--draft-plan layerskip:1", "\"layerskip:1\"", "no plan layerskip:1 here, only none"},
        {"--draft-plan layerskip:1", "\"\"", "here, only none"},
        {"--draft suffix", "\"half\"", "only none"},
        {"", "3", "must be a name"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct ask a;
        struct refusal why;
        char more[96];
        snprintf(more, sizeof more, ", \"speculative\": {\"plan\": %s}", refused[i].plan);
        assert_int_equal(read_with(&a, refused[i].options, ASK_CHAT, more, &why), E_USAGE);
        assert_int_equal(why.status, 400);
        assert_string_equal(why.param, "speculative.plan");
        if (!strstr(why.text, refused[i].says)) fail_msg("%s: %s", refused[i].plan, why.text);
        ask_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_become_settings),
        cmocka_unit_test(log_probabilities_are_asked_for_in_two_ways),
        cmocka_unit_test(a_plan_is_known_by_its_name_alone),
        cmocka_unit_test(a_text_is_continued_and_a_message_is_answered),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
