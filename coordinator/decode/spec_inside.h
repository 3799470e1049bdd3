/* spec_inside.h -- the inside of spec: what its parts share.
 *
 *   spec.c          requests come and go: the queue, the choice of a slot, the end; one event, one step
 *     └▶ spec_take.c   what comes in: a Verdict's rows become text, a Draft's ids become its tail
 *          └▶ spec_send.c  what goes out: parts, asks; what is drafted in the next round
 */
#ifndef COORDINATOR_DECODE_SPEC_INSIDE_H
#define COORDINATOR_DECODE_SPEC_INSIDE_H

#include "coordinator/decode/drafter_view.h"
#include "coordinator/decode/flights.h"
#include "coordinator/decode/spec.h"

enum {
    REACH_MORE = 2,  /* n-grams reach so much further than the last one was right */
    REFUSED_MOST = 2 /* in a row, of a verify or an ask */
};

struct decode_slot {  /* a slot of a verification group, the drafter's beside it, and what both hold */
    int group, slot;  /* slot: of the group; the drafter's is the index among all */
    struct seq *seq;  /* NULL: free */
    uint64_t request; /* its number among all, or the last one's: the owner of its flights */
    int32_t *last;    /* [n_ctx] owns: the text that had it before; its first `held` ids count */
    struct row *rows; /* [n_ctx] owns: what is being fed, by position */

    /* The verifier's side. */
    uint32_t round;       /* a draft and its verify */
    int held;             /* final ids whose rows it has once all that was sent is done */
    bool feeding;         /* more parts of this verify are to be sent */
    int n_read;           /* ids of a prompt whose rows it has answered */
    int n_refused;        /* in a row */
    uint64_t verify_ns;   /* when this verify began */
    uint32_t computed_us; /* on its parts so far */

    /* The leader writes on by itself. */
    bool self;           /* now; self_left ids yet, before it is decided anew */
    int self_left;       /* INT_MAX: a text without drafts, to its end */
    uint32_t self_round; /* that its verdicts have; 0: it never did */
    int acked;           /* ids of the text that it knows we have */
    int n_plain;         /* ids in a row that came without a draft */
    uint64_t self_ns;    /* when the last ones came */

    /* The drafter's side. */
    struct drafter_view drafter;
    bool rolled_back;           /* repo's rule: big writes the next token too */
    enum withheld_why unusable; /* why it cannot draft this text at all; WITHHELD_NOT: it can */

    bool looked_up;                /* this round's drafts are n-grams of the text */
    struct draft_policy policy;    /* of the drafter */
    struct draft_policy lookups;   /* of n-grams, which are tried where the drafter's says `unread` */
    int reach;                     /* of the next n-gram: as far as the last one was right, and REACH_MORE */
    struct draft_policy_round now; /* the round in work */
    uint64_t round_ns;             /* when it began */
};

struct verifiers {
    struct spec_group c;
    struct flights flights;
    struct decode_slot *slots; /* [c.n_slots] borrows, of all slots */
};

struct spec {
    struct spec_config c;
    struct verifiers groups[GROUPS_MOST];
    struct decode_slot *slots; /* [n_slots] owns: of all groups, one after the other */
    int n_slots, n_running;
    struct seq *first, *last; /* those that wait, in the order of their submission; last: where first is */
    uint64_t n_started;
    char *drafter_lost; /* owns: why; NULL: it is there */

    struct action *actions; /* [room] owns */
    size_t n_actions, room;
    bool no_memory; /* for the actions of this step */
    uint64_t now;
};

static inline const struct settings *settings_of(const struct decode_slot *p)
{
    return &p->seq->request.settings;
}

static inline bool is_lossy(const struct decode_slot *p)
{
    return settings_lossy(settings_of(p));
}

static inline struct verifiers *group_of(struct spec *s, const struct decode_slot *p)
{
    return &s->groups[p->group];
}

static inline uint32_t drafter_slot(const struct spec *s, const struct decode_slot *p)
{
    return (uint32_t)(p - s->slots);
}

/* A request that is to have drafts, where there is a drafter. */
static inline bool wants_drafter(const struct spec *s, const struct settings *settings)
{
    return s->c.drafter.peer != PEER_COORDINATOR && settings->drafting && settings->fallback <= 1;
}

static inline bool has_drafter(const struct spec *s, const struct settings *settings)
{
    return !s->drafter_lost && wants_drafter(s, settings);
}

static inline struct sampler sampler_at(const struct decode_slot *p, int offset)
{
    struct sampler sampler = settings_of(p)->sampler;
    sampler.offset = (uint32_t)offset;
    return sampler;
}

/* ---- spec_send.c ---- */

struct action *spec_act(struct spec *s, enum action_kind kind, struct seq *seq);
void spec_open_drafter(struct spec *s, const struct decode_slot *p);
void spec_open_leader(struct spec *s, const struct decode_slot *p);
void spec_cut_leader(struct spec *s, const struct decode_slot *p);
/* Before its leader would stop for not knowing. */
void spec_ack(struct spec *s, struct decode_slot *p);
/* As many parts as may be out at once of what the verify lacks. */
void spec_feed(struct spec *s, struct decode_slot *p);
/* What the verifier lacks of the text, then the drafts of its tail. */
void spec_post_verify(struct spec *s, struct decode_slot *p);
void spec_post_ask(struct spec *s, struct decode_slot *p, int window);
/* A new round: asks for drafts, or verifies what there is, or leaves it to the leader. */
void spec_next_round(struct spec *s, struct decode_slot *p);

/* ---- spec_take.c ---- */

struct taken {
    struct decode_slot *slot; /* whose answer it was */
    bool committed;           /* its text has grown */
    enum seq_end end;         /* why its request is over, if it is */
};
int spec_take_verdict(struct spec *s, int group, const struct verdict *v, struct taken *out, struct err *err);
int spec_take_draft(struct spec *s, const struct draft *d, struct taken *out, struct err *err);

#endif
