/* grid.h -- one hash over all layouts: a cell runs the real coordinator and real workers, and must give big's own ids
 * and log-probabilities, bit for bit, whatever the drafter, the draft's length, threads, layout and company.
 *
 * The expected text is the cell {no drafter, one thread, one shard, one stage, alone}, by the same code: what another
 * program says is test_golden's business.
 */
#ifndef TESTS_LIB_GRID_H
#define TESTS_LIB_GRID_H

#include <stdint.h>
#include <stdio.h>

#include "kernels/kernels.h"
#include "proto/layout.h"
#include "proto/plan.h"
#include "proto/router.h"
#include "proto/rule.h"

enum grid_drafter {
    GRID_NONE,
    GRID_LITTLE,
    GRID_SUFFIX,
    GRID_ITSELF,
    GRID_WRONG,
    N_GRID_DRAFTERS,
    GRID_DYING,
    GRID_PLAN
};
enum { GRID_PROMPTS = 3, GRID_PREDICT = 24, GRID_CTX = 160, GRID_TOP = 2 };

/* Of the first prompt: alone; all prompts at once; or the others come while it runs, and one that is cancelled. */
enum company { ALONE, TOGETHER, COMING, N_COMPANIES };

struct cell {
    enum grid_drafter drafter;
    int draft_max, threads, tp, pp;
    enum company company;
};

struct grid {
    const char *big, *little;
    const char *plan;                          /* that big is served under; NULL: none */
    const char *draft_plans[DRAFT_PLANS_MOST]; /* that GRID_PLAN drafts by; of several, each request has the next one */
    const char *stage_share, *shard_share;     /* of cells in this process that have so many; NULL: by bytes, equal */
    const struct kernels *kernels;
    const struct device_table *device; /* of the verifiers; NULL: none */
    int n_prompts, n_prompt[GRID_PROMPTS];
    int32_t prompts[GRID_PROMPTS][GRID_CTX];
    int n_vocab;
    int n_predict;
    struct sampler sampler; /* greedy, exact, by grid_init; whoever changes them forgets what was expected */
    struct rule rule;
    float fallback;
    bool fresh;           /* texts copy nothing from one another; or use what slots hold of those before */
    int self_max;         /* of the jobs; 0: no leader writes beyond what has arrived */
    int groups, drafters; /* groups: of verifiers; 0: one */
    int max_rows;         /* of a pass; 0: as many as a worker takes */
    bool drops_nothing;   /* the verifiers compute what is of no use any more, too */
    uint32_t hold_us;     /* that leaders wait at least before a row of their own */
    int draft_ahead;      /* drafts that wait for their verdicts, in blocks of 1 to 3; 0: each waits for its own */
    struct net_path path; /* of all links, emulated; zero: none is */
    /* Set by the first run. */
    int have_expected;
    uint64_t expected[GRID_PROMPTS];
    int n_text[GRID_PROMPTS];
    int32_t texts[GRID_PROMPTS][GRID_CTX]; /* prompt and big's own continuation: what the wrong drafter knows */
    uint64_t n_judged, n_accepted;         /* over all cells of model drafters that are sometimes right */
    uint64_t n_copied;                     /* ids of prompts, over all cells */
    uint64_t n_suffix_judged, n_suffix_accepted;
    uint64_t n_planned_judged, n_planned_accepted; /* of GRID_PLAN */
    uint64_t n_early;                              /* windows of lossy texts that were drafted early */
    uint64_t bild;                                 /* hash of what each text of the last cell did with its drafts */
};

/* Prompts of 7, 40 and 90 ids from a seed. */
void grid_init(struct grid *g, const char *big, const char *little, const struct kernels *k);

/* Makes prompts of one beginning: two that are equal, of 70 ids, and one of 90 that has 60 in common with them. */
void grid_share_prompts(struct grid *g);

void cell_name(const struct cell *c, char *out, size_t size);

/* Runs a cell in this process. Fails the cmocka test with the cell's name. */
void grid_run(struct grid *g, const struct cell *c);

/* Over g->path; called as router_emulate, and of use until the first job's end. */
void grid_emulate(const struct grid *g, const struct layout *l, struct router *router);

/* Rank 0's side of a cell under MPI: the router reaches the ranks; layout's n_ranks is set. */
void grid_run_over(struct grid *g, const struct cell *c, const struct layout *l, struct router *router);

/* A drafter without a model: propose gives the id that follows ids[0 .. n-1]. proposer_run is what
 * cluster_config.drafter takes, with one of these as its arg. */
struct proposer {
    uint64_t vocab_hash;
    int32_t (*propose)(void *arg, const int32_t *ids, int n);
    void *arg;
    int n_asks; /* says Fail instead of answering one more; 0: never */
};
int proposer_run(void *arg, struct mailbox *mailbox);

/* One that knows big's texts and always proposes the id after the right one. g lives as long as it. */
struct proposer grid_wrong_proposer(struct grid *g);
/* One that is right, and fails after three asks. */
struct proposer grid_dying_proposer(struct grid *g);

uint64_t grid_vocab_hash(const char *path);

enum drafter grid_layout_drafter(enum grid_drafter d);

#endif
