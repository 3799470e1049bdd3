/* plan.h -- a model's forward pass as data: an ordered list of parts of blocks, with the step that each takes.
 *
 * x += step * part(block, x) for each entry; after the last one the exit: the model's own output norm and head. The
 * whole model is the plain plan. Other plans leave out blocks or sub-layers (SLEB 2402.09025), end early (LayerSkip
 * 2404.16710), or take one shared block again and again, as steps of an ODE solver (2310.12818).
 *
 * `cache` is the KV cache that an entry with attention owns: KV belongs to a place in the plan, not to a block, so a
 * repeated block has several. Caches are numbered in the order of the entries that own them.
 *
 * A plan is spelled as a short form or as a file of JSON. All ranks of a job get the same text from rank 0, and each
 * reads it with the number of blocks of its own model file. LIST: blocks 3, 3-5; with `a` or `m` behind it, the
 * attention or the MLP alone; comma-separated.
 *
 *     skip:LIST        every block once, but for these: skip:3,7,12-14,20a
 *     layerskip:E      the first E blocks
 *     balcony:FILE[:E] the first E blocks, then the block and the norm that a side file has for this exit
 *                      (proto/files/side.h); without E the file's only one
 *     ode:SCHEDULE     what runs, in order: a LIST whose items may be followed by xN (N times) and @S (with step S):
 *                      ode:0,1x4@2.5,2
 *     {"entries": [{"block": 0, "part": "both", "step": 1, "cache": 0}, ...], "about": "..."}
 *                      only "block" must be there; "about" is for people. With "side": FILE the last entry may be
 *                      {"block": "side"}, or {"block": "side", "exit": E} where the file has several exits, and the
 *                      exit's norm is the side file's. All ranks open it by this path. With "ids": N the exit chooses
 *                      among ids below N, with "ids": [3, 17, ...] among these, which rise: a cut head.
 *
 * A plan for drafts may also be looked for while the model decodes (worker/roles/swift.h), in a share of the time:
 *
 *     swift[:P]        sub-layers to leave out, in P % at most (3)
 *     layerskip:E-F    one of the exits behind E to F blocks
 *     balcony:FILE:E-F one of those that the side file has there
 */
#ifndef PROTO_PLAN_H
#define PROTO_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

enum plan_part { PART_ATTENTION = 1, PART_MLP = 2, PART_BOTH = 3 };
enum { N_PLAN_PARTS = PART_BOTH + 1 };
/* "attention", "mlp", "both" in a file; "a", "m", "" behind a block. */
extern const char *const plan_part_names[N_PLAN_PARTS], *const plan_part_letters[N_PLAN_PARTS];

enum {
    PLAN_ENTRIES_MOST = 1024,
    PLAN_TEXT_MOST = 1 << 16, /* bytes of a plan's text */
    DRAFT_PLANS_MOST = 8      /* of a job */
};

struct plan_entry {
    int block; /* of the model; its number of blocks, or further ones: the side file's, in its order */
    enum plan_part part;
    float step;
    int cache; /* -1: none (an MLP alone) */
};

struct part_cost { /* weights of an entry's parts, over those that a token of the whole plan reads */
    double attention, mlp;
};

struct plan {
    int n_entries, n_caches;
    struct plan_entry *entries; /* owns */
    char *side;                 /* owns: the path of the side file whose block is the last entry; NULL: none */
    int side_exit;              /* which of its exits, as side_find takes it */
    uint64_t side_hash;         /* of what that holds; set by plan_join_side */
    int n_ids;                  /* that the exit chooses among; 0: all */
    int32_t *ids;               /* [n_ids] owns: rising; NULL: those below n_ids */
};

int plan_plain(struct plan *p, int n_blocks, struct err *err); /* every block once, in order */
void plan_free(struct plan *p);
uint64_t plan_hash(const struct plan *p);

/* The text of a plan as it is spelled on a command line: a short form, or the path of a file. The caller frees it.
 * E_USAGE: it cannot be read. E_MODEL: the file is no plan. */
int plan_text(char **text, const char *spelled, struct err *err);

/* Likewise of a plan for drafts. */
int plan_draft_text(char **text, const char *spelled, struct err *err);
/* A plan for drafts with another exit: depth E or E-F in place of what `spelled` says; NULL is layerskip. The caller
 * frees the text. E_USAGE: a plan without an exit to choose, or no depth. */
int plan_at_depth(char **out, const char *spelled, const char *depth, struct err *err);
/* The blocks before the one exit that such a text names; 0: it names none. */
int plan_depth(const char *text);
struct plan_search {
    double share;           /* of the time; 0: there is none */
    int exit_from, exit_to; /* blocks before the exits; 0: sub-layers are left out */
    bool sides;             /* the exits are a side file's */
};
/* Whether the text is a search's, which plan_read does not read. */
bool plan_search_read(struct plan_search *out, const char *text);
/* The path of its side file. The caller frees it; NULL: out of memory. */
char *plan_search_side(const char *text);

/* The plan of such a text for a model of n_blocks. E_MODEL: it does not fit the model, or is no plan. */
int plan_read(struct plan *out, const char *text, int n_blocks, struct err *err);

/* Once: completes the plan with what its side file says, once that is open: the exit and its block, the ids if the plan
 * has none of its own. base: the model's fingerprint. E_MODEL: the file is another model's, or has not this exit. */
struct side;
int plan_join_side(struct plan *p, const struct side *s, uint64_t base, struct err *err);

/* Spells a plan as "ode:...", which plan_read reads as the same plan if no side file has a part in it; cut if `size`
 * bytes do not hold it. A cut head is not spelled. */
void plan_spell(const struct plan *p, char *out, size_t size);

#endif
