/* wire.h -- messages: plain structs <-> bytes. The only user of the generated protobuf code is wire.c.
 *
 * One table of tags, one plain struct a message. Decoding checks every length, bounds memory by its arena (a fixed
 * block: nothing is allocated on the token path), never reads past its input, and refuses fields that make sense in no
 * job (wire_check.c). Decoded arrays and strings lie in the arena and are borrowed until the next decode with it.
 * Unknown fields are ignored.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

enum { WIRE_VERSION = 2 };

/* What any job has at most. Options have the same bounds. JUDGED_MOST: ids that a row judges. */
enum { SLOTS_MOST = 256, CONTEXT_MOST = 1 << 20, DRAFTS_MOST = 64, JUDGED_MOST = 8 };

enum tag { /* 0 is no message; reserved ones have a number and no struct yet */
    TAG_HELLO = 1,      /* W -> C   who I am                       answer: Welcome or Quit */
    TAG_WELCOME = 2,    /* C -> W   what to make room for          answer: Ready or Fail */
    TAG_METADATA = 3,   /* L, D -> C  a model file's keys, in parts, before Hello: only where C has no file of it */
    TAG_OPEN = 4,       /* C -> L, D  a slot's text begins         no answer */
    TAG_VERIFY = 5,     /* C -> L   a part: rows to feed and judge answer: one Verdict */
    TAG_VERDICT = 6,    /* Z -> C (L -> C if refused) */
    TAG_DRAFT_ASK = 7,  /* C -> D   ids to read, drafts to write   answer: one Draft */
    TAG_DRAFT = 8,      /* D -> C */
    TAG_CUT = 9,        /* C -> L   a slot's text is over          no answer */
    TAG_FORK = 10,      /* reserved */
    TAG_PING = 11,      /* reserved: Ping, Pong */
    TAG_FAIL = 12,      /* W -> C   why this worker cannot go on */
    TAG_PASS = 13,      /* L -> shards, stage -> stage: rows and their hidden state; L's group only */
    TAG_TOKEN = 14,     /* Z -> L   big's next id, where L goes on by itself */
    TAG_QUIT = 15,      /* C -> W   the job is over */
    TAG_READY = 16,     /* W -> C   loaded */
    TAG_ACK = 17,       /* C -> L   how much of a slot's text C has; no answer */
    TAG_LOADING = 18,   /* W -> C   how much is loaded, between Welcome and Ready; no answer */
    N_TAGS
};

struct wire_tag {
    const char *name; /* NULL: no such tag, or a reserved one */
    size_t max_bytes; /* a longer message is refused, before sending and before decoding */
};
extern const struct wire_tag wire_tags[N_TAGS];

struct hello {
    uint32_t version;
    const char *host;
    uint32_t cores;
    int32_t peer;
    uint64_t model, vocab, plan; /* fingerprints: of shapes and tensor directory; of the tokens; of the plan */
    uint32_t arithmetic;
    uint64_t selftest;
    const char *path;           /* the model file as this worker sees it, for messages */
    uint64_t weights_bytes;     /* of this worker's share */
    uint64_t body_bytes;        /* of them, what a pass streams without the head */
    uint64_t head_bytes;        /* the head, all ids of this share */
    uint64_t kv_position_bytes; /* of one position of one slot of its share */
    uint64_t memory_bytes;      /* available to this process: the host's and its cgroup's limit */
    uint32_t n_vocab, n_ctx_max; /* n_ctx_max: what the model was trained for */
    uint32_t max_rows, max_jobs; /* rows of a pass; unanswered parts */
    uint32_t threads;
    const char *cpu; /* the kernels' path, and what it chose by itself */
};

struct metadata_part { /* of a GGUF file without tensors that has the keys of the model's */
    uint32_t part, n_parts;
    const uint8_t *bytes;
    size_t n_bytes;
};
enum { METADATA_PART = 60 << 10 }; /* bytes that fit into one */

struct welcome {
    uint32_t epoch;
    uint64_t root; /* prefix_hash[0] of every history of this job */
    uint32_t n_slots, n_ctx;
};

struct ready {
    uint32_t epoch;
};

struct loading {
    uint64_t n_bytes; /* of Hello's weights_bytes */
};

enum { OPEN_END_IDS_MOST = 32 }; /* further ones end no draft, but the text */

/* How the next id is chosen: argmax of ln p / T + noise(seed, sample, position, id) over the ids that top-k, then
 * top-p, then min-p leave (kernels/ARITHMETIC.md, Sampling). It rides in every part and ask, so that whoever
 * computes one needs to remember nothing: replicas, replays and other layouts choose the same ids. */
#define TEMP_LEAST 1e-6f /* the noise is less than a bit of ln p / T there, and soon 1 / T is no number any more */
struct sampler {
    float temp;         /* T; below TEMP_LEAST: greedy, and nothing below counts */
    uint32_t top_k;     /* 0: all */
    float top_p, min_p; /* 1, 0: all */
    uint32_t seed, sample; /* sample: index of the request */
    uint32_t offset;    /* the receiver's position 0 is this one of the text */
};

/* A text begins in the slot; what was written on by itself before is nobody's. To a drafter: what it may propose. To a
 * leader: with self_max > 0 it goes on with big's own next ids (worker/roles/lead.h). */
