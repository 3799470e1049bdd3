/* What Prometheus reads: sums of what answers cost, by kind and by place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/serve/counts.h"

static const uint64_t ms = 1000000;

static const struct options o = {
    .drafter = DRAFTER_PLAN, .draft_plans = {"half=layerskip:2", "most=skip:1"}, .n_draft_plans = 2};

static char *text_of(const struct counts *c, const char *model, bool vllm)
{
    char *text;
    size_t n;
    const struct counts_now now = {
        .model = model, .o = &o, .n_running = 2, .n_waiting = 3, .n_slots = 4, .ready = true};
    FILE *f = open_memstream(&text, &n);
    (vllm ? counts_put_vllm : counts_put)(c, &now, f);
    fclose(f);
    return text;
}

static void has_lines(const struct counts *c, const char *model, bool vllm, const char *const *lines)
{
    char *text = text_of(c, model, vllm);
    for (; *lines; lines++)
        if (!strstr(text, *lines)) fail_msg("no line '%s' in\n%s", *lines, text);
    free(text);
}

/* Seven tokens: big's own, a verify with two right drafts and a correction, one with a right draft, one without. */
static void add_answer(struct counts *c)
{
    const struct seq s = {.request = {.settings = {.draft_plan = 1}},
                          .n_prompt = 2,
                          .n_ids = 9,
                          .end = SEQ_LENGTH,
                          .stats = {.start_ns = 30 * ms,
                                    .first_ns = 60 * ms,
                                    .last_ns = 110 * ms,
                                    .n_prompt_rows = 1,
                                    .n_verifies = 3,
                                    .n_drafts = 2,
                                    .n_keeping = {[1] = 1, [2] = 1},
                                    .n_drafted = 5,
                                    .n_judged = 4,
                                    .n_accepted = 3}};
    counts_add(c, &s, 10 * ms, 120 * ms);
}

static void an_answer_is_counted_where_it_belongs(void **state)
{
    (void)state;
    static const char *const lines[] = {"\npilotfish_generation_tokens_total 7\n",
                                        "\npilotfish_prompt_tokens_total 2\n",
                                        "\npilotfish_cached_tokens_total 1\n",
                                        "\npilotfish_verifies_total 3\n",
                                        "\npilotfish_drafts_total 2\n",
                                        "\npilotfish_drafted_tokens_total 5\n",
                                        "\npilotfish_accepted_tokens_total 3\n",
                                        "\npilotfish_plan_drafted_tokens_total{plan=\"half\",depth=\"2\"} 0\n",
                                        "\npilotfish_plan_drafted_tokens_total{plan=\"most\"} 5\n",
                                        "\npilotfish_plan_accepted_tokens_total{plan=\"most\"} 3\n",
                                        "\npilotfish_accepted_tokens_at_total{position=\"0\"} 2\n",
                                        "\npilotfish_accepted_tokens_at_total{position=\"1\"} 1\n",
                                        "\npilotfish_answers_total{end=\"length\"} 1\n",
                                        "\npilotfish_answers_running 2\n",
                                        "\npilotfish_answers_waiting 3\n",
                                        "\npilotfish_queue_seconds_bucket{le=\"0.01\"} 0\n",
                                        "\npilotfish_queue_seconds_bucket{le=\"0.025\"} 1\n",
                                        "\npilotfish_first_token_seconds_sum 0.05",
                                        "\npilotfish_token_seconds_bucket{le=\"+Inf\"} 1\n",
                                        "\npilotfish_token_seconds_count 1\n",
                                        "\npilotfish_between_tokens_seconds_bucket{le=\"0.005\"} 2\n",
                                        "\npilotfish_between_tokens_seconds_count 2\n",
                                        NULL};
    struct counts c = {0};
    add_answer(&c);
    counts_add_tokens(&c, 2, 8000000);
    has_lines(&c, "toy", false, lines);
}

static void a_model_of_any_name_is_a_label(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "\nvllm:generation_tokens_total{model_name=\"a\\\"b\\\\c\"} 7\n",
        "\nvllm:spec_decode_num_drafts_total{model_name=\"a\\\"b\\\\c\"} 2\n",
        "\nvllm:time_to_first_token_seconds_bucket{model_name=\"a\\\"b\\\\c\",le=\"0.05\"} 1\n",
        "\nvllm:num_requests_waiting{model_name=\"a\\\"b\\\\c\"} 3\n", NULL};
    struct counts c = {0};
    add_answer(&c);
    has_lines(&c, "a\"b\\c", true, lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_counted_where_it_belongs),
        cmocka_unit_test(a_model_of_any_name_is_a_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
