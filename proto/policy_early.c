#include "proto/policy_early.h"

#include <math.h>

static const double newest = 0.1, newest_time = 0.3;

static void move(double *mean, double x, double weight)
{
    *mean += weight * (x - *mean);
}

static void move_time(double *mean, double x)
{
    move(mean, x, *mean > 0 ? newest_time : 1);
}

struct draft_policy_early draft_policy_early_init(void)
{
    return (struct draft_policy_early){.kept = {0.7, 0.7}, .right = {0.7, 0.4}};
}

bool draft_policy_early_pays(const struct draft_policy_early *e, bool unsure)
{
    double right = e->kept[unsure] * e->right[unsure];
    double drafts_ns = e->n_drafts * e->draft_ns, whole_ns = drafts_ns + e->draft_ns; /* the guess is one more */
    if (e->verify_ns <= 0) return true;
    double saves_ns = fmin(drafts_ns, e->verify_ns - e->draft_ns), costs_ns = whole_ns > e->verify_ns ? e->draft_ns : 0;
    return right * saves_ns > (1 - right) * costs_ns;
}

void draft_policy_early_note_draft(struct draft_policy_early *e, int n, double ns)
{
    if (n < 1) return;
    move_time(&e->draft_ns, ns / n);
    move_time(&e->n_drafts, n);
}

void draft_policy_early_note_verdict(struct draft_policy_early *e, bool unsure, bool kept, double verify_ns)
{
    move(&e->kept[unsure], kept, newest);
    move_time(&e->verify_ns, verify_ns);
}

void draft_policy_early_note_guess(struct draft_policy_early *e, bool unsure, bool right)
{
    move(&e->right[unsure], right, newest);
}
