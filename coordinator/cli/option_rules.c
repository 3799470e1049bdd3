#include "coordinator/cli/option_rules.h"

#include <string.h>

#include "coordinator/cli/option_value.h"
#include "proto/plan.h"

enum value_origin option_origin(const struct options *o, const char *name)
{
    enum value_origin origin = FROM_DEFAULT;
    for (size_t i = 0; i < n_options; i++)
        if (o->origin[i] > origin && !strcmp(option_table[i].name, name)) origin = o->origin[i];
    return origin;
}

/* --- defaults ------------------------------------------------------------------------------------------------------
 */

int options_set_presets(struct options *o, struct err *err)
{
    int rc = OK;
    for (size_t i = 0; i < n_options && rc == OK; i++) {
        const struct option *p = &option_table[i];
        if (p->preset && o->origin[i] == FROM_DEFAULT) rc = option_set(o, p, p->preset, err);
    }
    return rc;
}

static int set_presets_of_method(struct options *o, struct err *err)
{
    int rc = OK;
    for (size_t i = 0; i < n_options && rc == OK; i++) {
        const struct option *p = &option_table[i];
        bool depends = p->preset_of[ACCEPT_EXACT] || p->preset_of[ACCEPT_SAMPLE] || p->preset_of[ACCEPT_BILD];
        const char *preset = p->preset_of[o->accept] ? p->preset_of[o->accept] : p->preset;
        if (depends && o->origin[i] == FROM_DEFAULT) rc = option_set(o, p, preset, err);
    }
    return rc;
}

/* --- the method ----------------------------------------------------------------------------------------------------
 */

static void settle_method(struct options *o)
{
    enum value_origin by_accept = option_origin(o, "accept"), by_temp = option_origin(o, "temp");
    bool samples = o->temp > 0;
    if (samples == (o->accept == ACCEPT_SAMPLE)) return;
    if (by_temp > by_accept && (samples || o->accept == ACCEPT_SAMPLE))
        o->accept = samples ? ACCEPT_SAMPLE : ACCEPT_EXACT;
    else if (by_accept > by_temp)
        o->origin[option_named("temp") - option_table] = FROM_DEFAULT;
}

static int refuse_contradictions(const struct options *o, struct err *err)
{
    if (o->accept == ACCEPT_SAMPLE && o->temp == 0)
        return err_set(err, E_USAGE, "--accept sample needs a --temp over 0");
    if (o->accept == ACCEPT_EXACT && o->temp > 0)
        return err_set(err, E_USAGE, "--accept exact is greedy: leave --temp out, or --accept");
    if (o->accept == ACCEPT_BILD && o->temp > 0)
        return err_set(err, E_USAGE, "--accept bild is greedy: leave --temp out");
    struct plan_search search;
    size_t n_name;
    if (o->accept == ACCEPT_BILD && o->drafter == DRAFTER_PLAN && o->n_draft_plans &&
        plan_search_read(&search, options_draft_plan(o, 0, &n_name)))
        return err_set(err, E_USAGE,
                       "--draft-plan %s: its plan depends on the time, and with --accept bild the text would, too",
                       o->draft_plans[0]);
    if (o->max_rows == 1) return err_set(err, E_USAGE, "--max-rows 1: a pass has at least 2 rows");
    if (o->top_p == 0) return err_set(err, E_USAGE, "--top-p 0 leaves no id: greedy is --temp 0");
    if (o->accept == ACCEPT_BILD && o->drafter == DRAFTER_NONE && !o->no_draft)
        return err_set(err, E_USAGE, "--accept bild needs a drafter: --little FILE");
    return OK;
}

int options_settle(struct options *o, struct err *err)
{
    if (o->n_predict < 0) o->n_predict = 0;
    settle_method(o);
    int rc = set_presets_of_method(o, err);
    return rc == OK ? refuse_contradictions(o, err) : rc;
}

/* --- what is given in vain -----------------------------------------------------------------------------------------
 */

bool option_depends_on_method(enum option_needs needs)
{
    return needs == NEEDS_GUARD || needs == NEEDS_SAMPLING || needs == NEEDS_BILD || needs == NEEDS_AHEAD;
}

const char *option_lacks(const struct options *o, enum option_needs needs)
{
    if (o->synthetic.n_pass_ms) return NULL; /* it has a drafter of its own; what has no use there is refused */
    static const char no_drafter[] = "there is no drafter (--little FILE, --draft suffix, or --draft-plan PLAN)";
    switch (needs) {
    case NEEDS_NOTHING: return NULL;
    case NEEDS_DRAFTER: return o->drafter == DRAFTER_NONE && o->command != CMD_WORKER ? no_drafter : NULL;
    case NEEDS_LITTLE:
        return o->drafter == DRAFTER_LITTLE ? NULL : "the little model does not draft here (--little FILE)";
    case NEEDS_LITTLES:
        if (o->drafter != DRAFTER_LITTLE) return option_lacks(o, NEEDS_LITTLE);
        return option_lacks(o, NEEDS_PROMPTS);
    case NEEDS_AHEAD:
        if (o->drafter != DRAFTER_LITTLE || o->accept == ACCEPT_BILD) return option_lacks(o, NEEDS_LITTLE);
        if (o->draft_ahead > 0 || o->self_max < 0 || o->self_max > 1) return NULL;
        return "the little model waits for each verdict (--self-max)";
    case NEEDS_DEVICE:
        return o->device == DEVICE_CPU && o->draft_device == DEVICE_CPU ? "no device computes (--device cuda)" : NULL;
    case NEEDS_OPINION:
        if (o->drafter == DRAFTER_PLAN && o->accept == ACCEPT_BILD) return NULL;
        return o->drafter == DRAFTER_LITTLE ? NULL : "the little model does not draft here (--little FILE)";
    case NEEDS_GUARD:
        if (o->drafter == DRAFTER_NONE) return no_drafter;
        return o->accept == ACCEPT_BILD ? "the text of --accept bild depends on its drafts, which never stop" : NULL;
    case NEEDS_SAMPLING: /* of bench serve the seed is of the times, too */
        if (o->command == CMD_BENCH_SERVE) return NULL;
        return o->accept == ACCEPT_SAMPLE ? NULL : "it needs sampling (--temp T)";
    case NEEDS_BILD: return o->accept == ACCEPT_BILD ? NULL : "it needs --accept bild";
    case NEEDS_TEXT: return o->format == FORMAT_TEXT ? NULL : "lines of JSON have no colours (-o text)";
    case NEEDS_JSONL: return o->format == FORMAT_TEXT ? "it is printed in lines of JSON only (-o jsonl)" : NULL;
    case NEEDS_PROMPTS:
        if (o->command == CMD_CHAT || o->command == CMD_BENCH_PAIR) return "requests are computed one after the other";
        return o->command == CMD_GENERATE && !o->prompts_file ? "there is one prompt" : NULL;
    case NEEDS_MESSAGES: return o->raw ? "the text of --raw is no message, and always has its tokens" : NULL;
    }
    return NULL;
}
