#include "worker/engine/other_plans.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/files/gguf_blocks.h"
#include "worker/engine/model.h"

/* Entries that both plans begin with, of the first stage's. */
static int count_shared(const struct plan *served, int to, const struct plan *draft)
{
    int n = 0;
    for (; n < to && n < draft->n_entries; n++) {
        const struct plan_entry *a = &served->entries[n], *b = &draft->entries[n];
        if (a->block != b->block || a->part != b->part || a->step != b->step) return n;
    }
    return n;
}

/* The steps that a plan takes with a block before an entry: the time at which that begins. */
static double time_of(const struct plan *p, int i_entry)
{
    double time = 0;
    for (int i = 0; i < i_entry; i++)
        if (p->entries[i].block == p->entries[i_entry].block) time += (double)p->entries[i].step;
    return time;
}

/* The served plan's entry whose part of the same block another plan's entry takes: the nearest in time. -1: there is
 * none. */
static int nearest(const struct plan *served, const struct plan *other, int i_entry, enum plan_part part)
{
    double time = time_of(other, i_entry), least = INFINITY;
    int found = -1;
    for (int i = 0; i < served->n_entries; i++) {
        const struct plan_entry *e = &served->entries[i];
        double away = fabs(time_of(served, i) - time);
        if (e->block != other->entries[i_entry].block || !(e->part & part) || away >= least) continue;
        least = away;
        found = i;
    }
    return found;
}

/* Whether one of the first `to` entries of a plan has each part of an entry. */
static bool has_parts(const struct plan *p, int to, const struct plan_entry *e)
{
    int found = 0;
    for (int i = 0; i < to; i++)
        if (p->entries[i].block == e->block) found |= (int)p->entries[i].part;
    return !((int)e->part & ~found);
}

/* Each entry gets the cache that it uses: the nearest of the whole served plan, so that what is drafted is the same
 * however many stages there are, and lossy texts with it. */
static int fit(const struct model *m, struct draft_plan *d, struct err *err)
{
    for (int i = 0; i < d->plan.n_entries; i++) {
        struct plan_entry *e = &d->plan.entries[i];
        if (e->block >= m->shape.n_blocks) break; /* the side file's, which is the last */
        if (!has_parts(&m->plan, m->plan.n_entries, e))
            return err_set(err, E_MODEL, "block %d, which the served plan does not run", e->block);
        if (!has_parts(&m->plan, m->entry_to, e))
            return err_set(err, E_LAYOUT, "block %d is not in the first of %d stages: an earlier exit, or fewer stages",
                           e->block, m->share.n_stages);
        if (i < d->n_shared || !(e->part & PART_ATTENTION)) continue;
        int at = nearest(&m->plan, &d->plan, i, PART_ATTENTION);
        if (at >= m->entry_to)
            return err_set(err, E_LAYOUT,
                           "entry %d, block %d, reads the cache of the served plan's entry %d, and the first of %d "
                           "stages has %d entries: fewer stages, or another --stage-share",
                           i, e->block, at, m->share.n_stages, m->entry_to);
        e->cache = m->plan.entries[at].cache;
    }
    return OK;
}

/* A block that comes back may use the cache of an entry that both plans begin with, and what the draft writes there is
 * not what the served plan would: nothing is shared from that entry on. */
static int count_kept(const struct model *m, const struct draft_plan *d)
{
    int n = d->n_shared;
    for (int i = d->n_shared; i < d->plan.n_entries; i++) {
        const struct plan_entry *e = &d->plan.entries[i];
        if (e->block >= m->shape.n_blocks || e->cache < 0) continue; /* a side file's has one to itself */
        for (int k = 0; k < n; k++)
            if (m->plan.entries[k].cache == e->cache) n = k;
    }
    return n;
}

static struct plan_entry *last_of(const struct draft_plan *d)
{
    return &d->plan.entries[d->plan.n_entries - 1];
}

void other_plans_place(struct model *m)
{
    for (int d = 0; d < m->n_drafts; d++)
        for (int i = 0; i < m->sides.n_entries; i++)
            if (m->sides.entries[i].block == last_of(&m->drafts[d])->block)
                last_of(&m->drafts[d])->cache = m->sides.entries[i].cache;
}

/* An exit of a side file has a block here. They are listed in the order of the entries before them. */
static int add_side(struct model *m, int block, int behind, struct err *err)
{
    struct plan *p = &m->sides;
    if (!p->entries && !(p->entries = calloc(SIDE_EXITS_MOST, sizeof *p->entries)))
        return err_set(err, E_LAYOUT, "out of memory for a side file");
    for (int i = 0; i < p->n_entries; i++)
        if (p->entries[i].block == block) return OK; /* of another plan, too */
    int at = p->n_entries++;
    for (; at > 0 && m->side_at[at - 1] > behind; at--) {
        p->entries[at] = p->entries[at - 1];
        m->side_at[at] = m->side_at[at - 1];
    }
    m->side_at[at] = behind;
    p->entries[at] = (struct plan_entry){.block = block, .part = PART_BOTH, .step = 1};
    return OK;
}

