#include "coordinator/cli/pareto.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/csv.h"
#include "coordinator/cli/network.h"
#include "coordinator/cli/scored_text.h"
#include "coordinator/text/json_text.h"
#include "coordinator/text/read_text.h"
#include "proto/clock.h"
#include "proto/files/gguf_blocks.h"
#include "proto/show.h"

struct measured {
    char *spelled;                 /* owns */
    char plan[PART_PLAN_MOST + 2]; /* "": the whole model */
    double lp_token, agreement, bytes;
    int n_tokens;
    bool on_frontier;
};

struct pareto {
    struct runtime s;
    struct scored_text text;
    struct measured *rows; /* [n] owns: the whole model, then the plans */
    int n, room;
    int n_blocks;
    struct block_bytes *block_bytes; /* owns */
    double whole_bytes;
    int32_t *whole_ids; /* of each scored token; owns */
};

/* ---- the plans ---- */

/* In the form that a part of a text has it. */
static int read_plan(struct pareto *p, struct measured *row, struct err *err)
{
    char *text = NULL;
    struct plan plan = {0};
    int rc = plan_text(&text, row->spelled, err);
    if (rc == OK) rc = plan_read(&plan, text, p->n_blocks, err);
    if (rc == OK && plan.side) rc = err_set(err, E_MODEL, "a side file is loaded at the start: eval perplexity --plan");
    if (rc == OK && plan.n_ids) rc = err_set(err, E_MODEL, "a cut head is loaded at the start: eval perplexity --plan");
    if (rc == OK) plan_spell(&plan, row->plan, sizeof row->plan);
    if (rc == OK && strlen(row->plan) > PART_PLAN_MOST)
        rc = err_set(err, E_USAGE, "as ode:... it has more than %d bytes: too long", PART_PLAN_MOST);
    if (rc == OK) row->bytes = (double)plan_bytes(&p->s.big, &plan, p->block_bytes) / p->whole_bytes;
    plan_free(&plan);
    free(text);
    return rc;
}

static int add_row(struct pareto *p, const char *spelled, struct err *err)
{
    if (p->n == p->room) {
        int room = p->room ? 2 * p->room : 64;
        struct measured *more = realloc(p->rows, (size_t)room * sizeof *more);
        if (!more) return err_set(err, E_FAIL, "out of memory for %d plans", room);
        p->rows = more;
        p->room = room;
    }
    struct measured *row = &p->rows[p->n];
    *row = (struct measured){.bytes = 1, .agreement = 1, .spelled = strdup(spelled)};
    if (!row->spelled) return err_set(err, E_FAIL, "out of memory");
    p->n++;
    return OK;
}

/* A line is a plan, or an object that has one; the whole model's own, as a log has it, is there anyway. */
static int add_line(struct pareto *p, const char *line, struct err *err)
{
    json_t *object = *line == '{' ? json_loads(line, 0, NULL) : NULL;
    const char *spelled = object ? json_string_value(json_object_get(object, "plan")) : *line == '{' ? NULL : line;
    int rc = OK;
    if (!spelled)
        rc = err_set(err, E_USAGE, "an object of JSON with \"plan\" was expected");
    else if (*spelled && !(rc = add_row(p, spelled, err)))
        rc = read_plan(p, &p->rows[p->n - 1], err);
    json_decref(object);
    return rc;
}

static int read_lines(struct pareto *p, char *text, struct err *err)
{
    int rc = OK, n = 1;
    for (char *line = text, *end; line && rc == OK; line = end, n++) {
        end = strchr(line, '\n');
        if (end) *end++ = 0;
        line += strspn(line, " \t");
        line[strcspn(line, "\r")] = 0;
        if (!*line || *line == '#') continue;
        rc = add_line(p, line, err);
        if (rc != OK) err_wrap(err, "%.200s: line %d", p->s.o.plans, n);
    }
    return rc == OK && p->n == 1 ? err_set(err, E_USAGE, "%.200s: no plan", p->s.o.plans) : rc;
}

static int read_plans(struct pareto *p, struct err *err)
{
    char *text = NULL;
    int rc = add_row(p, "whole", err);
    if (rc == OK) rc = text_read_string(p->s.o.plans, stdin, &text, err);
    if (rc == OK) rc = read_lines(p, text, err);
    free(text);
    return rc;
}

static int count_bytes(struct pareto *p, struct err *err)
{
    struct plan plain;
    int rc = scored_text_n_blocks(&p->s, &p->n_blocks, err);
    if (rc == OK && !p->s.big.n_tensors)
        rc = err_set(err, E_USAGE, "eval pareto counts the bytes of the big model's file: --big FILE on rank 0");
    if (rc == OK && !(p->block_bytes = gguf_bytes_of_blocks(&p->s.big, p->n_blocks, &(struct side){0})))
        rc = err_set(err, E_FAIL, "out of memory");
    if (rc == OK) rc = plan_plain(&plain, p->n_blocks, err);
    if (rc != OK) return rc;
    p->whole_bytes = (double)plan_bytes(&p->s.big, &plain, p->block_bytes);
    plan_free(&plain);
    return OK;
}

/* ---- what they are worth ---- */

