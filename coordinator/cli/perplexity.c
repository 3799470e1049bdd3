#include "coordinator/cli/perplexity.h"

#include <math.h>

#include "coordinator/cli/marks.h"
#include "coordinator/cli/scored_text.h"
#include "coordinator/text/json_text.h"

static int put_result(const struct runtime *s, const struct score *score, struct err *err)
{
    int n;
    double sum, squares;
    score_sum(score, &n, &sum, &squares);
    double mean = sum / n, deviation = sqrt(fmax(0, squares / n - mean * mean) / n), perplexity = exp(-mean);
    if (s->o.format == FORMAT_TEXT) {
        printf("perplexity %.4f +- %.4f (standard error), ln p a token %.6f, %d tokens in %d windows of %d\n",
               perplexity, perplexity * deviation, mean, n, score_n_windows(score), s->o.window);
        marks_line(&s->o, stdout);
        return OK;
    }
    json_t *line = json_pack("{sf sf sf si si si}", "perplexity", perplexity, "standard_error", perplexity * deviation,
                             "lp_token", mean, "tokens", n, "windows", score_n_windows(score), "window", s->o.window);
    line = json_unless(marks_json(&s->o, line), line);
    return json_put_line(line, JSON_REAL_PRECISION(17), stdout, err);
}

static int measure(struct runtime *s, struct err *err)
{
    struct scored_text text = {0};
    struct score *score = NULL;
    int rc = scored_text_open(&text, s, err);
    if (rc == OK) rc = scored_text_score(&text, s, NULL, &score, err);
    if (rc == OK) rc = put_result(s, score, err);
    score_close(score);
    scored_text_close(&text);
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