struct open_slot {
    uint32_t slot;
    uint32_t n_ids; /* D: ids below it may be proposed, and those of the text (--draft-vocab); 0: all */
    const int32_t *end_ids;
    size_t n_end_ids;
    uint32_t last_position; /* no row at or past it is worth drafting, or writing */
    uint32_t round;         /* L: parts of a smaller one are of a text before */
    struct sampler sampler; /* L: of the ids that it writes */
    uint32_t n_top;         /* L: best ids beside each */
    uint32_t self_max;      /* L: ids that it may write beyond the last Ack */
};

struct cut { /* nothing more is to be written in the slot */
    uint32_t slot, round;
};

struct ack { /* C has the text's first `at` ids */
    uint32_t slot, at;
};

struct token { /* big's id behind the first `at` ids of the slot's text */
    uint32_t slot, round, at;
    uint64_t prefix_hash;
    int32_t id;
    bool self; /* its row was the leader's own */
};

struct row {
    int32_t id; /* to feed */
    bool wanted; /* returns big's own next id, its ln p, and ln p of each id to judge */
    uint32_t n_top; /* also the n_top best ids */
    const int32_t *judge;
    size_t n_judge;
};

struct part { /* apply rows after the first `at` ids of the slot, if prefix_hash is theirs */
    uint32_t job, slot, round, at; /* job 0: a leader's own, where it goes on by itself */
    uint64_t prefix_hash; /* of the first `at` ids, as in every (at, prefix_hash) */
    const struct row *rows;
    size_t n_rows;
    struct sampler sampler;
    bool token;        /* in a Pass: the leader wants big's next id, as a Token */
    const char *error; /* in a Pass: why a stage before could not compute it; its rows are not among the hidden ones */
};

struct top {
    int32_t id;
    float lp;
};

struct verdict_row { /* of a wanted row, in order */
    int32_t next;
    float lp_next;
    const float *lp_judged;
    size_t n_judged;
    const struct top *top;
    size_t n_top;
};

/* ok: answered. gap: at > held, send from held. stale: another history at `at`; the slot is unchanged. full: no such
 * slot or no room. failed: a row came to a number that is not finite, in this part or one that it goes on from; the
 * slot holds what came before, and what goes on from there or earlier is computed again. */
enum verdict_status { VERDICT_OK, VERDICT_STALE, VERDICT_GAP, VERDICT_FULL, VERDICT_FAILED };

struct verdict {
    uint32_t job, slot, round, at;
    uint64_t prefix_hash;
    enum verdict_status status;
    uint32_t held;
    const struct verdict_row *rows;
    size_t n_rows;
    uint32_t queued_us, computed_us;
    const char *error; /* failed: why, E_MODEL; else NULL */
};

enum { ASK_IDS = 12 << 10 }; /* ids that fit into one, whichever they are */

struct draft_ask { /* read ids after (at, prefix_hash), then draft up to `until`; until <= at + n_ids only reads */
    uint32_t slot, round, at;
    uint64_t prefix_hash;
    const int32_t *ids;
    size_t n_ids;
    uint32_t until;
    float p_min;       /* end the draft before a token where no id's probability reaches it (0: never) */
    float p_joint_min; /* and with the one that brings the product of their probabilities below it (0: never) */
    struct sampler sampler;
};

struct draft_row {
    int32_t id;
    float p_top;
};

/* window: `until` was reached. low: the next token's probability was under p_min. eos: the last row is an end id.
 * nothing: it has none to propose. stale, gap, full: as in a verdict, nothing was read. joint_low: the product of the
 * probabilities fell below p_joint_min. failed: the model came to a number that is not finite; no rows, and the slot
 * holds what came before. */
enum draft_end {
    DRAFT_WINDOW,
    DRAFT_LOW,
    DRAFT_EOS,
    DRAFT_NOTHING,
    DRAFT_STALE,
    DRAFT_GAP,
    DRAFT_FULL,
    DRAFT_JOINT_LOW,
    DRAFT_FAILED
};

struct draft { /* rows follow the first `at` ids, which have this prefix_hash: the asked ids included */
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
    const struct part *parts; /* the rows of those without an error, in order, are the rows of the pass */
    size_t n_parts;
    const float *hidden; /* [rows, n_embd]; 4-byte aligned */
    size_t n_hidden;     /* floats */
    uint32_t queued_us, computed_us; /* of the stages before: what the verdicts will say */
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

/* Room for a Fail or a Quit on the stack, aligned as malloc's: what is said when there is no memory. */
enum { WIRE_LAST_WORDS = 4096 };

/* Encodes into the arena; *data is borrowed until its next use. E_FAIL: too long for its tag, or for the arena. */
int wire_encode(struct wire_arena *a, const struct message *m, const uint8_t **data, size_t *n_bytes, struct err *err);

/* E_PEER with one line on bytes that are no such message, or whose fields make sense in no job. *out is set only on
 * success. */
int wire_decode(struct wire_arena *a, int tag, const uint8_t *data, size_t n_bytes, struct message *out,
                struct err *err);

/* What wire_decode asks last: E_PEER if a field is what it may be in no job. */
int wire_check(const struct message *m, struct err *err);

/* The error that a worker reports: its code if it is one of ours, else E_PEER; its text, or that there is none. */
int wire_fail(const struct fail *f, int from, struct err *err);

#endif
