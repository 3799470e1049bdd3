#include "worker/roles/role_verifier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"

struct queued_part { /* a part that waits; its rows lie beside it */
    struct part part;
    struct row rows[PASS_ROWS];
    int32_t judge[PASS_ROWS][JUDGED_MOST];
    uint64_t came_us;
};

struct verifier {
    struct worker *w;
    int stage, shard;
    bool last;
    uint32_t n_passes; /* done; also the number of the next */

    /* One pass. Parts with an error have no rows in it. */
    struct part parts[PASS_ROWS];
    size_t n_parts;
    struct engine_row rows[PASS_ROWS];
    int n_rows;
    float *x;                              /* [PASS_ROWS, n_embd] owns */
    struct verdict_row answers[PASS_ROWS]; /* of wanted rows, on the last stage */
    uint32_t queued_us, computed_us;

    /* [n_slots] owns. Why the part failed that would have gone on where the slot ends; "": none did. */
    char (*errors)[sizeof((struct err *)0)->text];

    /* The leader's queue: first .. first + n_queued - 1, modulo. */
    struct queued_part *queue; /* [MAX_JOBS] owns; NULL on other shards */
    size_t first, n_queued;
};

static bool leads(const struct verifier *v)
{
    return v->stage == 0 && v->shard == 0;
}

/* ---- a pass, on any shard ---- */

static int check_part(struct verifier *v, const struct part *part, struct err *err)
{
    int n_vocab = v->w->info.shape.n_vocab;
    if (part->n_rows < 1 || part->n_rows > PASS_ROWS)
        return err_set(err, E_PEER, "a part of %zu rows, expected 1 to %d", part->n_rows, PASS_ROWS);
    for (size_t i = 0; i < part->n_rows; i++) {
        const struct row *row = &part->rows[i];
        if (row->n_top > MAX_TOP)
            return err_set(err, E_PEER, "a part that asks for the %u best ids, at most %d", row->n_top, MAX_TOP);
        bool bad = row->id < 0 || row->id >= n_vocab;
        for (size_t k = 0; k < row->n_judge; k++) bad |= row->judge[k] < 0 || row->judge[k] >= n_vocab;
        if (bad) return err_set(err, E_PEER, "a part with an id outside the vocabulary of %d", n_vocab);
    }
    return OK;
}

static bool follows_failed(const struct verifier *v, const struct part *part)
{
    return part->slot < (uint32_t)v->w->slots.n && *v->errors[part->slot] &&
           part->at > slots_held(&v->w->slots, part->slot);
}

/* The slot ends where the part began, or where one failed that it follows. */
static void fail_part(struct verifier *v, struct part *part, const char *error)
{
    char *why = v->errors[part->slot];
    if (!follows_failed(v, part)) {
        slots_cut(&v->w->slots, part->slot, part->at);
        snprintf(why, sizeof *v->errors, "%s", error);
    }
    part->error = why;
}

/* A part joins the pass and its slot's history, as the leader has it too. It was checked, and there is room. */
static void append_part(struct verifier *v, const struct part *part)
{
    *v->errors[part->slot] = '\0';
    int32_t ids[PASS_ROWS];
    for (size_t i = 0; i < part->n_rows; i++) {
        ids[i] = part->rows[i].id;
        v->rows[v->n_rows++] =
            (struct engine_row){(int)part->slot, (int)(part->at + i), &part->rows[i], &part->sampler, 0, NULL, 0};
    }
    slots_apply(&v->w->slots, part->slot, part->at, ids, part->n_rows);
}

/* A part of a Pass that came, with its hidden rows if it has no error. */
static int join_part(struct verifier *v, struct part *part, const float *hidden, struct err *err)
{
    size_t n_embd = (size_t)v->w->info.shape.n_embd;
    enum verdict_status status = slots_check(&v->w->slots, part->slot, part->at, part->prefix_hash, part->n_rows);
    bool follows = follows_failed(v, part);
    if ((status != VERDICT_OK && !follows) || (part->error && v->stage == 0))
        return err_set(err, E_PEER, "peer %d: a Pass that does not fit", v->w->config->peer);
    if (part->error || follows) {
        fail_part(v, part, part->error);
        return OK;
    }
    memcpy(v->x + (size_t)v->n_rows * n_embd, hidden, part->n_rows * n_embd * sizeof *hidden);
    append_part(v, part);
    return OK;
}

