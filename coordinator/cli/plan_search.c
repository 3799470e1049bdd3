#include "coordinator/cli/plan_search.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/cli/network.h"
#include "coordinator/cli/plan_json.h"
#include "coordinator/cli/scored_text.h"
#include "coordinator/text/json_text.h"
#include "proto/clock.h"

struct found {                     /* of a plan */
    char plan[PART_PLAN_MOST + 1]; /* "": the plain one */
    double lp_token, agreement;    /* agreement: share of tokens for which the plain plan has the same id */
    int n_tokens;
};

struct search {
    struct runtime s;
    struct scored_text text;
    int n_blocks;
    unsigned char *off;        /* [n_blocks] owns: parts that are off */
    int32_t *plain_ids;        /* of each scored token; owns */
    struct found *known;       /* [n_known] owns */
    int n_known, room, n_read; /* n_read: of the log of before */
    FILE *log;                 /* owns */
    int n_done, n_total;       /* plans */
};

/* ---- what is known ---- */

static int remember(struct search *h, const struct found *f, struct err *err)
{
    if (h->n_known == h->room) {
        int room = h->room ? 2 * h->room : 256;
        struct found *more = realloc(h->known, (size_t)room * sizeof *more);
        if (!more) return err_set(err, E_FAIL, "out of memory for %d plans", room);
        h->known = more;
        h->room = room;
    }
    h->known[h->n_known++] = *f;
    return OK;
}

static const struct found *recall(const struct search *h, const char *plan)
{
    for (int i = 0; i < h->n_known; i++)
        if (!strcmp(h->known[i].plan, plan)) return &h->known[i];
    return NULL;
}

static int write_log(struct search *h, const struct found *f, struct err *err)
{
    json_t *line = json_pack("{ss sf sf si}", "plan", f->plan, "lp_token", f->lp_token, "agreement", f->agreement,
                             "tokens", f->n_tokens);
    char path[4096];
    snprintf(path, sizeof path, "%s.log", h->s.o.save);
    return json_save_line(line, JSON_REAL_PRECISION(17), h->log, path, err);
}

/* A last line that was cut off is none. */
static int read_log(struct search *h, FILE *f, struct err *err)
{
    char line[2 * PART_PLAN_MOST + 256];
    int rc = OK;
    while (rc == OK && fgets(line, sizeof line, f)) {
        struct found found = {0};
        const char *plan;
        json_t *json = json_loads(line, 0, NULL);
        bool ok = json && !json_unpack(json, "{ss sf sf si}", "plan", &plan, "lp_token", &found.lp_token, "agreement",
                                       &found.agreement, "tokens", &found.n_tokens);
        if (ok) snprintf(found.plan, sizeof found.plan, "%s", plan);
        if (ok) rc = remember(h, &found, err);
        json_decref(json);
    }
    h->n_read = h->n_known;
    return rc;
}

/* What cannot be written is said before the search. */
static int check_save(const struct search *h, struct err *err)
{
    int fd = open(h->s.o.save, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) return err_set(err, E_USAGE, "--save %s: %s", h->s.o.save, strerror(errno));
    if (fd >= 0) close(fd);
    return OK;
}

static int open_log(struct search *h, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.log", h->s.o.save);
    FILE *before = h->s.o.resume ? fopen(path, "re") : NULL;
    if (h->s.o.resume && !before) return err_set(err, E_USAGE, "--resume: %s: %s", path, strerror(errno));
    int rc = before ? read_log(h, before, err) : OK;
    if (before) fclose(before);
    if (rc == OK && !(h->log = fopen(path, "we"))) rc = err_set(err, E_USAGE, "%s: %s", path, strerror(errno));
    for (int i = 0; i < h->n_known && rc == OK; i++) rc = write_log(h, &h->known[i], err); /* without cut lines */
    return rc;
}

/* ---- a plan ---- */

