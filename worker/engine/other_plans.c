#include "worker/engine/other_plans.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

/* The entry among the served plan's first `to` whose part of the same block another plan's entry takes: the nearest in
 * time. -1: there is none. */
static int nearest(const struct plan *served, int to, const struct plan *other, int i_entry, enum plan_part part)
{
    double time = time_of(other, i_entry), least = INFINITY;
    int found = -1;
    for (int i = 0; i < to; i++) {
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

/* Each entry gets the cache that it uses. */
static int fit(struct model *m, struct err *err)
{
    for (int i = 0; i < m->draft.n_entries; i++) {
        struct plan_entry *e = &m->draft.entries[i];
        if (e->block == m->shape.n_blocks) break; /* the side file's, which is the last */
        if (!has_parts(&m->plan, m->plan.n_entries, e))
            return err_set(err, E_MODEL, "block %d, which the served plan does not run", e->block);
        if (!has_parts(&m->plan, m->entry_to, e))
            return err_set(err, E_LAYOUT, "block %d is not in the first of %d stages: an earlier exit, or fewer stages",
                           e->block, m->share.n_stages);
        if (i >= m->n_shared && e->part & PART_ATTENTION)
            e->cache = m->plan.entries[nearest(&m->plan, m->entry_to, &m->draft, i, PART_ATTENTION)].cache;
    }
    return OK;
}

/* The block of a side file reads hidden rows that the served plan has too: of every position, not of drafts alone. */
static int fit_side(struct model *m, struct err *err)
{
    int rc = model_open_side(m, &m->draft, err);
    if (rc != OK || m->n_shared == m->draft.n_entries - 1) return rc;
    return err_set(err, E_MODEL, "what stands before the side block must be what the served plan begins with");
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

static int count_cost(struct model *m, struct err *err)
{
    struct block_bytes *bytes = gguf_bytes_of_blocks(&m->file, m->shape.n_blocks);
    if (!bytes) return err_set(err, E_LAYOUT, "out of memory for %d blocks", m->shape.n_blocks);
    gguf_add_bytes(bytes, &m->side.file, m->shape.n_blocks + 1);
    m->draft_cost = (double)plan_bytes(&m->file, &m->draft, bytes) / (double)plan_bytes(&m->file, &m->plan, bytes);
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
        int at = nearest(&m->plan, m->plan.n_entries, p, i, attends ? PART_ATTENTION : PART_MLP);
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

static int set_draft(struct model *m, const char *text, struct err *err)
{
    plan_free(&m->draft);
    int rc = plan_read(&m->draft, text, m->shape.n_blocks, err);
    if (rc != OK) return rc;
    m->n_shared = count_shared(&m->plan, m->entry_to, &m->draft);
    return fit(m, err);
}

/* Of several exits the last. */
static int begin_exits(struct model *m, struct err *err)
{
    char text[32];
    snprintf(text, sizeof text, "layerskip:%d", m->search.exit_to);
    int rc = set_draft(m, text, err);
    if (rc == OK && m->n_shared < m->draft.n_entries)
        rc = err_set(err, E_MODEL, "the served plan does not begin with the first %d blocks", m->draft.n_entries);
    return rc;
}

/* All of the first stage: a search begins there. */
static int begin_search(struct model *m, struct err *err)
{
    if (m->search.exit_to) return begin_exits(m, err);
    char text[PLAN_TEXT_MOST];
    struct plan first = m->plan;
    first.n_entries = m->entry_to;
    if (m->plan.side) return err_set(err, E_MODEL, "a search of plans, beside a served plan with a side file");
    plan_spell(&first, text, sizeof text);
    return set_draft(m, text, err);
}

int draft_plan_change(struct model *m, const char *text, struct err *err)
{
    int rc = set_draft(m, text, err);
    if (rc == OK && m->draft.side) rc = err_set(err, E_MODEL, "a side file is loaded at the start");
    if (rc != OK) plan_free(&m->draft);
    return rc == OK ? OK : err_wrap(err, "a plan for drafts");
}

int draft_plan_open(struct model *m, const char *text, struct err *err)
{
    if (!model_first(m)) return OK;
    int rc = plan_search_read(&m->search, text) ? begin_search(m, err) : set_draft(m, text, err);
    if (rc == OK && m->draft.side) rc = fit_side(m, err);
    if (rc == OK) rc = count_cost(m, err);
    return rc == OK ? OK : err_wrap(err, "%s: --draft-plan", m->file.path);
}
