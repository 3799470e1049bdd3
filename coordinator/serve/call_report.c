#include "coordinator/serve/call_report.h"

#include "coordinator/cli/stats.h"

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

static json_t *speculative(const struct stats *t)
{
    return json_pack("{sI sI sI sI sI sI sf sf}", "num_drafts", (json_int_t)t->n_drafts, "num_draft_tokens",
                     (json_int_t)t->n_drafted, "num_judged_tokens", (json_int_t)t->n_judged, "num_accepted_tokens",
                     (json_int_t)t->n_accepted, "num_late_tokens", (json_int_t)t->n_late, "num_dropped_tokens",
                     (json_int_t)t->n_dropped, "draft_acceptance_rate",
                     stats_ratio((double)t->n_accepted, (double)t->n_drafted), "mean_acceptance_length",
                     stats_tokens_per_verify(t));
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

int report_put(json_t *reply, const struct choice *choices, int n)
{
    struct stats total = {0};
    for (int i = 0; i < n; i++) stats_add(&total, &choices[i].seq);
    int lost = json_object_set_new(reply, "metrics", json_pack("{so}", "speculative_decoding", speculative(&total)));
    return lost | json_object_set_new(reply, "timings", timings(&total));
}
