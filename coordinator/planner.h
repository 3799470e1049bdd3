/* planner.h -- which hosts should compute what: hosts and models in, layouts with their expected token/s out, the best
 * first. Pure: no file, no clock, no rank.
 *
 *   hosts, sizes of the models, clients ──▶ all layouts that fit into memory ──closed forms──▶ ranked
 *
 * The coordinator is on the first host, where the job is started. A host has one verifier at most, since two on one
 * host would share what its cores read, and one drafter. A drafter has a host of its own, the nearest or the fastest of
 * those that are left (the first one, if it has no verifier); for one request it may be beside a leader. `alone` is one
 * process on one host, of any.
 *
 * A pass of n rows, of a verifier: the longer of what it reads of the weights, over its host's read loop, and of its
 * rows' multiply-adds; or, where a pair is timed, what T(n) / T(1) makes of one row's time. Shards of a stage exchange
 * numbers four times in a block: a way each, and their bytes. A stage sends its rows to the next: a way and their
 * bytes; the last one an id to the first. With acceptance a, g drafts of tD each, T(n), round trip R of both models:
 *
 *   plain       L = T(1)                              the leader goes on by itself, at any R
 *   sequential  L = (g tD + T(g + 1) + R) / (1 + a + .. + a^g)            Leviathan et al., 2211.17192
 *   ahead       L(k) = (1 - a)(T + R) + a B (1 - a) / (1 - a^k)    blocks of k, each B = max(k tD, T)
 *
 * Drafters share all requests out, whatever their groups. Drafts that run ahead share the passes of their drafter,
 * which writes an id of each of its m texts in tD(m), longer by its texts as the big model's pass is by its rows. Those
 * that wait for verdicts queue at it: a round of m requests takes at least m g tD(1).
 *
 * test_planner holds them to the simulator (simulator.h).
 */
#ifndef COORDINATOR_PLANNER_H
#define COORDINATOR_PLANNER_H

#include <stdbool.h>

#include "proto/hosts.h"
#include "proto/layout.h"
#include "proto/synthetic.h"

enum { PLANNER_ROUND_MOST = 8 }; /* drafts of a round: the default of --draft-max, so no command has to say it */

enum planner_goal { PLANNER_LATENCY, PLANNER_THROUGHPUT };
enum planner_way { PLANNER_PLAIN, PLANNER_SEQUENTIAL, PLANNER_AHEAD };

struct planner_model {
    double body, head; /* bytes that a pass reads, of its blocks and of the head */
    double embed;      /* bytes that a worker keeps of an embedding; the head's are these too where `tied` */
    bool tied;
    double kv;                    /* bytes of a position */
    double multiply_adds;         /* of a row; 0: T(n) / T(1) of the pair counts instead */
    double row_gather, row_stage; /* bytes of a row: that shards exchange in all blocks; that a stage sends the next */
    int n_blocks, n_heads;
};

struct planner_input {
    const struct host *hosts; /* [n_hosts] borrowed; the first is where the job is started */
    int n_hosts;
    struct planner_model big, little;
    bool has_little;
    bool timed;            /* a pass of one row and a drafted id take pair.pass_ms, pair.draft_ms on the first host */
    struct synthetic pair; /* T(n) over T(1), and the first curve's first chance: how many drafts are right */
    enum planner_goal goal;
    int clients;   /* that run at once; under PLANNER_LATENCY the one that is alone counts, and they share the memory */
    int ctx;       /* positions of each */
    int max_rows;  /* of a pass; 0: as many as workers take, */
    int rows_most; /* which is this */
    int parts_most; /* that a group has without a verdict */
};

struct planner_pass { /* of n rows: the longer of base x T(n) / T(1) and n x product; and fixed + n x row */
    double base_ns, product_ns, fixed_ns, row_ns;
};

struct planner_group {
    struct planner_pass all, slowest; /* through all stages; of the stage that takes longest */
    double rtt_ns, byte_ns;           /* from the coordinator to its leader, and back from its last */
};

struct planner_layout {
    int groups, tp, pp;
    bool alone;           /* one process on host[0] */
    int drafters;         /* 0: none; alone: one, in the process */
    bool shares_cores;    /* a drafter with a leader: they take turns */
    int host[HOSTS_MOST]; /* of each verifier, in order of peers: indexes of planner_input.hosts */
    int drafter_host[DRAFTERS_MOST];
    bool uneven;                        /* --stage-share auto, --shard-share auto */
    enum planner_way way;               /* of drafts */
    int window;                         /* drafts of a round, or of a block */
    int max_rows;                       /* of a pass; 0: as many as workers take */
    int flights;                        /* passes of a group that are in its stages at once */
    int n_running;                      /* requests that token/s are of, together */
    double tokens_per_s;                /* by the closed forms, or what the caller found to be better known */
    struct planner_pass draft;          /* of a drafter, by its texts: of the slowest one */
    double draft_rtt_ns, draft_byte_ns; /* from the coordinator to the drafter farthest away, and back */
    struct planner_group group[GROUPS_MOST];
};

/* Ranked by token/s, of which each further host must be worth 2 %; of layouts that differ in hosts only the best one,
 * and none whose further drafters give it nothing. Returns how many there are, at most `most`; 0: the models fit
 * nowhere. */
int planner_rank(struct planner_layout out[], int most, const struct planner_input *in);
/* Again, after the caller changed tokens_per_s. */
void planner_sort(struct planner_layout list[], int n);

int planner_verifiers(const struct planner_layout *l);
int planner_drafter_texts(const struct planner_layout *l); /* that a drafter has, at most */
double planner_pass_ns(const struct planner_input *in, const struct planner_pass *pass, double n_rows);

/* How many times as fast one request would be with as many verifiers as could check its drafts at once: what hosts
 * beyond these can give it. 1 where its drafts do not run ahead. */
double planner_more(const struct planner_input *in, const struct planner_layout *l);
/* The least memory, in bytes, with which a host alone would fit. */
double planner_alone_bytes(const struct planner_input *in);

#endif
