/* wire.h -- the messages between peers: plain structs <-> bytes. Only wire.c and wire_slots.c use the generated
 * protobuf code.
 *
 *   C: the coordinator   W: every worker   D: the drafter   L: the leader of the verifiers   Z: their last
 *
 * One table of tags, one plain struct for each message. Decoding checks every length, bounds memory by its arena (a
 * fixed block: the token path allocates nothing), never reads past its input, and refuses fields that no job can have
 * (wire_check.c). Decoded arrays and strings lie in the arena and are borrowed until its next use. Unknown fields are
 * ignored.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

enum { WIRE_VERSION = 8 };

/* The most that a job may have; options have the same bounds. JUDGED_MOST: ids that one row judges. */
enum { PART_PLAN_MOST = 511 /* bytes of a part's plan */ };
enum { ROWS_LEAST = 2 }; /* of a pass: a verify of one draft */
enum { SLOTS_MOST = 256, CONTEXT_MOST = 1 << 20, DRAFTS_MOST = 64, JUDGED_MOST = 8 };
enum { HOLD_US_MOST = 1000000 };

/* 0 is no message; reserved ones have a number and no struct yet. */
enum tag {
    TAG_HELLO = 1,     /* W -> C      its model, machine and memory; answer: Welcome or Quit */
    TAG_WELCOME = 2,   /* C -> W      what to make room for; answer: Ready or Fail */
    TAG_METADATA = 3,  /* L, D -> C   a model file's keys, in parts, before Hello: only if C has no such file */
    TAG_OPEN = 4,      /* C -> L, D   a slot's text begins; no answer */
    TAG_VERIFY = 5,    /* C -> L      a part: rows to feed and judge; answer: one Verdict */
    TAG_VERDICT = 6,   /* Z -> C      or L -> C if refused; with job 0 for rows of the leader's own */
    TAG_DRAFT_ASK = 7, /* C -> D      ids to read, drafts to write; answer: one Draft */
    TAG_DRAFT = 8,     /* D -> C */
    TAG_CUT = 9,       /* C -> L, D   no more by itself in a slot; no answer */
    TAG_FORK = 10,     /* reserved    copying a prefix is a member of part and draft_ask, `from` */
    TAG_PING = 11,     /* C -> W      a sign of life; answer: Pong */
    TAG_FAIL = 12,     /* W -> C      why this worker cannot go on */
    TAG_PASS = 13,     /* L -> shards and stage -> stage: rows and their hidden state; L's group only */
    TAG_TOKEN = 14,    /* Z -> L      big's next id, if L asked for it in the Pass; to W between if it contradicts */
    TAG_QUIT = 15,     /* C -> W      the job is over */
    TAG_READY = 16,    /* W -> C      loaded */
    TAG_ACK = 17,      /* C -> L      how many ids of a slot's text C has; no answer */
    TAG_LOADING = 18,  /* W -> C      how much is loaded, between Welcome and Ready; 0: MPI has started; no answer */
    TAG_PONG = 19,     /* W -> C      what it does; W -> W of one group, as a sign of life */
    N_TAGS
};

struct wire_tag {
    const char *name; /* NULL: no such tag, or a reserved one */
    size_t max_bytes; /* a longer message is refused, before sending and before decoding */
};
extern const struct wire_tag wire_tags[N_TAGS];

/* It says that its sender lives, and is no sign that more will come. */
static inline bool wire_is_sign_of_life(int tag)
{
    return tag == TAG_PING || tag == TAG_PONG;
}

struct hello {
    uint32_t version;
    const char *host;
    uint32_t cores;
    int32_t peer;
    uint64_t model, vocab, plan; /* fingerprints: of shapes and tensor directory; of the tokens; of the plan */
    uint32_t arithmetic;
    uint64_t selftest;
    const char *path;            /* the model file as this worker sees it, for messages */
    uint64_t weights_bytes;      /* of this worker's share */
    uint64_t body_bytes;         /* of them, what a pass streams without the head */
    uint64_t head_bytes;         /* the head, all ids of this share */
    uint64_t kv_position_bytes;  /* of one position of one slot of its share */
    uint64_t memory_bytes;       /* available to this process: the host's and its cgroup's limit */
    uint32_t n_vocab, n_ctx_max; /* n_ctx_max: what the model was trained for */
    uint32_t max_rows, max_jobs; /* rows of a pass; unanswered parts */
    uint32_t threads;
    const char *cpu;           /* the kernels' path, and what it chose by itself */
    uint64_t read_bytes_per_s; /* of its threads' read loop, beside those of its host's other workers; 0: not timed */
    uint32_t entry_from, entry_to; /* of the plan, in this share; as many heads of each */
    uint32_t n_heads;
    uint64_t gather_bytes, gather_float_bytes; /* that its stage's shards exchange for a row; if all were floats */
    const char *device;                        /* that computes its passes, for people; "": the CPU */
    uint64_t device_bytes; /* of memory there, which is for weights and KV then; 0: they take memory_bytes */
};