static int join_parts(struct verifier *v, const struct pass *pass, struct err *err)
{
    size_t n_embd = (size_t)v->w->info.shape.n_embd, n_rows = 0, n_computed = 0;
    for (size_t p = 0; p < pass->n_parts; p++) {
        const struct part *part = &pass->parts[p];
        int rc = check_part(v, part, err);
        if (rc != OK) return rc;
        n_rows += part->n_rows;
        n_computed += part->error ? 0 : part->n_rows;
    }
    if (n_rows > PASS_ROWS || pass->n_hidden != n_computed * n_embd)
        return err_set(err, E_PEER, "peer %d: a Pass of %zu rows with %zu numbers", v->w->config->peer, n_rows,
                       pass->n_hidden);
    const float *hidden = pass->hidden;
    for (v->n_rows = 0, v->n_parts = 0; v->n_parts < pass->n_parts; v->n_parts++) {
        struct part *part = &v->parts[v->n_parts];
        *part = pass->parts[v->n_parts];
        size_t n = part->error ? 0 : part->n_rows * n_embd;
        int rc = join_part(v, part, hidden, err);
        if (rc != OK) return rc;
        hidden += n;
    }
    return OK;
}

static int pass_post(struct verifier *v, int to, struct err *err)
{
    struct message m = {.tag = TAG_PASS,
                        .pass = {.pass = v->n_passes,
                                 .parts = v->parts,
                                 .n_parts = v->n_parts,
                                 .hidden = v->x,
                                 .n_hidden = (size_t)v->n_rows * (size_t)v->w->info.shape.n_embd,
                                 .queued_us = v->queued_us,
                                 .computed_us = v->computed_us}};
    return worker_post(v->w, to, &m, err);
}

/* What was found about a part, with the rest of what a verdict on it says. */
static int post_verdict(struct verifier *v, const struct part *part, struct verdict found, struct err *err)
{
    found.job = part->job;
    found.slot = part->slot;
    found.round = part->round;
    found.at = part->at;
    found.prefix_hash = part->prefix_hash;
    return worker_post(v->w, PEER_COORDINATOR, &(struct message){.tag = TAG_VERDICT, .verdict = found}, err);
}

static int post_verdicts(struct verifier *v, struct err *err)
{
    const struct verdict_row *answers = v->answers;
    int rc = OK;
    for (size_t p = 0; p < v->n_parts && rc == OK; p++) {
        const struct part *part = &v->parts[p];
        size_t n_wanted = 0;
        for (size_t i = 0; i < part->n_rows && !part->error; i++) n_wanted += part->rows[i].wanted;
        uint32_t held = part->error ? slots_held(&v->w->slots, part->slot) : part->at + (uint32_t)part->n_rows;
        rc = post_verdict(v, part,
                          (struct verdict){.status = part->error ? VERDICT_FAILED : VERDICT_OK,
                                           .held = held,
                                           .rows = answers,
                                           .n_rows = n_wanted,
                                           .queued_us = v->queued_us,
                                           .computed_us = v->computed_us,
                                           .error = part->error},
                          err);
        answers += n_wanted;
    }
    return rc;
}

static bool is_computed(const struct verifier *v, const struct part *part, int row, struct err *why)
{
    for (int i = row; i < row + (int)part->n_rows; i++)
        if (engine_row_error(v->w->engine, i, why) != OK) return false;
    return true;
}