static int score(struct search *h, const char *plan, struct found *out, struct err *err)
{
    struct score *score = NULL;
    double sum, squares;
    *out = (struct found){.agreement = 1};
    snprintf(out->plan, sizeof out->plan, "%s", plan);
    int rc = scored_text_score(&h->text, &h->s, *plan ? plan : NULL, &score, err);
    if (rc == OK) {
        score_sum(score, &out->n_tokens, &sum, &squares);
        out->lp_token = sum / out->n_tokens;
        size_t n_bytes = (size_t)out->n_tokens * sizeof *h->plain_ids;
        if (*plan)
            out->agreement = score_agreement(score, h->plain_ids);
        else if ((h->plain_ids = malloc(n_bytes)))
            memcpy(h->plain_ids, score_own_ids(score), n_bytes);
        else
            rc = err_set(err, E_FAIL, "out of memory for %d tokens", out->n_tokens);
    }
    score_close(score);
    return rc;
}

static int evaluate(struct search *h, const char *plan, struct found *out, struct err *err)
{
    const struct found *known = recall(h, plan);
    progress_within(&h->s.progress, "plan", h->n_done++, h->n_total, clock_now_ns());
    if (known) {
        *out = *known;
        return OK;
    }
    int rc = score(h, plan, out, err);
    if (rc == OK) rc = remember(h, out, err);
    return rc == OK ? write_log(h, out, err) : rc;
}

/* The plain plan is always scored: its ids are what others must agree with, and it shows whether a log is of this
 * search. */
static int evaluate_plain(struct search *h, struct found *out, struct err *err)
{
    const struct found *known = recall(h, "");
    int rc = score(h, "", out, err);
    if (rc != OK) return rc;
    if (h->n_read && (!known || known->lp_token != out->lp_token || known->n_tokens != out->n_tokens))
        return err_set(err, E_USAGE, "--resume: %s.log is of another model, text or --window", h->s.o.save);
    if (known) return OK;
    rc = remember(h, out, err);
    return rc == OK ? write_log(h, out, err) : rc;
}

/* The plan without what is off, and without this part of a block. */
static int spell(const struct search *h, int block, unsigned part, char *out, size_t size, struct err *err)
{
    size_t n = (size_t)snprintf(out, size, "skip:");
    const char *comma = "";
    for (int i = 0; i < h->n_blocks && n < size; i++) {
        unsigned off = h->off[i] | (i == block ? part : 0);
        if (off) n += (size_t)snprintf(out + n, size - n, "%s%d%s", comma, i, plan_part_letters[off]);
        if (off) comma = ",";
    }
    if (n < size) return OK;
    return err_set(err, E_USAGE, "--remove %d: a plan of more than %d bytes: use fewer", h->s.o.remove, PART_PLAN_MOST);
}

static bool runs(const struct search *h, const char *plan)
{
    struct plan p = {0};
    struct err why;
    bool ok = plan_read(&p, plan, h->n_blocks, &why) == OK;
    plan_free(&p);
    return ok;
}

/* ---- the search ---- */

struct choice {
    int block;
    unsigned part;
    struct found found;
};

static bool is_better(const struct search *h, const struct found *a, const struct found *b)
{
    return h->s.o.by == BY_AGREEMENT ? a->agreement > b->agreement : a->lp_token > b->lp_token;
}

/* Of all candidates the best; the first of equals. */
static int choose(struct search *h, struct choice *best, struct err *err)
{
    static const unsigned halves[] = {PART_ATTENTION, PART_MLP}, whole[] = {PART_BOTH};
    const unsigned *parts = h->s.o.parts ? halves : whole;
    int rc = OK, n_parts = h->s.o.parts ? 2 : 1;
    best->block = -1;
    for (int i = 0; i < h->n_blocks * n_parts && rc == OK; i++) {
        struct choice c = {.block = i / n_parts, .part = parts[i % n_parts]};
        char plan[PART_PLAN_MOST + 1];
        if (h->off[c.block] & c.part) continue;
        rc = spell(h, c.block, c.part, plan, sizeof plan, err);
        if (rc == OK && !runs(h, plan)) continue;
        if (rc == OK) rc = evaluate(h, plan, &c.found, err);
        if (rc == OK && (best->block < 0 || is_better(h, &c.found, &best->found))) *best = c;
    }
    if (rc == OK && best->block < 0) rc = err_set(err, E_USAGE, "--remove %d: nothing more can go", h->s.o.remove);
    return rc;
}