static int keep_ids(struct pareto *p, const int32_t *ids, int n, struct err *err)
{
    p->whole_ids = malloc((size_t)n * sizeof *ids);
    if (!p->whole_ids) return err_set(err, E_FAIL, "out of memory for %d tokens", n);
    memcpy(p->whole_ids, ids, (size_t)n * sizeof *ids);
    return OK;
}

static int score(struct pareto *p, struct measured *row, struct err *err)
{
    struct score *found = NULL;
    double sum, squares;
    int rc = scored_text_score(&p->text, &p->s, *row->plan ? row->plan : NULL, &found, err);
    if (rc != OK) return err_wrap(err, "%.200s", row->spelled);
    score_sum(found, &row->n_tokens, &sum, &squares);
    row->lp_token = sum / row->n_tokens;
    if (!p->whole_ids) rc = keep_ids(p, score_own_ids(found), row->n_tokens, err);
    if (rc == OK) row->agreement = score_agreement(found, p->whole_ids);
    score_close(found);
    return rc;
}

static bool beats(const struct measured *a, const struct measured *b)
{
    bool as_good = a->bytes <= b->bytes && a->lp_token >= b->lp_token && a->agreement >= b->agreement;
    return as_good && (a->bytes < b->bytes || a->lp_token > b->lp_token || a->agreement > b->agreement);
}

static void mark_frontier(struct pareto *p)
{
    for (int i = 0; i < p->n; i++) {
        p->rows[i].on_frontier = true;
        for (int k = 0; k < p->n; k++) p->rows[i].on_frontier &= !beats(&p->rows[k], &p->rows[i]);
    }
}

/* Most bytes first, then the best. */
static int by_bytes(const void *x, const void *y)
{
    const struct measured *a = x, *b = y;
    if (a->bytes != b->bytes) return a->bytes > b->bytes ? -1 : 1;
    return a->lp_token != b->lp_token ? (a->lp_token > b->lp_token ? -1 : 1) : strcmp(a->spelled, b->spelled);
}

/* ---- output ---- */

static int put_row(const struct pareto *p, const struct measured *r, struct err *err)
{
    enum format format = p->s.o.format;
    double perplexity = exp(-r->lp_token);
    if (format == FORMAT_TEXT) {
        printf("%6.1f %% %12.4f %8.1f %% %c %s\n", 100 * r->bytes, perplexity, 100 * r->agreement,
               r->on_frontier ? '*' : ' ', show_name(r->spelled).s);
        return OK;
    }
    if (format == FORMAT_CSV) {
        printf("%.17g,%.17g,%.17g,%.17g,%d,%d,", r->bytes, perplexity, r->lp_token, r->agreement, r->n_tokens,
               r->on_frontier);
        csv_put_text(r->spelled, stdout);
        putchar('\n');
        return OK;
    }
    json_t *line =
        json_pack("{ss sf sf sf sf si sb}", "plan", r->spelled, "bytes", r->bytes, "perplexity", perplexity, "lp_token",
                  r->lp_token, "agreement", r->agreement, "tokens", r->n_tokens, "frontier", r->on_frontier);
    line = json_unless(network_json(&p->s.o, line), line);
    return json_put_line(line, JSON_REAL_PRECISION(17), stdout, err);
}

static int put_rows(const struct pareto *p, struct err *err)
{
    enum format format = p->s.o.format;
    int rc = OK;
    if (format == FORMAT_TEXT) printf("   bytes   perplexity  agreement   plan; *: on the frontier\n");
    if (format == FORMAT_CSV) printf("bytes,perplexity,lp_token,agreement,tokens,frontier,plan\n");
    for (int i = 0; i < p->n && rc == OK; i++) rc = put_row(p, &p->rows[i], err);
    if (format != FORMAT_JSONL) network_line(&p->s.o, format == FORMAT_TEXT ? stdout : stderr);
    if (rc == OK && fflush(stdout)) rc = err_set(err, E_FAIL, "standard output: %s", strerror(errno));
    return rc;
}

static int measure(struct pareto *p, struct err *err)
{
    int rc = count_bytes(p, err);
    if (rc == OK) rc = read_plans(p, err);
    if (rc == OK) rc = scored_text_open(&p->text, &p->s, err);
    for (int i = 0; i < p->n && rc == OK; i++) {
        progress_within(&p->s.progress, "plan", i, p->n, clock_now_ns());
        rc = score(p, &p->rows[i], err);
    }
    if (rc != OK) return rc;
    progress_clear(&p->s.progress);
    mark_frontier(p);
    qsort(p->rows, (size_t)p->n, sizeof *p->rows, by_bytes);
    return put_rows(p, err);
}

int command_pareto(const struct options *o, const struct launch *launch, struct err *err)
{
    struct pareto p = {0};
    int rc = runtime_open(&p.s, o, launch, err);
    if (rc == OK) rc = measure(&p, err);
    runtime_close(&p.s, rc, err);
    scored_text_close(&p.text);
    for (int i = 0; i < p.n; i++) free(p.rows[i].spelled);
    free(p.rows);
    free(p.block_bytes);
    free(p.whole_ids);
    return rc;
}