/* After the engine: parts that it could not compute fail. The rows and answers of the others move up. */
static void settle_parts(struct verifier *v, const struct verdict_row *answers)
{
    size_t n_embd = (size_t)v->w->info.shape.n_embd;
    struct verdict_row *kept = v->answers;
    struct err why;
    int row = 0, n_kept = 0;
    for (size_t p = 0; p < v->n_parts; p++) {
        struct part *part = &v->parts[p];
        if (part->error) continue;
        if (follows_failed(v, part) || !is_computed(v, part, row, &why)) fail_part(v, part, why.text);
        for (size_t i = 0; i < part->n_rows; i++, row++) {
            bool answered = v->last && part->rows[i].wanted;
            if (!part->error && answered) *kept++ = *answers;
            if (!part->error && n_kept++ < row)
                memcpy(v->x + (size_t)(n_kept - 1) * n_embd, v->x + (size_t)row * n_embd, n_embd * sizeof *v->x);
            answers += answered;
        }
    }
    v->n_rows = n_kept;
}

/* Runs this shard's share over v->parts and v->x, and hands on what comes out. */
static int pass_run(struct verifier *v, struct err *err)
{
    const struct verdict_row *answers = NULL;
    uint64_t start = clock_now_us();
    int rc = v->n_rows ? engine_pass(v->w->engine, v->rows, v->n_rows, v->x, &answers, err) : OK;
    if (rc != OK) return rc;
    settle_parts(v, answers);
    v->computed_us += (uint32_t)(clock_now_us() - start);
    if (!v->last)
        rc = pass_post(v, group_peer(v->w->group, v->stage + 1, v->shard), err);
    else if (v->shard == 0)
        rc = post_verdicts(v, err);
    v->n_passes++;
    return rc;
}

/* A Pass from the leader, or from the same shard of the stage before. */
static int pass_take(struct verifier *v, const struct pass *pass, struct err *err)
{
    if (pass->pass != v->n_passes)
        return err_set(err, E_PEER, "peer %d: Pass %u where %u was next", v->w->config->peer, pass->pass, v->n_passes);
    if (pass->n_parts < 1 || pass->n_parts > PASS_ROWS)
        return err_set(err, E_PEER, "peer %d: a Pass of %zu parts", v->w->config->peer, pass->n_parts);
    int rc = join_parts(v, pass, err);
    if (rc != OK) return rc;
    v->queued_us = pass->queued_us;
    v->computed_us = pass->computed_us;
    return pass_run(v, err);
}

/* ---- the leader ---- */

static int refuse(struct verifier *v, const struct part *part, enum verdict_status status, struct err *err)
{
    struct verdict found = {.status = status, .held = slots_held(&v->w->slots, part->slot)};
    if (status == VERDICT_FAILED) found.error = v->errors[part->slot];
    return post_verdict(v, part, found, err);
}

/* Two parts of one slot may share a pass only if the second goes on where the first ends. */
static bool rewinds_inside(const struct verifier *v, const struct part *part)
{
    for (size_t i = 0; i < v->n_parts; i++)
        if (v->parts[i].slot == part->slot && part->at < v->parts[i].at + v->parts[i].n_rows) return true;
    return false;
}

/* Puts a part into the pass where it applies. MAIL_NONE: no room in this pass (each part has a row: parts
 * have room if rows have). */
static int add_part(struct verifier *v, const struct part *part, struct err *err)
{
    if (part->n_rows > (size_t)(PASS_ROWS - v->n_rows)) return MAIL_NONE;
    if (rewinds_inside(v, part)) return MAIL_NONE;
    enum verdict_status status = slots_check(&v->w->slots, part->slot, part->at, part->prefix_hash, part->n_rows);
    if (follows_failed(v, part)) status = VERDICT_FAILED;
    if (status != VERDICT_OK) return refuse(v, part, status, err);
    append_part(v, part);
    v->parts[v->n_parts++] = *part;
    return OK;
}

static struct queued_part *queue_at(struct verifier *v, size_t i)
{
    return &v->queue[(v->first + i) % MAX_JOBS];
}

/* There is room. */
static int queue_add(struct verifier *v, const struct part *part, struct err *err)
{
    struct queued_part *q = queue_at(v, v->n_queued);
    int rc = check_part(v, part, err);
    if (rc != OK) return rc;
    q->part = *part;
    q->part.rows = q->rows;
    q->part.error = NULL;
    q->came_us = clock_now_us();
    for (size_t i = 0; i < part->n_rows; i++) {
        q->rows[i] = part->rows[i];
        q->rows[i].judge = q->judge[i];
        for (size_t k = 0; k < part->rows[i].n_judge; k++) q->judge[i][k] = part->rows[i].judge[k];
    }
    v->n_queued++;
    return OK;
}

