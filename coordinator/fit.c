#include "coordinator/fit.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/shares.h"

static const struct worker_seen *leader(const struct workers *w)
{
    return &w->seen[group_leader(layout_verifier(&w->layout, 0))];
}

/* Its host; and where there are several groups its rank and its group, counted from 1. */
static struct worker_name place_of(const struct workers *w, const struct worker_seen *seen)
{
    struct worker_name name;
    int peer = (int)(seen - w->seen), group = layout_i_verifier(&w->layout, peer) + 1;
    if (layout_n_verifiers(&w->layout) > 1 && group > 0)
        snprintf(name.text, sizeof name.text, "%s, rank %d, group %d", seen->host, layout_rank(&w->layout, peer),
                 group);
    else
        snprintf(name.text, sizeof name.text, "%s", seen->host);
    return name;
}

/* One model in pieces, and each group has all of it: every shard must hold pieces of the same, and compute alike. */
static int check_shards(const struct workers *w, struct err *err)
{
    const struct worker_seen *a = leader(w), *end = w->seen + w->layout.n_peers;
    for (const struct worker_seen *b = a + 1; b < end; b++) {
        struct worker_name at_a = place_of(w, a), at_b = place_of(w, b);
        if (a->h.model != b->h.model)
            return err_set(err, E_MODEL, "%s on host %s and %s on host %s are different models", a->path, at_a.text,
                           b->path, at_b.text);
        if (a->h.plan != b->h.plan)
            return err_set(err, E_MODEL, "hosts %s and %s run different plans of the model: use one build everywhere",
                           at_a.text, at_b.text);
        if (a->h.arithmetic != b->h.arithmetic || a->h.selftest != b->h.selftest)
            return err_set(err, E_LAYOUT, "hosts %s (%s) and %s (%s) compute different bits: they cannot serve one job",
                           at_a.text, workers_computes_by(a), at_b.text, workers_computes_by(b));
        if (layout_verifier(&w->layout, 0)->tp > 1 && !*a->device != !*b->device)
            return err_set(err, E_LAYOUT,
                           "hosts %s (%s) and %s (%s) exchange rows in different ways: use --device alike for all "
                           "shards",
                           at_a.text, workers_computes_by(a), at_b.text, workers_computes_by(b));
    }
    return OK;
}

static int check_vocab(const struct worker_seen *seen, uint64_t vocab, struct err *err)
{
    if (seen->h.vocab == vocab) return OK;
    return err_set(err, E_MODEL, "host %s reads another vocabulary from %s than the coordinator", seen->host,
                   seen->path);
}

/* All have one model: a lossy text must not depend on which one drafts it. */
static int check_drafters(const struct workers *w, uint64_t vocab, struct err *err)
{
    int rc = OK;
    for (int i = 0; i < layout_n_drafters(&w->layout) && rc == OK; i++) {
        const struct worker_seen *a = &w->seen[group_leader(layout_drafter(&w->layout, 0))];
        const struct worker_seen *b = &w->seen[group_leader(layout_drafter(&w->layout, i))];
        rc = check_vocab(b, vocab, err);
        bool differs = a->h.model != b->h.model || a->h.arithmetic != b->h.arithmetic || a->h.selftest != b->h.selftest;
        if (rc == OK && differs)
            rc = err_set(err, E_MODEL,
                         "the drafters on hosts %s (%s, %s) and %s (%s, %s) differ: give them one model, and "
                         "devices alike",
                         a->host, a->path, workers_computes_by(a), b->host, b->path, workers_computes_by(b));
    }
    return rc;
}

/* Each group's share can be cut so that it fits; *s: the last one's. */
static bool all_fit(const struct workers *w, bool stages, bool shards, struct shares *s)
{
    for (int i = 0; i < layout_n_verifiers(&w->layout); i++)
        if (!shares_choose(s, w, i, stages, shards)) return false;
    return true;
}

/* Lists with which the model would fit, for an error; "": none would. A list is for all groups, and theirs differ. */
static void suggest(const struct workers *w, char *out, size_t size)
{
    const struct group *g = layout_verifier(&w->layout, 0);
    bool several = layout_n_verifiers(&w->layout) > 1;
    struct shares s;
    *out = 0;
    if (g->pp > 1 && all_fit(w, true, false, &s))
        snprintf(out, size, "--stage-share %.200s would fit; or ", several ? "auto" : s.stages);
    else if (g->tp > 1 && all_fit(w, false, true, &s))
        snprintf(out, size, "--shard-share %.200s would fit; or ", several ? "auto" : s.shards);
}

/* Before anything is loaded: what the workers of each host, or device, will take against what that has. */
static int check_memory(const struct workers *w, struct err *err)
{
    const struct worker_seen *end = w->seen + w->layout.n_peers;
    for (const struct worker_seen *a = w->seen + 1; a < end; a++) {
        uint64_t weights = 0, kv = 0;
        for (const struct worker_seen *b = w->seen + 1; b < end; b++) {
            if (!workers_same_memory(a, b)) continue;
            weights += b->h.weights_bytes;
            kv += workers_worker_kv_bytes(w, (int)(b - w->seen));
        }
        if (weights + kv <= workers_memory_bytes(a)) continue;
        char shares[256], device[192] = "";
        if (a->h.device_bytes) snprintf(device, sizeof device, ", device %s", a->device);
        suggest(w, shares, sizeof shares);
        return err_set(
            err, E_LAYOUT,
            "host %s%s: %llu MiB of weights and %llu MiB of KV (%d sequences of %d) do not fit into %llu MiB: %suse a "
            "smaller --ctx or --parallel, or more %s",
            a->host, device, (unsigned long long)(weights >> 20), (unsigned long long)(kv >> 20),
            w->n_slots * layout_n_verifiers(&w->layout), w->n_ctx, (unsigned long long)(workers_memory_bytes(a) >> 20),
            shares, *device ? "devices" : "hosts");
    }
    return OK;
}

int fit_check(struct workers *w, const struct workers_need *need, struct err *err)
{
    workers_set_context(w, need);
    int rc = check_shards(w, err);
    if (rc == OK) rc = check_vocab(leader(w), need->vocab_big, err);
    if (rc == OK) rc = check_drafters(w, need->vocab_little, err);
    return rc == OK ? check_memory(w, err) : rc;
}
