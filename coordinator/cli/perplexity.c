#include "coordinator/cli/perplexity.h"

#include <math.h>
#include <stdlib.h>

#include "coordinator/cli/network.h"
#include "coordinator/text/json_text.h"
#include "coordinator/text/read_text.h"

struct text {
    int32_t *ids; /* owns */
    int n_ids;
};

static int read_ids(const struct runtime *s, struct text *out, struct err *err)
{
    FILE *f;
    const char *place;
    char *bytes = NULL;
    size_t n = 0, n_ids = 0;
    int rc = text_open(s->o.text, stdin, &f, &place, err);
    if (rc != OK) return rc;
    rc = text_read(f, place, &bytes, &n, err);
    if (f != stdin) fclose(f);
    const struct tokenizer_text in = {bytes, n, .add_bos = true};
    if (rc == OK) rc = tokenizer_encode(s->big_t, &in, &out->ids, &n_ids, err);
    free(bytes);
    out->n_ids = (int)n_ids;
    return rc;
}

static int put_result(const struct runtime *s, const struct score *score, struct err *err)
{
    int n;
    double sum, squares;
    score_sum(score, &n, &sum, &squares);
    double mean = sum / n, deviation = sqrt(fmax(0, squares / n - mean * mean) / n), perplexity = exp(-mean);
    if (s->o.format == FORMAT_TEXT) {
        printf("perplexity %.4f +- %.4f (standard error), ln p a token %.6f, %d tokens in %d windows of %d\n",
               perplexity, perplexity * deviation, mean, n, score_n_windows(score), s->o.window);
        network_line(&s->o, stdout);
        return OK;
    }
    json_t *line = json_pack("{sf sf sf si si si}", "perplexity", perplexity, "standard_error", perplexity * deviation,
                             "lp_token", mean, "tokens", n, "windows", score_n_windows(score), "window", s->o.window);
    line = json_unless(network_json(&s->o, line), line);
    return json_put_line(line, JSON_REAL_PRECISION(17), stdout, err);
}

static int measure(struct runtime *s, struct err *err)
{
    struct text text = {0};
    struct score *score = NULL;
    int rc = read_ids(s, &text, err);
    int n_windows = text.n_ids / s->o.window, n_slots = n_windows < s->o.parallel ? n_windows : s->o.parallel;
    if (rc == OK && n_windows == 0)
        rc = err_set(err, E_USAGE, "the text has %d tokens, a window %d: a longer text, or a smaller --window",
                     text.n_ids, s->o.window);
    if (rc == OK) rc = runtime_start(s, n_slots, err);
    struct score_config config = {
        .ids = text.ids, .n_ids = text.n_ids, .window = s->o.window, .n_before = (s->o.window + 1) / 2};
    if (rc == OK && s->info.n_ctx < s->o.window)
        rc = err_set(err, E_USAGE, "--window %d: the model's context is %d", s->o.window, s->info.n_ctx);
    if (rc == OK) rc = job_score(s->job, &config, &score, err);
    if (rc == OK) rc = put_result(s, score, err);
    score_close(score);
    free(text.ids);
    return rc;
}

int command_perplexity(const struct options *o, const struct launch *launch, struct err *err)
{
    struct runtime s;
    int rc = runtime_open(&s, o, launch, err);
    if (rc == OK) rc = measure(&s, err);
    runtime_close(&s, rc, err);
    return rc;
}