/* Takes parts in the order in which they came, until the pass is full. Returns how many are taken or refused. */
static int gather_parts(struct verifier *v, size_t *n_taken, struct err *err)
{
    uint64_t now = clock_now_us();
    v->n_parts = 0;
    v->n_rows = 0;
    for (*n_taken = 0; *n_taken < v->n_queued; (*n_taken)++) {
        const struct queued_part *q = queue_at(v, *n_taken);
        if (v->n_parts == 0) v->queued_us = (uint32_t)(now - q->came_us);
        int rc = add_part(v, &q->part, err);
        if (rc != OK) return rc == MAIL_NONE ? OK : rc;
    }
    return OK;
}

static int lead_pass(struct verifier *v, struct err *err)
{
    size_t n_taken;
    int rc = gather_parts(v, &n_taken, err);
    if (rc == OK && v->n_rows) {
        int32_t ids[PASS_ROWS];
        for (int i = 0; i < v->n_rows; i++) ids[i] = v->rows[i].ask->id;
        engine_embed(v->w->engine, ids, v->n_rows, v->x);
        v->computed_us = 0;
        const struct group *g = v->w->group;
        for (int s = 1; s < g->tp && rc == OK; s++) rc = pass_post(v, group_peer(g, 0, s), err);
        if (rc == OK) rc = pass_run(v, err);
    }
    v->first = (v->first + n_taken) % MAX_JOBS;
    v->n_queued -= n_taken;
    return rc;
}

/* ---- messages ---- */

static int take(struct verifier *v, bool block, struct err *err)
{
    struct worker *w = v->w;
    struct message m;
    if (v->n_queued == MAX_JOBS) return MAIL_NONE; /* messages wait in the mailbox until there is room */
    int rc = worker_next(w, &w->in, block, &m, err);
    if (rc != OK) return rc;
    switch (m.tag) {
    case TAG_QUIT:
    case TAG_OPEN: return OK; /* a verifier needs nothing of Open yet: slots are taken over by at = 0 */
    case TAG_PASS:
        if (leads(v)) break;
        return pass_take(v, &m.pass, err);
    case TAG_VERIFY:
        if (!leads(v)) break;
        return queue_add(v, &m.verify, err);
    default: break;
    }
    return err_set(err, E_PEER, "peer %d: an unexpected %s", w->config->peer, wire_tags[m.tag].name);
}

static int verifier_loop(struct verifier *v, struct err *err)
{
    while (!v->w->quit) {
        int rc = take(v, v->n_queued == 0, err);
        while (rc == OK && !v->w->quit && v->n_queued) rc = take(v, false, err); /* all that is there, then a pass */
        if (rc == MAIL_NONE) rc = OK;
        if (rc == OK && v->n_queued && !v->w->quit) rc = lead_pass(v, err);
        if (rc != OK) return rc;
    }
    return OK;
}

int verifier_serve(struct worker *w, struct err *err)
{
    const struct group *g = w->group;
    struct verifier *v = calloc(1, sizeof *v);
    if (!v) return err_set(err, E_LAYOUT, "out of memory");
    v->w = w;
    v->stage = group_stage(g, w->config->peer);
    v->shard = group_shard(g, w->config->peer);
    v->last = v->stage == g->pp - 1;
    int rc = OK;
    v->x = calloc((size_t)PASS_ROWS * (size_t)w->info.shape.n_embd, sizeof *v->x);
    v->errors = calloc((size_t)w->slots.n, sizeof *v->errors);
    if (leads(v)) v->queue = calloc(MAX_JOBS, sizeof *v->queue);
    if (!v->x || !v->errors || (leads(v) && !v->queue)) rc = err_set(err, E_LAYOUT, "out of memory");
    if (rc == OK) rc = verifier_loop(v, err);
    free(v->errors);
    free(v->queue);
    free(v->x);
    free(v);
    return rc;
}