/* The block of a side file reads hidden rows that the served plan has too: of every position, not of drafts alone. */
static int check_side(const struct draft_plan *d, struct err *err)
{
    if (d->n_shared == d->plan.n_entries - 1) return OK;
    return err_set(err, E_MODEL, "what stands before the side block must be what the served plan begins with");
}

/* Its block is numbered as its file has it yet. */
static int fit_side(struct model *m, struct draft_plan *d, struct side_file **file, struct err *err)
{
    if (m->plan.side) return err_set(err, E_MODEL, "a second side file: the served plan has one");
    int rc = model_open_side(m, d->plan.side, file, err);
    if (rc == OK) rc = plan_join_side(&d->plan, &(*file)->side, m->hash, err);
    return rc == OK ? check_side(d, err) : rc;
}

static int list_costs(struct model *m, const struct block_bytes *bytes, struct err *err)
{
    double whole = (double)plan_bytes(&m->file, &m->plan, bytes);
    m->part_costs = calloc((size_t)m->entry_to, sizeof *m->part_costs);
    if (!m->part_costs) return err_set(err, E_LAYOUT, "out of memory for a search of plans");
    for (int i = 0; i < m->entry_to; i++) {
        struct plan_entry attention = m->plan.entries[i], mlp = attention;
        attention.part &= PART_ATTENTION;
        mlp.part &= PART_MLP;
        m->part_costs[i].attention = (double)entry_bytes(&attention, bytes) / whole;
        m->part_costs[i].mlp = (double)entry_bytes(&mlp, bytes) / whole;
    }
    return OK;
}

static int count_cost(struct model *m, struct draft_plan *d, const struct side *side, struct err *err)
{
    struct block_bytes *bytes = gguf_bytes_of_blocks(&m->file, m->shape.n_blocks, side);
    if (!bytes) return err_set(err, E_LAYOUT, "out of memory for %d blocks", m->shape.n_blocks);
    d->cost = (double)plan_bytes(&m->file, &d->plan, bytes) / (double)plan_bytes(&m->file, &m->plan, bytes);
    int rc = m->search.share > 0 ? list_costs(m, bytes, err) : OK;
    free(bytes);
    return rc;
}

/* ---- a plan for some texts ---- */

static bool is_taken(const struct plan *p, int n, int cache)
{
    for (int i = 0; i < n; i++)
        if (p->entries[i].cache == cache) return true;
    return false;
}

/* Sets the caches, and which entries are this stage's. */
static int cut_other(struct model *m, struct plan *p, struct err *err)
{
    int before = 0;
    m->other_from = m->other_to = 0;
    for (int i = 0; i < p->n_entries; i++) {
        struct plan_entry *e = &p->entries[i];
        if (!has_parts(&m->plan, m->plan.n_entries, e))
            return err_set(err, E_MODEL, "block %d, which the served plan does not run", e->block);
        bool attends = e->part & PART_ATTENTION;
        int at = nearest(&m->plan, p, i, attends ? PART_ATTENTION : PART_MLP);
        if (attends) e->cache = m->plan.entries[at].cache;
        if (attends && is_taken(p, i, e->cache))
            return err_set(err, E_MODEL, "block %d more often than the served plan has it", e->block);
        if (m->share.n_stages > 1 && at < before)
            return err_set(err, E_LAYOUT, "block %d comes back after a later one: use one stage", e->block);
        before = at;
        m->other_from += at < m->entry_from;
        m->other_to += at < m->entry_to;
    }
    if (m->share.n_stages == 1) m->other_to = p->n_entries;
    return OK;
}

int other_plan_open(struct model *m, const char *text, struct err *err)
{
    struct plan p = {0};
    int rc = plan_read(&p, text, m->shape.n_blocks, err);
    if (rc == OK && p.side) rc = err_set(err, E_MODEL, "a side file is loaded at the start: use --plan");
    if (rc == OK && p.n_ids) rc = err_set(err, E_MODEL, "a cut head is loaded at the start: use --plan");
    if (rc == OK) rc = cut_other(m, &p, err);
    if (rc != OK) {
        plan_free(&p);
        return err_wrap(err, "the plan of a text");
    }
    plan_free(&m->other);
    m->other = p;
    return OK;
}

/* ---- drafts ---- */

/* The first blocks, then the block of one of the side file's exits, which is open already. */
static int read_side_exit(struct model *m, struct plan *p, const char *text, struct err *err)
{
    char first[32];
    const char *colon = strrchr(text, ':');
    int exit = colon ? atoi(colon + 1) : 0, i = 0;
    while (i < m->sides.n_entries && m->side_at[i] != exit) i++;
    if (i == m->sides.n_entries) return err_set(err, E_MODEL, "%.200s: no exit of the search", text);
    snprintf(first, sizeof first, "layerskip:%d", exit);
    int rc = plan_read(p, first, m->shape.n_blocks, err);
    if (rc != OK) return rc;
    if (exit == PLAN_ENTRIES_MOST) return err_set(err, E_MODEL, "more than %d entries", PLAN_ENTRIES_MOST);
    p->entries[p->n_entries++] = (struct plan_entry){.block = m->shape.n_blocks, .part = PART_BOTH, .step = 1};
    p->side_exit = exit;
    if (!(p->side = strdup(m->search_side))) return err_set(err, E_LAYOUT, "out of memory for a plan");
    return plan_join_side(p, &m->side_files[0].side, m->hash, err);
}

