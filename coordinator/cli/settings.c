#include "coordinator/cli/settings.h"

#include "coordinator/text/stop.h"

struct settings settings_of(const struct options *o, const struct tokenizer *t, const struct stops *stops)
{
    struct settings set = {
        .n_predict = o->n_predict,
        .drafting = o->drafter != DRAFTER_NONE,
        .draft_plan = o->draft_plan,
        .adaptive = o->guard,
        .draft_max = o->draft_max,
        .draft_ahead = o->draft_ahead,
        .draft_block = o->draft_block,
        .draft_ctx = o->drafter == DRAFTER_LITTLE ? o->draft_ctx : CONTEXT_MOST,
        .fallback = o->fallback,
        .stops = stops && stops->n ? stops : NULL,
        .n_top = o->logprobs,
    };
    if (o->accept == ACCEPT_BILD)
        set.rule = (struct rule){o->rollback_rule == ROLLBACK_REPO ? RULE_REPO : RULE_STRICT, o->rollback};
    if (o->accept == ACCEPT_SAMPLE)
        set.sampler =
            (struct sampler){.temp = o->temp, .top_k = (uint32_t)o->top_k, .top_p = o->top_p, .min_p = o->min_p};
    set.sampler.seed = (uint32_t)o->seed;
    if (!o->ignore_eos) set.n_end_ids = (int)tokenizer_end_ids(t, &set.end_ids);
    return set;
}
