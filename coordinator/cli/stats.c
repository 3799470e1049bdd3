#include "coordinator/cli/stats.h"

#include <string.h>

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
    t->n_drafts += c->n_drafts;
    for (int i = 0; i <= DRAFTS_MOST; i++) t->n_keeping[i] += c->n_keeping[i];
    t->n_drafted += c->n_drafted;
    t->n_judged += c->n_judged;
    t->n_accepted += c->n_accepted;
    t->n_late += c->n_late;
    t->n_dropped += c->n_dropped;
    t->n_pauses += c->n_pauses;
    if (c->withheld.why >= t->withheld.why) t->withheld = c->withheld;
    if (c->choice.timed) t->choice = c->choice;
    t->n_prompt_rows += c->n_prompt_rows;
    t->n_prompt_copied += c->n_prompt_copied;
    t->n_windows += c->n_windows;
    t->n_joint_lows += c->n_joint_lows;
    t->n_lows += c->n_lows;
    t->n_ends += c->n_ends;
    t->n_rollbacks += c->n_rollbacks;
    t->n_taken_back += c->n_taken_back;
    t->n_early += c->n_early;
    t->n_discarded += c->n_discarded;
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
        fprintf(to, "drafts: %llu of %llu accepted (%.0f %%; %.0f %% of %llu judged", (unsigned long long)t->n_accepted,
                (unsigned long long)t->n_drafted, percent(t->n_accepted, t->n_drafted),
                percent(t->n_accepted, t->n_judged), (unsigned long long)t->n_judged);
        if (t->n_late) fprintf(to, "; %llu came too late", (unsigned long long)t->n_late);
        fprintf(to, "), %.1f tokens a verify; ", stats_tokens_per_verify(t));
    }
    bool several = t->n_begun > 1;
    fprintf(to, "%sdraft %.2f s, verify %.2f s, network%s %.2f s", several ? "summed over requests: " : "",
            seconds(t->draft_ns), seconds(t->verify_ns), several ? " and one another's passes" : "",
            seconds(t->wait_ns));
}

void stats_prompts_line(const struct stats *t, FILE *to)
{
    fprintf(to, "prompts: %llu of %llu tokens computed, %llu copied from other requests",
            (unsigned long long)t->n_prompt_rows, (unsigned long long)t->n_prompt,
            (unsigned long long)t->n_prompt_copied);
}

static void put_cost(const struct stats *t, FILE *to)
{
    const struct withheld *w = &t->withheld;
    if (t->n_drafted)
        fprintf(to, "a drafted token takes %.1f ms and %.1f ms more to check, ", w->draft_ns * 1e-6, w->row_ns * 1e-6);
    else
        fprintf(to, "a drafted token would take %.1f ms, ", w->draft_ns * 1e-6);
    fprintf(to, "one of the big model's own %.1f ms, and ", w->plain_ns * 1e-6);
    if (t->n_drafted)
        fprintf(to, "%.0f %% are accepted", percent(t->n_accepted, t->n_drafted));
    else
        fprintf(to, "%.0f %% would be right", 100 * w->right);
}

static void put_why(const struct stats *t, FILE *to)
{
    const struct withheld *w = &t->withheld;
    switch (w->why) {
    case WITHHELD_NOT: break;
    case WITHHELD_SHORT: fputs("they begin after the second token, and the text ended before", to); break;
    case WITHHELD_NO_REPEAT: fputs("nothing in the text repeats", to); break;
    case WITHHELD_UNPAID: fputs("by the plan they would take longer than they save", to); break;
    case WITHHELD_TOGETHER: fputs("several requests share a pass, on the cores that drafting would take", to); break;
    case WITHHELD_READING:
        fprintf(to, "the little model would take %.2f s to read %d tokens, to save %.2f s of the next %d",
                w->read_ns * 1e-9, w->n_ids, w->saved_ns * 1e-9, w->n_tokens);
        break;
    case WITHHELD_COST: put_cost(t, to); break;
    case WITHHELD_WRONG:
        fprintf(to, "the last ones were all wrong; %.0f %% are accepted", percent(t->n_accepted, t->n_drafted));
        break;
    case WITHHELD_UNKNOWN_ID: fputs("a token of the text is not in the little model's vocabulary", to); break;
    case WITHHELD_NO_ROOM: fputs("the little model has no room for the text", to); break;
    case WITHHELD_LOST: fputs("the drafter failed", to); break;
    }
}

bool stats_withheld(const struct stats *t, char *to, size_t size)
{
    bool paused = t->n_pauses && (t->withheld.why == WITHHELD_COST || t->withheld.why == WITHHELD_WRONG);
    bool ended = t->withheld.why > WITHHELD_WRONG;
    if (t->withheld.why == WITHHELD_NOT || (t->n_drafted && !paused && !ended)) return false;
    FILE *text = fmemopen(to, size, "w");
    if (!text) return false;
    if (!t->n_drafted)
        fputs("no drafts: ", text);
    else if (ended)
        fputs("drafts ended: ", text);
    else
        fprintf(text, "drafts paused %llu time%s: ", (unsigned long long)t->n_pauses, t->n_pauses == 1 ? "" : "s");
    put_why(t, text);
    fclose(text);
    return true;
}