static int set_draft(struct model *m, struct draft_plan *d, const char *text, struct err *err)
{
    plan_free(&d->plan);
    int rc =
        m->search.sides ? read_side_exit(m, &d->plan, text, err) : plan_read(&d->plan, text, m->shape.n_blocks, err);
    if (rc != OK) return rc;
    d->n_shared = count_shared(&m->plan, m->entry_to, &d->plan);
    rc = fit(m, d, err);
    if (rc == OK) d->n_shared = count_kept(m, d);
    if (rc == OK && m->search.sides) other_plans_place(m);
    return rc;
}

/* Of several exits the last. */
static int begin_exits(struct model *m, struct draft_plan *d, struct err *err)
{
    char text[32];
    snprintf(text, sizeof text, "layerskip:%d", m->search.exit_to);
    int rc = set_draft(m, d, text, err);
    if (rc == OK && d->n_shared < d->plan.n_entries)
        rc = err_set(err, E_MODEL, "the served plan does not begin with the first %d blocks", d->plan.n_entries);
    return rc;
}

/* Those that a side file has there, and the last one as the draft. */
static int begin_side_exits(struct model *m, struct draft_plan *d, const char *text, struct err *err)
{
    char last[32];
    int exit = 0;
    struct plan_search *s = &m->search;
    struct side_file *f;
    if (m->plan.side) return err_set(err, E_MODEL, "a second side file: the served plan has one");
    if (!(m->search_side = plan_search_side(text)))
        return err_set(err, E_LAYOUT, "out of memory for a search of plans");
    int rc = model_open_side(m, m->search_side, &f, err);
    for (int i = 0; rc == OK && i < f->side.n_exits; i++) {
        if (f->side.exits[i] < s->exit_from || f->side.exits[i] > s->exit_to) continue;
        exit = f->side.exits[i];
        rc = add_side(m, m->shape.n_blocks + i, exit, err);
    }
    if (rc == OK && !exit)
        rc =
            err_set(err, E_MODEL, "%.200s has no exit after %d to %d blocks", m->search_side, s->exit_from, s->exit_to);
    if (rc != OK) return rc;
    s->exit_from = m->side_at[0];
    s->exit_to = exit;
    snprintf(last, sizeof last, "balcony::%d", exit);
    rc = set_draft(m, d, last, err);
    return rc == OK ? check_side(d, err) : rc;
}

/* All of the first stage: a search begins there. */
static int begin_search(struct model *m, struct draft_plan *d, const char *text, struct err *err)
{
    if (m->search.sides) return begin_side_exits(m, d, text, err);
    if (m->search.exit_to) return begin_exits(m, d, err);
    char whole[PLAN_TEXT_MOST];
    struct plan first = m->plan;
    first.n_entries = m->entry_to;
    if (m->plan.side) return err_set(err, E_MODEL, "a search of plans, beside a served plan with a side file");
    plan_spell(&first, whole, sizeof whole);
    return set_draft(m, d, whole, err);
}

int draft_plan_change(struct model *m, const char *text, struct err *err)
{
    struct draft_plan *d = &m->drafts[0];
    int rc = set_draft(m, d, text, err);
    if (rc == OK && d->plan.side && !m->search.sides) rc = err_set(err, E_MODEL, "a side file is loaded at the start");
    if (rc != OK) plan_free(&d->plan);
    return rc == OK ? OK : err_wrap(err, "a plan for drafts");
}

static int open_draft(struct model *m, struct draft_plan *d, const char *text, struct err *err)
{
    struct side_file *file = m->side_files; /* the served plan's, or the search's */
    int rc = plan_search_read(&m->search, text) ? begin_search(m, d, text, err) : set_draft(m, d, text, err);
    bool has_side = rc == OK && d->plan.side && !m->search.sides;
    if (has_side) rc = fit_side(m, d, &file, err);
    if (rc == OK) rc = count_cost(m, d, &file->side, err);
    if (rc != OK || !has_side) return rc;
    last_of(d)->block += file->first;
    return add_side(m, last_of(d)->block, d->n_shared, err);
}

int draft_plans_open(struct model *m, const char *const texts[], struct err *err)
{
    int rc = OK;
    struct plan_search search;
    for (int i = 0; i < DRAFT_PLANS_MOST && texts[i] && model_first(m) && rc == OK; i++) {
        if (texts[1] && plan_search_read(&search, texts[i]))
            rc = err_set(err, E_MODEL, "%.200s: a search of plans goes alone", texts[i]);
        if (rc == OK) rc = open_draft(m, &m->drafts[m->n_drafts++], texts[i], err);
        if (rc != OK && texts[1]) err_wrap(err, "plan %d", i + 1);
    }
    return rc == OK ? OK : err_wrap(err, "%s: --draft-plan", m->file.path);
}
