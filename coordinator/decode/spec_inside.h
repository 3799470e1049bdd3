/* spec_inside.h -- the inside of spec: what its seven files share.
 *
 *   spec.c          requests come and go: the queue, the choice of a slot, the end; one event, one step
 *     ├▶ spec_copy.c   what a text begins with that other slots hold: copied, not computed again
 *     └▶ spec_take.c   what comes in: a Verdict's rows become text, a Draft's ids become the tail
 *          ├▶ spec_ahead.c  the same where the drafter runs ahead: no rounds, but a stream
 *          ├▶ spec_early.c  a lossy text's next draft, while this one is verified
 *          └▶ spec_send.c   what goes out: parts, asks; what the next round is
 *               └▶ spec_budget.c   how far a request drafts beside others
 */
#ifndef COORDINATOR_DECODE_SPEC_INSIDE_H
#define COORDINATOR_DECODE_SPEC_INSIDE_H

#include "coordinator/decode/drafter_view.h"
#include "coordinator/decode/flights.h"
#include "coordinator/decode/spec.h"
#include "proto/budget.h"
#include "proto/policy_early.h"

enum {
    UNPAID_MOST = 4, /* runs of copies without a right draft, in a row, before a pause; after it half as many */
    REFUSED_MOST = 2 /* refusals in a row, of a verify or an ask */
};

struct copies {      /* what big copies from earlier text, beside a little model: the leader drafts it */
    bool running;    /* it goes on by itself while its drafts are right */
    bool paid;       /* one of this run was */
    int n_unpaid;    /* runs in a row that did not pay */
    int pause, left; /* ids between the last of them and the next run; those left of them */
};

struct ahead { /* the drafter runs ahead of the verdicts, and the leader goes on by itself */
    bool on;
    int posted;       /* drafts before this position are judged, or on their way to be */
    int until;        /* position up to which drafts were asked for */
    int first;        /* so many drafts go together where none is on its way */
    uint32_t hold_us; /* that the leader waits for them */
};

struct source { /* a slot of the same group that holds what a text begins with, or will once its prompt is read */
    const struct decode_slot *slot; /* NULL: none */
    uint64_t request;               /* its request then: of another one it holds nothing */
    int n;                          /* ids */
};

/* The early draft of a lossy text: the next round's, asked for when this round's goes to be verified. The drafter
 * assumes that all of that is kept, and that big's own id behind it, which it guesses, is little's. */
struct early {
    bool waits;           /* for the verdict on a draft that another may follow */
    bool on;              /* it was asked for, and is not taken up yet */
    bool right;           /* big has written what it goes on from: it is this round's draft */
    bool ended, lost;     /* all of it is here; the drafter could not */
    bool unsure;          /* little was, of the guess */
    int at;               /* the guess's position */
    int n;                /* rows that have come: the guess, and the draft behind it */
    uint64_t prefix_hash; /* of the drafter's text with them */
    struct draft_row rows[DRAFTS_MOST + 1];
    enum draft_end end;
    struct draft_policy_early policy;
};

struct decode_slot { /* a slot of a group of verifiers, the drafter's slot beside it, and what both hold */
    int group, slot; /* slot: of the group */
    int i_drafter;   /* its drafter, where a little model drafts, and the slot there */
    uint32_t drafter_slot;
    struct seq *seq;  /* NULL: free */
    uint64_t request; /* number of its request, or of the last one: the owner of its flights */
    int32_t *last;    /* [n_ctx] owns: the last text in this slot, of which the first `held` ids count */
    struct row *rows; /* [n_ctx] owns: what is being fed, by position */

    /* The verifier's side. */
    uint32_t round;       /* a draft and its verify */
    int held;             /* final ids whose rows it has once all that was sent is done */
    bool feeding;         /* more parts of this verify are to be sent */
    int n_read;           /* ids of a prompt whose rows it has answered */
    struct source source; /* from where the first ids are to be copied, before anything is fed */
    uint32_t copies_from; /* for the next part (part.from) */
    int n_refused;        /* in a row */
    uint64_t verify_ns;   /* when this verify began */
    uint32_t computed_us; /* on its parts so far */