static int put_row(struct search *h, int n_off, const struct choice *c, struct err *err)
{
    char without[16] = "-";
    double perplexity = exp(-c->found.lp_token);
    progress_clear(&h->s.progress);
    if (n_off) snprintf(without, sizeof without, "%d%s", c->block, plan_part_letters[c->part]);
    if (h->s.o.format != FORMAT_TEXT) {
        json_t *line = json_pack("{si ss ss sf sf sf si}", "off", n_off, "without", without, "plan", c->found.plan,
                                 "perplexity", perplexity, "lp_token", c->found.lp_token, "agreement",
                                 c->found.agreement, "tokens", c->found.n_tokens);
        line = json_unless(network_json(&h->s.o, line), line);
        return json_put_line(line, JSON_REAL_PRECISION(17), stdout, err);
    }
    printf("%4d %8s %12.4f %10.1f %%\n", n_off, without, perplexity, 100 * c->found.agreement);
    return fflush(stdout) ? err_set(err, E_FAIL, "standard output: %s", strerror(errno)) : OK;
}

/* Written anew after each step. */
static int save(const struct search *h, const struct found *plain, const struct found *f, struct err *err)
{
    struct plan p = {0};
    char about[PART_PLAN_MOST + 256];
    int rc = plan_read(&p, f->plan, h->n_blocks, err);
    if (rc != OK) return rc;
    snprintf(about, sizeof about, "%s: perplexity %.4f (plain %.4f), agreement %.4f on %d tokens", f->plan,
             exp(-f->lp_token), exp(-plain->lp_token), f->agreement, f->n_tokens);
    FILE *to = fopen(h->s.o.save, "we");
    json_t *plan = json_pack("{ss so}", "about", about, "entries", plan_json(&p));
    if (to)
        rc = json_save_line(plan, JSON_INDENT(1), to, h->s.o.save, err);
    else
        json_decref(plan);
    plan_free(&p);
    bool failed = !to || fclose(to);
    return rc == OK && failed ? err_set(err, E_FAIL, "--save %s: %s", h->s.o.save, strerror(errno)) : rc;
}

static int search(struct search *h, struct err *err)
{
    struct choice best = {.block = -1};
    struct found plain;
    int n_units = h->n_blocks * (h->s.o.parts ? 2 : 1);
    for (int k = 0; k < h->s.o.remove; k++) h->n_total += n_units - k;
    int rc = evaluate_plain(h, &plain, err);
    best.found = plain;
    if (rc == OK && h->s.o.format == FORMAT_TEXT) printf(" off  without   perplexity  agreement\n");
    if (rc == OK) rc = put_row(h, 0, &best, err);
    for (int n_off = 1; n_off <= h->s.o.remove && rc == OK; n_off++) {
        rc = choose(h, &best, err);
        if (rc != OK) break;
        h->off[best.block] |= (unsigned char)best.part;
        rc = put_row(h, n_off, &best, err);
        if (rc == OK) rc = save(h, &plain, &best.found, err);
    }
    if (h->s.o.format == FORMAT_TEXT) network_line(&h->s.o, stdout);
    if (rc == OK) fprintf(stderr, "%s has the plan %s\n", h->s.o.save, best.found.plan);
    return rc;
}

static int count_blocks(struct search *h, struct err *err)
{
    int rc = scored_text_n_blocks(&h->s, &h->n_blocks, err);
    if (rc != OK) return rc;
    h->off = calloc((size_t)h->n_blocks, 1);
    if (!h->off) return err_set(err, E_FAIL, "out of memory");
    int n_units = h->n_blocks * (h->s.o.parts ? 2 : 1);
    if (h->s.o.remove < n_units) return OK;
    return err_set(err, E_USAGE, "--remove %d: the model has %d", h->s.o.remove, n_units);
}

int command_plan_search(const struct options *o, const struct launch *launch, struct err *err)
{
    struct search h = {0};
    int rc = runtime_open(&h.s, o, launch, err);
    if (rc == OK) rc = count_blocks(&h, err);
    if (rc == OK) rc = check_save(&h, err);
    if (rc == OK) rc = open_log(&h, err);
    if (rc == OK) rc = scored_text_open(&h.text, &h.s, err);
    if (rc == OK) rc = search(&h, err);
    runtime_close(&h.s, rc, err);
    scored_text_close(&h.text);
    if (h.log) fclose(h.log);
    free(h.off);
    free(h.plain_ids);
    free(h.known);
    return rc;
}
