#include "coordinator/stats.h"

static double seconds(uint64_t ns)
{
    return (double)ns * 1e-9;
}
double stats_ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}
static double percent(uint64_t part, uint64_t whole)
{
    return 100 * stats_ratio((double)part, (double)whole);
}

void stats_add(struct stats *t, const struct seq *s)
{
    const struct seq_stats *c = &s->stats;
    t->n_prompt += (uint64_t)s->n_prompt;
    t->n_tokens += (uint64_t)seq_n_generated(s);
    t->n_at_length += s->end == SEQ_LENGTH;
    t->n_at_context += s->end == SEQ_CONTEXT;
    t->n_verifies += c->n_verifies;
    t->n_drafted += c->n_drafted;
    t->n_judged += c->n_judged;
    t->n_accepted += c->n_accepted;
    t->n_pauses += c->n_pauses;
    t->n_prompt_rows += c->n_prompt_rows;
    t->n_windows += c->n_windows;
    t->n_doubts += c->n_doubts;
    t->n_lows += c->n_lows;
    t->n_ends += c->n_ends;
    t->n_rollbacks += c->n_rollbacks;
    t->n_taken_back += c->n_taken_back;
    t->draft_ns += c->draft_ns;
    t->verify_ns += c->verify_ns;
    t->wait_ns += c->wait_ns;
    if (!seq_n_generated(s)) return;
    if (!t->n_begun || c->first_ns < t->first_ns) t->first_ns = c->first_ns;
    if (c->last_ns > t->last_ns) t->last_ns = c->last_ns;
    t->until_first_ns += c->first_ns - c->start_ns;
    t->n_begun++;
}

double stats_tokens_per_s(const struct stats *t)
{
    if (t->n_tokens < 2) return 0;
    return stats_ratio((double)(t->n_tokens - 1), seconds(t->last_ns - t->first_ns));
}

double stats_first_s(const struct stats *t)
{
    return stats_ratio(seconds(t->until_first_ns), (double)t->n_begun);
}

double stats_tokens_per_verify(const struct stats *t)
{
    return stats_ratio((double)(t->n_tokens - t->n_begun), (double)t->n_verifies);
}

void stats_line(const struct stats *t, FILE *to)
{
    if (t->n_tokens > 1)
        fprintf(to, "%.1f token/s, ", stats_tokens_per_s(t));
    else
        fprintf(to, "%llu token, ", (unsigned long long)t->n_tokens);
    if (t->n_begun) fprintf(to, "first token after %.2f s%s; ", stats_first_s(t), t->n_begun > 1 ? " (mean)" : "");
    if (t->n_drafted) {
        fprintf(to, "drafts: %llu of %llu accepted (%.0f %%; %.0f %% of %llu judged), %.1f tokens a verify; ",
                (unsigned long long)t->n_accepted, (unsigned long long)t->n_drafted,
                percent(t->n_accepted, t->n_drafted), percent(t->n_accepted, t->n_judged),
                (unsigned long long)t->n_judged, stats_tokens_per_verify(t));
    }
    bool several = t->n_begun > 1;
    fprintf(to, "%sdraft %.2f s, verify %.2f s, network%s %.2f s", several ? "summed over requests: " : "",
            seconds(t->draft_ns), seconds(t->verify_ns), several ? " and one another's passes" : "",
            seconds(t->wait_ns));
}

void stats_bild_line(const struct stats *t, FILE *to)
{
    fprintf(to,
            "%llu fallbacks (%.1f %% of tokens), %llu rollbacks (%.1f %%), %.1f tokens deep; drafts ended: %llu full, "
            "%llu unsure, %llu with the text",
            (unsigned long long)t->n_lows, percent(t->n_lows, t->n_tokens), (unsigned long long)t->n_rollbacks,
            percent(t->n_rollbacks, t->n_tokens), stats_ratio((double)t->n_taken_back, (double)t->n_rollbacks),
            (unsigned long long)t->n_windows, (unsigned long long)t->n_lows, (unsigned long long)t->n_ends);
}

void stats_table_head(FILE *to)
{
    fprintf(to, "%-18s %6s %6s %7s %6s %7s %6s %6s %6s %5s %5s %6s %6s %6s\n", "prompt", "ids", "tokens", "token/s",
            "first", "drafted", "judged", "kept", "checks", "a chk", "pause", "draft", "verify", "net");
}

void stats_table_row(const struct stats *t, const char *name, FILE *to)
{
    fprintf(to, "%-18.18s %6llu %6llu %7.1f %6.2f %7llu %6llu %6llu %6llu %5.2f %5llu %6.2f %6.2f %6.2f\n", name,
            (unsigned long long)t->n_prompt, (unsigned long long)t->n_tokens, stats_tokens_per_s(t), stats_first_s(t),
            (unsigned long long)t->n_drafted, (unsigned long long)t->n_judged, (unsigned long long)t->n_accepted,
            (unsigned long long)t->n_verifies, stats_tokens_per_verify(t), (unsigned long long)t->n_pauses,
            seconds(t->draft_ns), seconds(t->verify_ns), seconds(t->wait_ns));
}

json_t *stats_json(const struct stats *t)
{
    return json_pack("{sI sI sI sf sf sI sI sI sI sf sI sI sI sI sI sI sI sf sf sf}", "prompt_tokens",
                     (json_int_t)t->n_prompt, "prompt_rows", (json_int_t)t->n_prompt_rows, "tokens",
                     (json_int_t)t->n_tokens, "tokens_per_s", stats_tokens_per_s(t), "first_token_s", stats_first_s(t),
                     "drafted", (json_int_t)t->n_drafted, "judged", (json_int_t)t->n_judged, "accepted",
                     (json_int_t)t->n_accepted, "verifies", (json_int_t)t->n_verifies, "tokens_per_verify",
                     stats_tokens_per_verify(t), "pauses", (json_int_t)t->n_pauses, "drafts_full",
                     (json_int_t)t->n_windows, "drafts_doubted", (json_int_t)t->n_doubts, "fallbacks",
                     (json_int_t)t->n_lows, "drafts_with_end", (json_int_t)t->n_ends, "rollbacks",
                     (json_int_t)t->n_rollbacks, "taken_back", (json_int_t)t->n_taken_back, "draft_s",
                     seconds(t->draft_ns), "verify_s", seconds(t->verify_ns), "network_s", seconds(t->wait_ns));
}