struct metadata_part { /* of a GGUF file without tensors that has the keys of the model's */
    uint32_t part, n_parts;
    const uint8_t *bytes;
    size_t n_bytes;
};
enum { METADATA_PART = 60 << 10 }; /* bytes that fit into one */

struct welcome {
    uint32_t epoch;
    uint64_t root; /* prefix_hash[0], of no ids, of every text of this job */
    uint32_t n_slots, n_ctx;
    /* Lists as of layout_read_share; "": the share stays. Else the worker takes this share instead, says Hello again,
     * and gets another Welcome without them. */
    const char *stage_share, *shard_share;
};

struct ready {
    uint32_t epoch;
};

struct loading {
    uint64_t n_bytes; /* of Hello's weights_bytes */
};

enum { OPEN_END_IDS_MOST = 32 }; /* a worker gets no more; the coordinator ends the text at any */

/* How the next id is chosen: argmax of ln p / T + noise(seed, sample, position, id) over the ids that top-k, then
 * top-p, then min-p leave (kernels/ARITHMETIC.md, Sampling). It is in every part and every ask, so that a worker
 * keeps no state for it: replicas, replays and other layouts choose the same ids. */
#define TEMP_LEAST 1e-6f /* the noise is below one bit of ln p / T there, and 1 / T would soon be infinite */
struct sampler {
    float temp;            /* T; below TEMP_LEAST: greedy, and nothing below counts */
    uint32_t top_k;        /* 0: all */
    float top_p, min_p;    /* 1, 0: all */
    uint32_t seed, sample; /* sample: index of the request */
    uint32_t offset;       /* position in the text of the receiver's position 0 */
};

/* A text begins in the slot; what the leader had next by itself is dropped. To a drafter: what it may propose. To a
 * leader: with self_max > 0 it goes on with big's own next ids (worker/roles/lead.h). */
struct open_slot {
    uint32_t slot;
    uint32_t n_ids; /* D: ids below it may be proposed, and those of the text (--draft-vocab); 0: all */
    const int32_t *end_ids;
    size_t n_end_ids;
    uint32_t last_position; /* no id at or past it is drafted or written */
    uint32_t round;         /* L: of its own rows; parts and Tokens of a smaller one are of an earlier text */
    struct sampler sampler; /* L: for the ids that it writes */
    uint32_t n_top;         /* L: best ids of each */
    uint32_t self_max;      /* L: ids that it may write beyond the last Ack */
    uint32_t draft_max;     /* L: drafts of its own (suffix.h) that it may judge in one pass; 0: none */
    bool adaptive;          /* L: its draft policy decides when; false: always */
    uint32_t text;          /* L: a number; an Open with another one begins another text for the draft policy */
    bool while_right;       /* L: it stops after rows of its own that had no drafts, or a wrong one */
    uint32_t draft_plan;    /* L: by which it drafts, where big drafts for itself: a number, as the launch lists them */
};

struct cut { /* the leader writes nothing more by itself in the slot; the drafter ends its ask of this round now */
    uint32_t slot, round;
};

struct ack { /* the coordinator has the text's first `at` ids */
    uint32_t slot, at;
    uint32_t hold_us; /* the leader waits so long for a part before a row of the slot's own; an Open sets it to 0 */
};

struct ping {
    uint64_t sent_ns;    /* by the coordinator's clock, which alone reads it */
    const uint8_t *load; /* zeros, of which only the time that they take is of interest */
    size_t n_load;
};
enum { PING_LOAD = 2048 };

