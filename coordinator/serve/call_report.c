#include "coordinator/serve/call_report.h"

#include "coordinator/cli/marks.h"
#include "coordinator/cli/stats.h"
#include "coordinator/text/json_text.h"

json_t *report_usage(const struct ask *ask, const struct choice *choices)
{
    json_int_t n_prompt = 0, n_cached = 0, n_tokens = 0;
    for (int i = 0; i < ask_n_choices(ask); i++) {
        const struct seq *s = &choices[i].seq;
        n_tokens += seq_n_generated(s);
        if (i % ask->n_each) continue;
        n_prompt += s->n_prompt;
        n_cached += s->n_prompt - (json_int_t)s->stats.n_prompt_rows;
    }
    return json_pack("{sI sI sI s{sI}}", "prompt_tokens", n_prompt, "completion_tokens", n_tokens, "total_tokens",
                     n_prompt + n_tokens, "prompt_tokens_details", "cached_tokens", n_cached);
}

/* How many verifies kept 0, 1, 2, ... of their drafts: as far as the window, or as one of them went beyond it. */
static json_t *histogram(const struct stats *t, int window)
{
    json_t *list = json_array();
    int n = DRAFTS_MOST, lost = 0;
    while (n > window && !t->n_keeping[n]) n--;
    for (int i = 0; i <= n; i++) lost |= json_array_append_new(list, json_integer((json_int_t)t->n_keeping[i]));
    return json_unless(lost, list);
}

/* vLLM's fields (docs/features/speculative_decoding/acceptance_metrics.md there), and what it has no name for. */
static json_t *speculative(const struct stats *t, int window)
{
    json_t *list = histogram(t, window);
    int n_most = (int)json_array_size(list) - 1;
    return json_pack("{sf sf so sI sI sI si sI sI sI}", "mean_acceptance_length",
                     1 + stats_ratio((double)t->n_accepted, (double)t->n_drafts), "draft_acceptance_rate",
                     stats_ratio((double)t->n_accepted, (double)t->n_drafted), "acceptance_histogram", list,
                     "num_spec_steps", (json_int_t)t->n_drafts, "num_accepted_draft_tokens", (json_int_t)t->n_accepted,
                     "num_draft_tokens", (json_int_t)t->n_drafted, "num_spec_tokens", n_most, "num_judged_tokens",
                     (json_int_t)t->n_judged, "num_late_tokens", (json_int_t)t->n_late, "num_dropped_tokens",
                     (json_int_t)t->n_dropped);
}

static json_t *timings(const struct stats *t)
{
    double prompt_s = stats_first_s(t), predicted_s = (double)(t->last_ns - t->first_ns) * 1e-9;
    return json_pack("{sI sI sf sf sI sf sf sI sI}", "cache_n", (json_int_t)(t->n_prompt - t->n_prompt_rows),
                     "prompt_n", (json_int_t)t->n_prompt_rows, "prompt_ms", 1e3 * prompt_s, "prompt_per_second",
                     stats_ratio((double)t->n_prompt_rows, prompt_s), "predicted_n", (json_int_t)t->n_tokens,
                     "predicted_ms", 1e3 * predicted_s, "predicted_per_second", stats_tokens_per_s(t), "draft_n",
                     (json_int_t)t->n_drafted, "draft_n_accepted", (json_int_t)t->n_accepted);
}

int report_put(json_t *reply, const struct options *o, const struct ask *ask, const struct choice *choices)
{
    struct stats total = {0};
    int n = ask_n_choices(ask);
    for (int i = 0; i < n; i++) stats_add(&total, &choices[i].seq);
    json_t *metrics = json_pack("{so}", "speculative_decoding", speculative(&total, ask->settings.draft_max));
    int lost = marks_json(o, metrics);
    return lost | json_object_set_new(reply, "metrics", metrics) |
           json_object_set_new(reply, "timings", timings(&total));
}