bool stats_choice(const struct stats *t, char *to, size_t size)
{
    const struct draft_choice *c = &t->choice;
    if (!c->timed) return false;
    char waits[64] = "", way[64] = "";
    const char *in_two = c->block == 2 ? ", two in a message" : "";
    if (c->first) snprintf(waits, sizeof waits, ", and a pass waits for %d", c->first);
    if (c->rtt_ns > 0) snprintf(way, sizeof way, ", a message there and back %.1f ms", c->rtt_ns * 1e-6);
    if (!c->window)
        snprintf(to, size, "no drafts");
    else if (c->ahead)
        snprintf(to, size, "drafts run ahead, up to %d without a verdict%s%s", c->window, in_two, waits);
    else
        snprintf(to, size, "drafts of up to %d tokens, one after the other's verdict", c->window);
    size_t n = strlen(to);
    snprintf(to + n, size - n,
             " at last: a drafted token takes %.1f ms, one of the big model's own %.1f ms, a row more in its pass %.1f "
             "ms%s, and a draft is right in %.0f %% of cases",
             c->draft_ns * 1e-6, c->plain_ns * 1e-6, c->row_ns * 1e-6, way, 100 * c->right);
    n = strlen(to);
    if (c->slower >= 1.1)
        snprintf(to + n, size - n, "; beside drafts the big model took %.1f times as long, as with a shared memory",
                 c->slower);
    return true;
}

void stats_bild_line(const struct stats *t, FILE *to)
{
    fprintf(to,
            "%llu fallbacks (%.1f %% of tokens), %llu rollbacks (%.1f %%), %.1f tokens deep; drafts ended: %llu full, "
            "%llu unsure, %llu with the text",
            (unsigned long long)t->n_lows, percent(t->n_lows, t->n_tokens), (unsigned long long)t->n_rollbacks,
            percent(t->n_rollbacks, t->n_tokens), stats_ratio((double)t->n_taken_back, (double)t->n_rollbacks),
            (unsigned long long)t->n_windows, (unsigned long long)t->n_lows, (unsigned long long)t->n_ends);
    if (t->n_early || t->n_discarded)
        fprintf(to, "; %llu written while the one before was checked, %llu drafted tokens thrown away",
                (unsigned long long)t->n_early, (unsigned long long)t->n_discarded);
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
    char why[512];
    json_t *line = json_pack("{sI sI sI sf sf sI sI sI sI sf sI sI sI sI sI sI sI sf sf sf}", "prompt_tokens",
                             (json_int_t)t->n_prompt, "prompt_rows", (json_int_t)t->n_prompt_rows, "tokens",
                             (json_int_t)t->n_tokens, "tokens_per_s", stats_tokens_per_s(t), "first_token_s",
                             stats_first_s(t), "drafted", (json_int_t)t->n_drafted, "judged", (json_int_t)t->n_judged,
                             "accepted", (json_int_t)t->n_accepted, "verifies", (json_int_t)t->n_verifies,
                             "tokens_per_verify", stats_tokens_per_verify(t), "pauses", (json_int_t)t->n_pauses,
                             "drafts_full", (json_int_t)t->n_windows, "drafts_doubted", (json_int_t)t->n_joint_lows,
                             "fallbacks", (json_int_t)t->n_lows, "drafts_with_end", (json_int_t)t->n_ends, "rollbacks",
                             (json_int_t)t->n_rollbacks, "taken_back", (json_int_t)t->n_taken_back, "draft_s",
                             seconds(t->draft_ns), "verify_s", seconds(t->verify_ns), "network_s", seconds(t->wait_ns));
    if (line && t->n_prompt_copied)
        json_object_set_new(line, "prompt_copied", json_integer((json_int_t)t->n_prompt_copied));
    if (line && (t->n_late || t->n_dropped))
        json_object_update_new(line, json_pack("{sI sI}", "drafts_late", (json_int_t)t->n_late, "drafts_dropped",
                                               (json_int_t)t->n_dropped));
    if (line && (t->n_early || t->n_discarded))
        json_object_update_new(line, json_pack("{sI sI}", "drafts_early", (json_int_t)t->n_early, "drafted_in_vain",
                                               (json_int_t)t->n_discarded));
    if (line && stats_choice(t, why, sizeof why)) json_object_set_new(line, "drafts_chosen", json_string(why));
    if (line && stats_withheld(t, why, sizeof why)) json_object_set_new(line, "drafts_withheld", json_string(why));
    return line;
}