struct pong {
    uint64_t sent_ns;           /* the Ping's */
    uint32_t n_passes;          /* done since Ready */
    bool busy;                  /* something waits there or is being computed */
    uint32_t block_us;          /* the longest time between two looks at its messages, in the last pass */
    uint32_t waits_for;         /* the peer that this pass waits for; PEER_COORDINATOR: none */
    uint32_t n_load;            /* the Ping's */
    uint64_t busy_us, ready_us; /* in passes so far; since it was ready */
    uint32_t misses;            /* a peer of its group that it hears nothing from; PEER_COORDINATOR: none */
    const char *draft_plan;     /* L: by which it drafts, if it looks for one; NULL: it does not */
    uint32_t n_trials;          /* L: of plans, so far */
    uint32_t n_dropped;         /* rows that it did not compute, because they went on from a wrong draft */
};

struct token {    /* big's id behind the first `at` ids of the slot's text */
    uint32_t job; /* of the part that asked for it; 0: the leader's own */
    uint32_t slot, round, at;
    uint64_t prefix_hash;
    int32_t id;
    uint32_t number; /* of the group's Tokens, from 1 */
};

struct row {
    int32_t id;     /* to feed */
    bool wanted;    /* returns big's own next id, its ln p, and ln p of each id to judge */
    uint32_t n_top; /* also the n_top best ids */
    const int32_t *judge;
    size_t n_judge;
};

struct part {                      /* rows to apply after the first `at` ids of the slot, if prefix_hash is theirs */
    uint32_t job, slot, round, at; /* job 0: one of the leader's own */
    uint64_t prefix_hash;          /* of the first `at` ids, as in every (at, prefix_hash) */
    const struct row *rows;
    size_t n_rows;
    struct sampler sampler;
    bool token;        /* in a Pass: the leader wants big's next id, as a Token */
    const char *error; /* in a Pass: why an earlier stage could not compute it; `hidden` lacks its rows then */
    const char *plan;  /* to run it under, a text of plan.h; NULL: that of the launch. All of a text is under one */
    /* A slot + 1. If this slot does not hold the first `at` ids, but that one does, they are copied from it first, with
     * K and V of all caches; in a Pass: they are copied. 0: none. With a plan it is not used. */
    uint32_t from;
    bool dropped; /* in a Pass: no stage computes it any more (drops.h); `hidden` lacks its rows */
};

struct top {
    int32_t id;
    float lp;
};

struct verdict_row { /* of a wanted row, in order */
    int32_t next;
    float lp_next;
    const float *lp_judged; /* minus infinity: of an id that the plan's cut head has not */
    size_t n_judged;
    const struct top *top;
    size_t n_top;
};

/* ok: answered. gap: at > held, send from held. stale: the slot has another prefix hash at `at`, and is unchanged.
 * full: no such slot, or no room. failed: a number of a row is not finite, in this part or one that it follows; the
 * slot holds what came before, and parts that follow from there or earlier are computed again. late: the leader has
 * written otherwise by itself, or all of it, and goes on; `held` ids are final. */
enum verdict_status { VERDICT_OK, VERDICT_STALE, VERDICT_GAP, VERDICT_FULL, VERDICT_FAILED, VERDICT_LATE };

struct verdict {
    uint32_t job, slot, round, at;
    uint64_t prefix_hash;
    enum verdict_status status;
    uint32_t held;
    const struct verdict_row *rows;
    size_t n_rows;
    uint32_t queued_us, computed_us;
    uint32_t pass_rows;    /* of all slots, in the pass that it was computed in */
    const char *error;     /* failed: why, E_MODEL; else NULL */
    const int32_t *drafts; /* job 0: the leader's own: row i judges drafts[i], and one row more follows */
    size_t n_drafts;
    uint32_t drafted_us; /* beside computed_us: for drafts of the leader's own */
};

enum { ASK_IDS = 12 << 10 }; /* ids that fit into one, whichever they are */

/* An ask with a block gets a Draft of so many rows whenever they are there, with end `more`, and a last one. If its
 * round is that of the ask before, and its ids are those that the slot holds, the drafts behind them stay: they have
 * been sent, or are sent in the last Draft of the ask before, and the drafter goes on behind them. */
