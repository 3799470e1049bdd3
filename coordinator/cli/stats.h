/* stats.h -- what sequences cost, summed: as a line, a table and JSON. Pure: it reads sequences, no clock.
 *
 *   token/s             (tokens - 1) / (last token - first token); of several sequences: first of any to last
 *   first token         from the start of a sequence to its first token; of several: the mean
 *   tokens a verify     tokens after each sequence's first / parts with a wanted row after the prompt
 *   fallbacks           drafts that ended because the drafter was unsure
 *   rollbacks, depth    drafts that big cut short; drafted tokens that each of them lost
 *   draft, verify, net  seconds of computing, and of waiting for an answer beyond that (the network, and passes of
 *                       other requests); summed over requests, so with several it is more than the time that passed
 */
#ifndef COORDINATOR_CLI_STATS_H
#define COORDINATOR_CLI_STATS_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "coordinator/decode/seq.h"

struct stats {                          /* zeroed to begin with */
    uint64_t n_begun;                   /* sequences that have a token */
    uint64_t n_at_length, n_at_context; /* texts that were cut there */
    uint64_t n_prompt, n_tokens;
    uint64_t n_verifies, n_drafts, n_drafted, n_judged, n_accepted, n_late, n_dropped, n_pauses;
    uint64_t n_keeping[DRAFTS_MOST + 1];
    uint64_t n_prompt_rows, n_prompt_copied, n_windows, n_joint_lows, n_lows, n_ends; /* see struct seq_stats */
    uint64_t n_rollbacks, n_taken_back, n_early, n_discarded;
    uint64_t draft_ns, verify_ns, wait_ns;
    uint64_t first_ns, last_ns; /* the earliest first token, the latest last one */
    uint64_t until_first_ns;    /* summed */
    struct withheld withheld;   /* the most serious reason of all sequences; of equals the last */
    struct draft_choice choice; /* of the last sequence that has one */
};

void stats_add(struct stats *t, const struct seq *s);

/* a / b; 0 if b is 0. The three below use it. */
double stats_ratio(double a, double b);
double stats_tokens_per_s(const struct stats *t);
double stats_first_s(const struct stats *t);
double stats_tokens_per_verify(const struct stats *t);

void stats_line(const struct stats *t, FILE *to);         /* no newline */
void stats_prompts_line(const struct stats *t, FILE *to); /* likewise */
/* How a little model's drafts were made at last, as a sentence with the numbers that led to it. False: there is none.
 */
bool stats_choice(const struct stats *t, char *to, size_t size);
/* Why there were no drafts, or the draft policy paused them, as a sentence with its numbers. False: neither was so. */
bool stats_withheld(const struct stats *t, char *to, size_t size);
void stats_bild_line(const struct stats *t, FILE *to);
void stats_table_head(FILE *to);
void stats_table_row(const struct stats *t, const char *name, FILE *to);
json_t *stats_json(const struct stats *t); /* a new reference; NULL when memory is out */

#endif
