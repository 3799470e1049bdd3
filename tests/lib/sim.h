/* sim.h -- the simulated cluster (simulator.h) with scripted texts and faults; what happens in it is a transcript.
 *
 *   spec ──messages──▶ link ──▶ verifiers: the texts' own next ids, pass_ms a part
 *     ▲               ms   ──▶ drafter: the same or `little`, draft_ms a token
 *     └──────── answers ◀──┘
 *
 * An id is a character, so ids read as text; '$' ends a text. Big's next id is a fixed function of all ids before it:
 * the script where they are on one, else a letter drawn from their prefix hash. Little is big, but for the
 * places where its own script differs.
 *
 * While it runs it holds the coordinator to what must always be true: parts out at most max_jobs, parts at most
 * max_rows, wanted rows together at the end of a verify, each judging the id that is fed next, none judged by the last.
 *
 *     struct sim *sim = sim_open(&(struct sim_config){.draft_max = 4}, texts, n_texts);
 *     sim_run(sim);
 *     sim_expect(sim, "[   0] verify  ...\n");
 *     sim_close(sim);
 */
#ifndef TESTS_LIB_SIM_H
#define TESTS_LIB_SIM_H

#include <stdint.h>

#include "coordinator/job.h"
#include "coordinator/decode/spec.h"

struct sim_text {
    const char *prompt, *big; /* big: what it writes next, by script; past it, by hash */
    const char *little;       /* what the drafter would write at the same places; NULL: the same */
    int n_predict;
};

struct sim_config {                         /* 0: the default in brackets */
    int n_groups, n_drafters;               /* n_groups: of verifiers [1, 1] */
    int n_slots, n_ctx, max_rows, max_jobs; /* of a group [1, 64, 16, 8] */
    int n_stages;                           /* of a group [1] */
    int self_max;                           /* [0: no leader writes by itself] */
    int draft_max, draft_ctx;               /* [0: no drafter, n_ctx] */
    int draft_ahead, draft_block;           /* [-1, as links ask for] */
    bool suffix;                            /* the leaders draft by themselves, and there is no little model */
    int n_ids;                              /* ids below it are known to both [all] */
    bool adaptive, ignore_eos;
    struct cost_prior prior;
    bool drops_nothing;             /* what comes late is computed, in vain */
    bool shares_passes;             /* a pass takes all parts that have room, not one */
    bool shares_cores;              /* little's, with the leaders */
    int rtt_ms;                     /* what spec is told of the links [0: nothing] */
    int link_ms, pass_ms, draft_ms; /* a message's way; a part's computing; a draft's computing a token [1, 10, 1] */
    int read_ms;                    /* the drafter's computing for an id that it is sent [0] */
    int wrong_percent;              /* of the drafts outside scripts */
    uint64_t jitter;                /* seed: every message and every computing takes up to 20 ms more [0: none] */

    /* Lossy rules. Scripts of the one text go by place, whatever stands before. ln p under big: of a capital -5, of a
     * digit -4, of all else -1. The drafter is sure of nothing where its script has '?': 0.25, else 0.75. */
    struct rule rule; /* [exact, and none of this] */
    float fallback;
    bool (*stops)(const struct stops *stops, const struct seq *s);
    const struct stops *stops_of;  /* every text's */
    const struct job_watch *watch; /* gets tokens and ends as a job gives them; NULL: nobody looks */
};

/* What can go wrong, at a moment, in a slot. */
enum sim_fault {
    SIM_VERIFIER_FORGETS, /* the later half of the slot's text */
    SIM_VERIFIER_STRAYS,  /* it is another one, as long as before */
    SIM_DRAFTER_FORGETS,
    SIM_DRAFTER_STRAYS,
    SIM_PART_FAILS,
    SIM_ASK_FAILS,    /* the slot's next: a number that is not finite */
    SIM_DRAFTER_DIES, /* it answers nothing from now on, and an event says so */
    /* Not faults. */
    SIM_SUBMIT,
    SIM_CANCEL, /* slot: the text */
    SIM_CANCEL_ALL
};

struct sim;
struct sim *sim_open(const struct sim_config *config, const struct sim_text *texts, int n_texts);
void sim_close(struct sim *s);
void sim_fault(struct sim *s, int at_ms, enum sim_fault fault, int slot); /* of the first group */

/* Before sim_run: text i is submitted then, not at the start, and cancelled (0: never); with settings of its own
 * (NULL: those of all; copied). */
void sim_request(struct sim *s, int i, int at_ms, int cancel_ms, const struct settings *settings);
struct settings sim_settings(const struct sim_config *config); /* those of all */

/* Until every text is done. Fails the cmocka test, with the transcript, on an error and where nothing moves. */
void sim_run(struct sim *s);

/* The transcript is exactly this. */
void sim_expect(const struct sim *s, const char *transcript);

/* Opens, runs, expects, closes. */
void sim_transcript(const struct sim_config *config, const struct sim_text *texts, int n_texts, const char *transcript);

const struct seq *sim_seq(const struct sim *s, int i);
const char *sim_written(struct sim *s, int i); /* what sequence i has after its prompt; borrowed until the next call */
/* What its statistics say of drafts is what its ids' origins say. */
void sim_check_counts(const struct sim *s, int i);
const struct draft_profile *sim_profile(const struct sim *s); /* what the texts that are done have taught */
int sim_most_parts_out(const struct sim *s);
int sim_n_drafter_rows(const struct sim *s); /* that the drafter computed, over all slots */

/* Without a simulator: answers a part in the verifier's place, with ids in the wanted rows, each as likely as the
 * judged one. */
void sim_answer(struct spec *spec, const struct part *part, enum verdict_status status, const char *ids,
                uint64_t now_ns, struct actions *actions);

#endif