struct draft_ask { /* read ids after (at, prefix_hash), then draft up to position `until`; <= at + n_ids: only read */
    uint32_t slot, round, at;
    uint64_t prefix_hash;
    const int32_t *ids;
    size_t n_ids;
    uint32_t until;
    float p_min;       /* end the draft before a token for which no id's probability reaches it (0: never) */
    float p_joint_min; /* end it with the token that brings the product of the probabilities below it (0: never) */
    struct sampler sampler;
    uint32_t block;      /* 0: one Draft with all rows. Else the drafter runs ahead, see above */
    uint32_t p_min_from; /* p_min does not count for the positions before it: big decides there, and this is a guess */
    uint32_t from;       /* as in a part */
    uint32_t draft_plan; /* as in an Open */
};

struct draft_row {
    int32_t id;
    float p_top;
};

/* window: `until` was reached. low: the next token's probability was under p_min. eos: the last row is an end id.
 * nothing: no id to propose. stale, gap, full: as in a verdict; nothing was read. joint_low: the product of the
 * probabilities fell below p_joint_min. failed: a number that the model computed is not finite; no rows, and the slot
 * holds what came before. more: not an end, the ask is in work yet. */
enum draft_end {
    DRAFT_WINDOW,
    DRAFT_LOW,
    DRAFT_EOS,
    DRAFT_NOTHING,
    DRAFT_STALE,
    DRAFT_GAP,
    DRAFT_FULL,
    DRAFT_JOINT_LOW,
    DRAFT_FAILED,
    DRAFT_MORE
};

struct draft { /* rows follow the first `at` ids, the asked ones included, which have this prefix_hash */
    uint32_t slot, round, at;
    uint64_t prefix_hash;
    const struct draft_row *rows;
    size_t n_rows;
    enum draft_end end;
    uint32_t held;
    uint32_t us;
};

struct fail { /* also Quit */
    uint32_t code;
    const char *text;
};

struct pass {
    uint32_t pass;
    const struct part *parts; /* the rows of those that did not fail and were not dropped, in order */
    size_t n_parts;
    const float *hidden;             /* [rows, n_embd]; 4-byte aligned */
    size_t n_hidden;                 /* floats */
    uint32_t queued_us, computed_us; /* of the stages so far; verdicts report the sum */
    bool draft;                      /* a step of a draft, of one row; no pass, and not counted as one */
    uint32_t drafted_us;             /* before this pass */
    uint32_t n_tokens;               /* the number of the last Token that the leader had when it began */
    uint32_t draft_plan;             /* of a draft: as in an Open */
};

struct message {
    enum tag tag;
    union {
        struct hello hello;
        struct metadata_part metadata;
        struct welcome welcome;
        struct ready ready;
        struct loading loading;
        struct open_slot open;
        struct cut cut;
        struct ack ack;
        struct ping ping;
        struct pong pong;
        struct token token;
        struct part verify;
        struct verdict verdict;
        struct draft_ask ask;
        struct draft draft;
        struct fail fail; /* TAG_FAIL and TAG_QUIT */
        struct pass pass;
    };
};

/* A fixed block of memory that one user decodes or encodes into, again and again. */
struct wire_arena {
    uint8_t *base; /* owns */
    size_t size, used;
};
int wire_arena_init(struct wire_arena *a, size_t size, struct err *err);
void wire_arena_free(struct wire_arena *a);

/* Room for a Fail or a Quit on the stack, aligned as malloc's: for when there is no memory. */
enum { WIRE_LAST_WORDS = 4096 };

/* Encodes into the arena; *data is borrowed until its next use. E_FAIL: too long for its tag, or for the arena. */
int wire_encode(struct wire_arena *a, const struct message *m, const uint8_t **data, size_t *n_bytes, struct err *err);

/* E_PEER: the bytes are no such message, or no job can have such fields. *out is set only on success. */
int wire_decode(struct wire_arena *a, int tag, const uint8_t *data, size_t n_bytes, struct message *out,
                struct err *err);

/* The last step of wire_decode: E_PEER if a field has a value that no job can have. */
int wire_check(const struct message *m, struct err *err);

/* The error of a Fail or Quit: its code if it is one of ours, else E_PEER; its text, or that it has none. */
int wire_fail(const struct fail *f, int from, struct err *err);

#endif
