#include "worker/engine/timed.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "kernels/math.h"
#include "proto/clock.h"
#include "worker/engine/pass.h"

enum { LOOK_NS = 50000000 }; /* between two looks at the messages */
enum { MADE_UP = 20 };       /* a pass is shorter by one of so many parts at most */

/* Of this share. */
static uint64_t pass_ns(const struct engine *e, int n_rows)
{
    if (e->pair.little) return synthetic_draft_ns(e->pair.synthetic, 1);
    return synthetic_pass_ns(e->pair.synthetic, n_rows) / (uint64_t)e->model.share.n_stages;
}

/* What a pass streams are its nanoseconds, so that costs are expected as they are. */
void timed_info(const struct engine *e, struct engine_info *out)
{
    *out = (struct engine_info){
        .shape = {.n_vocab = SYNTHETIC_VOCAB, .n_embd = 1, .n_ctx = SYNTHETIC_CONTEXT},
        .model_hash = synthetic_hash(e->pair.synthetic),
        .vocab_hash = synthetic_vocab_hash(),
        .body_bytes = pass_ns(e, 1),
        .n_threads = e->n_threads,
    };
}

int timed_load(struct engine *e, struct err *err)
{
    size_t rows = (size_t)e->max_rows;
    e->lp_judged_room = rows * JUDGED_MOST;
    bool ok = (e->answers = calloc(rows, sizeof *e->answers)) && (e->top = calloc(rows, sizeof *e->top)) &&
              (e->lp_judged = calloc(e->lp_judged_room, sizeof *e->lp_judged)) &&
              (e->bad_entry = calloc(rows, sizeof *e->bad_entry));
    return ok ? OK : err_set(err, E_LAYOUT, "%s: out of memory for a pass of %d rows", e->path, e->max_rows);
}

/* Sleeps, and lets the caller look at its messages now and then. */
static int wait_until(struct engine *e, uint64_t due_ns, struct err *err)
{
    int rc = OK;
    for (uint64_t now_ns; rc == OK && (now_ns = clock_now_ns()) < due_ns;) {
        uint64_t left_ns = due_ns - now_ns;
        struct timespec until = clock_at_ns(left_ns < LOOK_NS ? due_ns : now_ns + LOOK_NS);
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {}
        rc = e->between ? e->between(e->between_arg, err) : OK;
    }
    return rc;
}

static void answer(struct engine *e, int i_answer, int32_t id, const struct row *ask)
{
    const struct synthetic *s = e->pair.synthetic;
    float p, *judged = e->lp_judged + (size_t)i_answer * JUDGED_MOST;
    struct top *top = &e->top[i_answer];
    int32_t next = e->pair.little ? synthetic_little(s, id, &p) : synthetic_big(id);
    *top = (struct top){next, e->pair.little ? (float)math_ln((double)p) : synthetic_lp(s, id, next)};
    for (size_t k = 0; k < ask->n_judge; k++) judged[k] = synthetic_lp(s, id, ask->judge[k]);
    e->answers[i_answer] = (struct verdict_row){next, top->lp, judged, ask->n_judge, top, ask->n_top > 0};
}

int timed_pass(struct engine *e, const struct verdict_row **answers, struct err *err)
{
    uint64_t ns = pass_ns(e, e->n_rows), most = ns / MADE_UP, made_up = e->late_ns < most ? e->late_ns : most;
    uint64_t due_ns = clock_now_ns() + ns - made_up;
    int n_answers = 0;
    for (int i = 0; i < e->n_rows; i++)
        if (e->rows[i].ask->wanted) answer(e, n_answers++, (int32_t)e->x[i], e->rows[i].ask);
    *answers = e->answers;
    int rc = wait_until(e, due_ns, err);
    e->late_ns += clock_now_ns() - due_ns - made_up;
    if (e->late_ns > ns) e->late_ns = ns;
    return rc;
}
