#include "coordinator/cli/scored_text.h"

#include <stdlib.h>

#include "coordinator/text/read_text.h"
#include "proto/plan.h"

int scored_text_read(struct scored_text *t, const char *path, const struct tokenizer *tokenizer, struct err *err)
{
    FILE *f;
    const char *place;
    char *bytes = NULL;
    size_t n = 0, n_ids = 0;
    int rc = text_open(path, stdin, &f, &place, err);
    if (rc != OK) return rc;
    rc = text_read(f, place, &bytes, &n, err);
    if (f != stdin) fclose(f);
    const struct tokenizer_text in = {bytes, n, .add_bos = true};
    if (rc == OK) rc = tokenizer_encode(tokenizer, &in, &t->ids, &n_ids, err);
    free(bytes);
    t->n_ids = (int)n_ids;
    return rc;
}

int scored_text_open(struct scored_text *t, struct runtime *s, struct err *err)
{
    int rc = scored_text_read(t, s->o.text, s->big_t, err);
    int n_windows = t->n_ids / s->o.window, n_slots = n_windows < s->o.parallel ? n_windows : s->o.parallel;
    if (rc == OK && n_windows == 0)
        rc = err_set(err, E_USAGE, "the text has %d tokens, a window %d: a longer text, or a smaller --window",
                     t->n_ids, s->o.window);
    if (rc == OK) rc = runtime_start(s, n_slots, err);
    if (rc == OK && s->info.n_ctx < s->o.window)
        rc = err_set(err, E_USAGE, "--window %d: the model's context is %d", s->o.window, s->info.n_ctx);
    return rc;
}

void scored_text_close(struct scored_text *t)
{
    free(t->ids);
    *t = (struct scored_text){0};
}

int scored_text_score(const struct scored_text *t, struct runtime *s, const char *plan, struct score **out,
                      struct err *err)
{
    const struct score_config config = {
        .ids = t->ids, .n_ids = t->n_ids, .window = s->o.window, .n_before = (s->o.window + 1) / 2, .plan = plan};
    return job_score(s->job, &config, out, err);
}

int scored_text_n_blocks(const struct runtime *s, int *out, struct err *err)
{
    int64_t n;
    if (!gguf_get_own_int(&s->big, "block_count", &n) || n < 1 || n > PLAN_ENTRIES_MOST)
        return err_set(err, E_MODEL, "the big model does not say how many blocks it has");
    *out = (int)n;
    return OK;
}