    /* Self-start. */
    bool self;           /* the leader goes on by itself, for self_left more ids */
    bool goes_on;        /* and further, until it is cut: Acks let it */
    int self_left;       /* INT_MAX: until it is cut, or to the text's end */
    uint32_t self_round; /* of its verdicts; 0: it never did */
    int self_drafts;     /* the most that it may have drafted in this text, a pass */
    bool self_begun;     /* what was sent after that Open has an answer: no id of a text before can come any more */
    int self_max;        /* of its Open */
    int acked;           /* ids of the text that the leader knows to have arrived */
    int n_plain;         /* ids in a row that came without a draft */
    uint64_t self_ns;    /* when the last ids came */

    struct ahead ahead;
    struct early early;

    /* The drafter's side. */
    struct drafter_view drafter;
    bool together;              /* it had no drafts because other requests ran beside it */
    double stake_ns;            /* what this round's drafts may take from all requests, at most */
    bool gathers;               /* its draft, if it has one, waits for those of others: they share a pass */
    bool rolled_back;           /* rule repo: big writes the next token too */
    enum withheld_why unusable; /* why it cannot draft this text at all; WITHHELD_NOT: it can */

    struct draft_policy policy; /* for the drafter */
    struct copies copies;
    struct draft_policy_round now; /* the current round */
    uint64_t round_ns;             /* when it began */
};

struct verifiers {
    struct spec_group c;
    struct spec_link link;
    struct pass_times times; /* of all its stages */
    double token_ns;         /* of an id that its leader writes by itself, the newest weighs most; 0: not known */
    struct flights flights;
    struct decode_slot *slots; /* [c.n_slots] borrows, of all slots */
};

struct trials {                   /* drafts beside other requests, on the verifiers' cores */
    double purse_ns;              /* that they may take from all; what they gain goes into it */
    double draft_ns;              /* of a drafted token, as the last round of any request had it; 0: not known */
    double accept_ratio;          /* likewise (struct draft_policy) */
    bool rounds;                  /* all that draft do so in rounds, each with one pass */
    uint64_t drafted_ns, read_ns; /* when the last draft came that it pays for, and the last prompt was read */
};

struct spec {
    struct spec_config c;
    struct trials trials;
    struct verifiers groups[GROUPS_MOST];
    struct decode_slot *slots; /* [n_slots] owns: of all groups, one after the other */
    int n_slots, n_running;
    struct seq *first, *last; /* the queue, in order of submission; last counts only if first is not NULL */
    uint64_t n_started;
    char *drafter_lost[DRAFTERS_MOST]; /* owns: why each was lost; NULL: it was not */

    struct action *actions; /* [room] owns */
    size_t n_actions, room;
    bool no_memory; /* there was none for the actions of this step */
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

/* Drafts come from the verifiers' leader, beside what it writes by itself: to lossy texts, which ask for them. */
static inline bool drafts_at_leader(const struct spec *s)
{
    return drafter_is_leader(s->c.drafter.kind);
}

/* Whom it asks for drafts, and its slot there. */
static inline int drafter_peer(struct spec *s, const struct decode_slot *p)
{
    return drafts_at_leader(s) ? group_of(s, p)->c.peer : s->c.drafter.peer + p->i_drafter;
}

/* The leaders may go on by themselves. */
static inline bool self_starts(const struct spec *s)
{
    return s->c.self_max == SELF_MEASURED || s->c.self_max >= 2;
}

/* At least one, behind ids that an Ack says have arrived: then each takes a round trip. */
static inline int self_most(struct spec *s, const struct decode_slot *p)
{
    const struct verifiers *g = group_of(s, p);
    int most = spec_self_most(s->c.self_max, g->link.rtt_ns, g->token_ns);
    return most > 1 ? most : 1;
}

static inline int n_running(const struct verifiers *g)
{
    int n = 0;
    for (int i = 0; i < g->c.n_slots; i++) n += g->slots[i].seq != NULL;
    return n;
}

/* How many ids the two begin with alike. */
static inline int n_alike(const int32_t *a, const int32_t *b, int n)
{
    int i = 0;
    while (i < n && a[i] == b[i]) i++;
    return i;
}

static inline uint32_t drafter_slot(const struct spec *s, const struct decode_slot *p)
{
    return drafts_at_leader(s) ? (uint32_t)p->slot : p->drafter_slot;
}

/* To both vocabularies. */
static inline bool is_known(const struct spec *s, int32_t id)
{
    return id >= 0 && id < s->c.drafter.n_ids;
}

static inline bool wants_drafts(const struct settings *settings)
{
    return settings->drafting && settings->fallback <= 1;
}

/* There is a drafter to ask, perhaps lost, and the settings want drafts. Of the leader only lossy texts ask. */
static inline bool wants_drafter(const struct spec *s, const struct settings *settings)
{
    bool asks = s->c.drafter.kind == DRAFTER_LITTLE || (drafts_at_leader(s) && settings_lossy(settings));
    return asks && wants_drafts(settings);
}

static inline bool has_drafter(const struct spec *s, const struct decode_slot *p)
{
    return !s->drafter_lost[p->i_drafter] && wants_drafter(s, settings_of(p));
}

/* The drafter lacks what the ask goes on from, or cannot compute it. */
static inline bool is_lost(enum draft_end end)
{
    return end == DRAFT_STALE || end == DRAFT_GAP || end == DRAFT_FULL || end == DRAFT_FAILED;
}

static inline struct sampler sampler_at(const struct decode_slot *p, int offset)
{
    struct sampler sampler = settings_of(p)->sampler;
    sampler.offset = (uint32_t)offset;
    return sampler;
}

/* The drafter and big may compute at once, and the text is lossy: what the drafter does while big computes is only what
 * it would do later. */
static inline bool drafts_early(const struct spec *s, const struct decode_slot *p)
{
    int ahead = settings_of(p)->draft_ahead; /* a number that is given overrides */
    bool apart = ahead > 0 || (ahead < 0 && !s->c.drafter.shares_cores);
    return apart && is_lossy(p) && s->c.drafter.kind == DRAFTER_LITTLE && has_drafter(s, p);
}

/* Several requests run, and the drafter takes the verifiers' cores. */
static inline bool is_beside(const struct spec *s)
{
    return s->c.drafter.kind == DRAFTER_LITTLE && s->c.drafter.shares_cores && s->n_running > 1;
}

/* The drafter and big may compute at once: the leader of an exact text goes on while drafts are written; without
 * self-start only if that is asked for, and no further than ids have arrived. Not where the drafter reads only a small
 * part of the prompt: there the leader drafts, too. Nor beside others on shared cores, whose purse pays for rounds. */
static inline bool is_apart(const struct spec *s, const struct decode_slot *p)
{
    int ahead = settings_of(p)->draft_ahead; /* a number that is given overrides */
    bool apart = ahead > 0 || (ahead < 0 && settings_of(p)->adaptive && !s->c.drafter.shares_cores);
    if (is_beside(s) && p->policy.enabled) return false;
    bool goes_on = self_starts(s) || ahead > 0;
    return apart && has_drafter(s, p) && goes_on && !is_lossy(p) && !p->policy.unread;
}

/* Drafts that go in one message. */
static inline int draft_block(const struct decode_slot *p)
{
    int given = settings_of(p)->draft_block;
    return given > 0 ? given : draft_policy_block(&p->policy);
}

/* There the leader goes on with a text until drafts are worth it: one that waits for its next round misses a pass. */
static inline bool goes_on_beside(const struct spec *s, const struct decode_slot *p)
{
    return is_beside(s) && p->policy.enabled && self_starts(s);
}

/* Drafts of earlier text that the leader may judge in one pass where it writes this text by itself. Where a drafter
 * that ran ahead is lost, parts are still under way that a run of copies would cross: there are none. */
static inline int leader_drafts(const struct spec *s, const struct decode_slot *p)
{
    bool in_turn = p->policy.enabled && has_drafter(s, p) && !is_apart(s, p);
    in_turn &= p->policy.timed || is_beside(s);
    bool drafts = drafts_at_leader(s) || p->policy.unread || in_turn;
    return drafts && wants_drafts(settings_of(p)) ? settings_of(p)->draft_max : 0;
}

/* ---- spec_send.c ---- */

struct action *spec_act(struct spec *s, enum action_kind kind, struct seq *seq);
void spec_open_drafter(struct spec *s, const struct decode_slot *p);
/* Open: from this round on the leader may write n ids by itself; INT_MAX: until it is cut, or to the text's end. */
void spec_start_self(struct spec *s, struct decode_slot *p, int n);
void spec_cut_leader(struct spec *s, const struct decode_slot *p);
void spec_cut_drafter(struct spec *s, const struct decode_slot *p);
/* Sends an Ack, if it is time: before the leader stops because none came. */
void spec_ack(struct spec *s, struct decode_slot *p);
/* Tells the leader how long to wait for drafts, unless it knows that much. */
void spec_hold(struct spec *s, struct decode_slot *p, double hold_ns);
/* Rows [at, at + n_rows) of text and tail: those from the last of the first n_text ids on are wanted, and judge the id
 * that follows, if there is one. */
void spec_post_part(struct spec *s, struct decode_slot *p, int at, int n_rows, int n_text);
/* Big's answer to the last id starts the leader, which goes on until it is cut. */
void spec_start_going_on(struct spec *s, struct decode_slot *p);
/* Sends parts of the current verify, as many as may be in flight at once. */
void spec_feed(struct spec *s, struct decode_slot *p);
/* Verifies: the ids of the text that the verifier lacks, then the drafts of the tail. */
void spec_post_verify(struct spec *s, struct decode_slot *p);
void spec_post_ask(struct spec *s, struct decode_slot *p, int window);
/* Asks the drafter to read what it lacks of the text, and no more. */
void spec_read_ahead(struct spec *s, struct decode_slot *p);
/* Asks for the next round's draft, behind the tail and a guess of big's own id. */
void spec_post_early_ask(struct spec *s, struct decode_slot *p, int window);
/* The most drafts of a round, were the text so long. */
int spec_most_drafts(const struct spec *s, const struct decode_slot *p, int n_ids);
/* How many tokens to draft now; 0: none. */
int spec_draft_window(struct spec *s, struct decode_slot *p);
/* A new round: asks for drafts, or lets big write, the leader by itself where several ids are due. Does nothing while
 * the leader has ids left to write. Why the text ends with an early draft, if it does. */
enum seq_end spec_next_round(struct spec *s, struct decode_slot *p);

/* ---- spec_copy.c ---- */

/* The slot of a group that has most of what a text begins with. */
struct source spec_offer(const struct verifiers *g, const int32_t *ids, int n_ids);
/* Whether to copy it to a slot that holds so many of these ids. */
bool spec_is_worth(const struct source *from, int n_held);
/* Where there is something to copy, the slot's next part says so, and begins behind it. False: it is to be waited for,
 * as it is of a prompt that is being sent; no longer than that takes, or its request. */
bool spec_take_source(struct spec *s, struct decode_slot *p);
/* Where the drafter has read nothing of an exact text, but this in another slot, its view is that of a copy, which the
 * next ask says. */
void spec_view_other(struct spec *s, struct decode_slot *p);

/* ---- spec_ahead.c ---- */

/* From now on the drafter runs ahead. */
void spec_run_ahead(struct spec *s, struct decode_slot *p, int window);
/* The text has grown: the drafter is told, and goes on. False: it is not to run ahead any more. */
bool spec_stays_ahead(struct spec *s, struct decode_slot *p);
/* Sends what is drafted and not on its way yet, as there is room. A draft that has come to its end gets a row more:
 * big's own id behind it. */
void spec_post_drafts(struct spec *s, struct decode_slot *p, bool ended);
/* It is over: the leader goes on, and after n ids more a round begins. */
void spec_end_ahead(struct spec *s, struct decode_slot *p, int n);
void spec_take_ahead(struct spec *s, struct decode_slot *p, const struct draft *d);
/* The leader refused a part of drafts. */
void spec_ahead_refused(struct spec *s, struct decode_slot *p, const struct flight *f);

/* ---- spec_early.c ---- */

/* A draft goes to be verified: if it pays, the next one is asked for. */
void spec_begin_early(struct spec *s, struct decode_slot *p, const struct draft *d);
/* The verdict on that draft is here. */
void spec_note_early(struct spec *s, struct decode_slot *p, bool kept);
/* A part of it. */
int spec_take_early(struct spec *s, struct decode_slot *p, const struct draft *d, enum seq_end *end, struct err *err);
/* A round of this window begins, and there may be an early draft for it. True: it is taken up. */
bool spec_take_up_early(struct spec *s, struct decode_slot *p, int window, enum seq_end *end);
/* It goes on from what is not so. */
void spec_drop_early(struct decode_slot *p);

/* ---- spec_budget.c ---- */

/* What a verdict says of the pass that gave it. */
void spec_note_pass(struct verifiers *g, const struct verdict *v);
void spec_begin_trials(struct spec *s);
/* A text has n ids more; by_itself: the leader went on. */
void spec_note_tokens(struct spec *s, struct decode_slot *p, int n, bool by_itself);
/* Big has judged a round of the drafter's. */
void spec_note_drafts(struct spec *s, const struct decode_slot *p);
/* Requests that run together share each pass of big's: a token of another one costs next to nothing. Where the roles
 * share cores, drafts take them from all. So none are written unless they are expected to be worth it to all, by T(n)
 * and by what any request has found of the drafter: drafts of all, which are verified in one pass, or of one, while the
 * others go on. And whatever is expected, all drafts together may have taken 160 ms and 0.4 % of the time more than
 * they gave: less than 3 % of the first 8 seconds. A round begins only where that holds even if all its drafts are
 * wrong. Requests of other groups count too: one drafter serves all.
 * n_left: tokens that may still come. Returns how many drafts, of at most `most`, this round should have; 0: none. */
int spec_beside_window(struct spec *s, struct decode_slot *p, int most, int n_left);
/* Whether what a request has to be verified should wait for others' drafts. */
bool spec_gathers(const struct spec *s, const struct decode_slot *p);
/* Where the drafts of all requests that wait for some are there, they go to be verified, in one pass. */
void spec_post_gathered(struct spec *s);
/* How many of these drafts a round of one request should have beside the group's others (budget.h). Where it runs ahead
 * the leader decides. */
int spec_budget_window(struct spec *s, const struct decode_slot *p, int window);

/* ---- spec_take.c ---- */

/* Waiting, and computing in it. */
void spec_note_wait(struct seq *q, uint64_t waited_ns, uint64_t worked_us, uint64_t *worked_ns);
/* The drafter lacks what its ask goes on from, or cannot compute it. */
enum seq_end spec_ask_lost(struct spec *s, struct decode_slot *p, enum draft_end end);
/* The draft's ids that big has are the tail, which goes to be verified. */
enum seq_end spec_take_tail(struct spec *s, struct decode_slot *p, const struct draft *d);

struct taken {
    struct decode_slot *slot; /* that the answer is for */
    bool committed;           /* its text has grown, and a new round may begin */
    enum seq_end end;         /* why its request is over; SEQ_RUNNING: it is not */
};
int spec_take_verdict(struct spec *s, int group, const struct verdict *v, struct taken *out, struct err *err);
int spec_take_draft(struct spec *s, const struct event *event, struct taken *out, struct err *err);

#endif
