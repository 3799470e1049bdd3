#include "coordinator/cli/spec_bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/network.h"
#include "coordinator/cli/percentile.h"
#include "coordinator/cli/settings.h"
#include "coordinator/cli/sweep.h"
#include "coordinator/text/json_text.h"
#include "proto/clock.h"
#include "proto/prefix_hash.h"
#include "proto/wire.h"

enum { WAYS_MOST = MAX_NUMBERS + 2, REPEAT_MOST = 100 };

struct way {
    struct spec_cost cost;
    struct draft_profile profile;
    double ns[TEXTS_MOST][REPEAT_MOST];
};

struct bench {
    const struct options *o;
    const struct spec_backend *backend;
    struct progress *progress;
    FILE *keep;
    json_t *kept;        /* rows of the file so far */
    struct trace *trace; /* owns; NULL: none */
    struct way *ways;    /* [n_ways] owns */
    int n_ways, n_texts;
    struct options point;
    int i_curve;
    uint64_t hashes[TEXTS_MOST]; /* of each text at this point; 0: not written yet */
    bool headed;                 /* the rows' head is written */
    uint64_t n_done, n_all;      /* texts */
};

/* ---- a text ---- */

void spec_synthetic_request(const struct options *point, struct spec_text *text, struct request *out)
{
    int i_prompt = text->i < 0 ? SYNTHETIC_PROMPTS + text->i : text->i;
    struct options o = *point;
    o.ignore_eos = true; /* no id ends the text */
    for (int i = 0; i < SPEC_PROMPT; i++) text->prompt[i] = synthetic_id(text->i_curve, i_prompt, i);
    *out = (struct request){.prompt = text->prompt, .n_prompt = SPEC_PROMPT, .settings = settings_of(&o, NULL, NULL)};
}

/* Of the text behind its prompt: ids, and log-probabilities bit by bit. */
static uint64_t hash_of(const struct seq *s)
{
    uint64_t h = prefix_hash_mix((uint64_t)s->n_ids);
    for (int i = s->n_prompt; i < s->n_ids; i++) {
        int32_t bits;
        memcpy(&bits, &s->lp[i], sizeof bits);
        h = prefix_hash_next(prefix_hash_next(h, s->ids[i]), bits);
    }
    return h;
}

static int differs(const struct spec_text *text, struct err *err)
{
    return err_set(err, E_CHECK, "text %d is not the same in all ways", text->i);
}

static int check_text(struct bench *b, const struct seq *s, const struct spec_text *text, struct err *err)
{
    if (s->end == SEQ_FAILED) {
        *err = s->why;
        return err->code;
    }
    for (int i = s->n_prompt; b->o->synthetic.n_pass_ms && i < s->n_ids; i++)
        if (s->ids[i] != synthetic_big(s->ids[i - 1])) return differs(text, err);
    if (text->i < 0 || settings_lossy(&s->request.settings)) return OK;
    uint64_t hash = hash_of(s), *first = &b->hashes[text->i];
    if (!*first) *first = hash;
    return *first == hash ? OK : differs(text, err);
}

static void set_way(struct settings *set, const struct way *w)
{
    set->fresh = true;
    if (w->cost.mode == SPEC_PLAIN) set->drafting = false;
    if (w->cost.mode != SPEC_SEQUENTIAL) return;
    set->adaptive = false;
    set->draft_ahead = 0;
    set->draft_max = w->cost.draft_max;
}

/* Of the first text that counts of each way. NULL: this is another one. */
static struct trace *begin_trace(struct bench *b, const struct way *w, int i_text, int turn)
{
    char name[100];
    if (!b->trace || i_text != 0 || turn > 0) return NULL;
    snprintf(name, sizeof name, "%s, drafts %d, round trip %g ms, curve %d", spec_mode_names[w->cost.mode],
             w->cost.draft_max, 2 * (double)b->point.net_delay.ms, b->i_curve);
    trace_begin(b->trace, name, b->o->drafters, b->o->groups);
    return b->trace;
}

static int write_text(struct bench *b, struct way *w, int i_text, int turn, struct err *err)
{
    const struct spec_backend *k = b->backend;
    struct spec_text text = {.i = i_text, .i_curve = b->i_curve};
    struct request request;
    struct seq s;
    struct spec_use use = {0};
    progress_show(b->progress, "written", "texts", b->n_done++, b->n_all, clock_now_ns());
    k->request(k->arg, &text, &request);
    set_way(&request.settings, w);
    int rc = seq_init(&s, &request, k->n_ctx, err);
    if (rc != OK) return rc;
    struct trace *trace = begin_trace(b, w, i_text, turn);
    rc = k->write(k->arg, &s, &w->profile, i_text < 0 ? &use : &w->cost.use, trace, err);
    if (rc == OK) rc = check_text(b, &s, &text, err);
    if (rc == OK && i_text >= 0) {
        w->ns[i_text][turn] = (double)(s.stats.last_ns - s.stats.first_ns);
        w->cost.n_tokens[i_text] = seq_n_generated(&s) - 1;
        spec_use_add(&w->cost.use, &s);
    }
    seq_free(&s);
    return rc;
}

/* ---- a point ---- */

static void begin_ways(struct bench *b)
{
    const struct numbers *lengths = &b->o->baseline;
    struct way *w = b->ways;
    memset(b->ways, 0, WAYS_MOST * sizeof *b->ways);
    w++->cost = (struct spec_cost){.mode = SPEC_PLAIN};
    for (int i = 0; i < lengths->n; i++)
        if (lengths->list[i] > 0)
            w++->cost = (struct spec_cost){.mode = SPEC_SEQUENTIAL, .draft_max = lengths->list[i]};
    w++->cost = (struct spec_cost){.mode = SPEC_PILOTFISH, .draft_max = b->point.draft_max};
    b->n_ways = (int)(w - b->ways);
    memset(b->hashes, 0, sizeof b->hashes);
}

static int warm_up(struct bench *b, struct err *err)
{
    int rc = OK;
    for (int k = 0; k < b->o->warmup && rc == OK; k++)
        for (int i = 0; i < b->n_ways && rc == OK; i++) rc = write_text(b, &b->ways[i], -1 - k, 0, err);
    return rc;
}

/* Each time another way is first: a machine that slows down wrongs none. */
static int take_turns(struct bench *b, struct err *err)
{
    int rc = OK, n = 0;
    for (int turn = 0; turn < b->o->repeat; turn++)
        for (int text = 0; text < b->n_texts; text++, n++)
            for (int i = 0; i < b->n_ways && rc == OK; i++)
                rc = write_text(b, &b->ways[(i + n) % b->n_ways], text, turn, err);
    return rc;
}

static double whole(const struct way *w)
{
    double sum = 0;
    for (int i = 0; i < w->cost.n_texts; i++) sum += w->cost.ns[i];
    return sum;
}

/* NULL: there is none. */
static const struct way *best_sequential(struct bench *b)
{
    const struct way *best = NULL;
    for (const struct way *w = b->ways; w < b->ways + b->n_ways; w++)
        if (w->cost.mode == SPEC_SEQUENTIAL && (!best || whole(w) < whole(best))) best = w;
    return best;
}

static int put_row(struct bench *b, const struct spec_row *r, struct err *err)
{
    progress_clear(b->progress);
    int rc = spec_row_put(r, b->o->format, stdout, err);
    if (rc != OK || !b->keep) return rc;
    return json_save_line(spec_row_json(r), JSON_REAL_PRECISION(9), b->keep, b->o->keep, err);
}

static int put_rows(struct bench *b, struct err *err)
{
    for (struct way *w = b->ways; w < b->ways + b->n_ways; w++) {
        w->cost.n_texts = b->n_texts;
        for (int i = 0; i < b->n_texts; i++) w->cost.ns[i] = percentile(w->ns[i], (size_t)b->o->repeat, 50);
    }
    const struct way *sequential = best_sequential(b), *rows[] = {b->ways, sequential, &b->ways[b->n_ways - 1]};
    int rc = OK;
    if (!b->headed) spec_rows_head(b->o->format, stdout);
    b->headed = true;
    for (int i = 0; i < 3 && rc == OK; i++) {
        if (!rows[i]) continue;
        const struct spec_row row = {&b->point, b->backend->source, &rows[i]->cost, &b->ways->cost,
                                     sequential ? &sequential->cost : NULL};
        rc = put_row(b, &row, err);
    }
    return rc;
}

/* The row that is written last is there. */
static bool is_kept(struct bench *b)
{
    struct spec_cost cost = {.mode = SPEC_PILOTFISH};
    const struct spec_row row = {.point = &b->point, .source = b->backend->source, .cost = &cost};
    size_t i;
    json_t *line;
    json_array_foreach(b->kept, i, line) if (spec_row_is(&row, line)) return true;
    return false;
}

static int run_point(struct bench *b, int i_point, struct err *err)
{
    b->point = sweep_point(b->o, i_point, &b->i_curve);
    if (is_kept(b)) return OK;
    int rc = b->backend->begin(b->backend->arg, &b->point, &b->n_texts, err);
    if (rc != OK) return rc;
    begin_ways(b);
    uint64_t n_texts = (uint64_t)(b->n_ways * (b->o->warmup + b->n_texts * b->o->repeat));
    b->n_done = n_texts * (uint64_t)i_point;
    b->n_all = n_texts * (uint64_t)sweep_n_points(b->o);
    rc = warm_up(b, err);
    if (rc == OK) rc = take_turns(b, err);
    return rc == OK ? put_rows(b, err) : rc;
}

/* ---- the file ---- */

/* A last line that was cut off is no row, and no reason to stop. *cut: there is one. */
static int read_kept(struct bench *b, FILE *from, bool *cut, struct err *err)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t n;
    int lost = 0;
    while ((n = getline(&text, &room, from)) > 0 && !lost) {
        json_t *line = json_loads(text, 0, NULL);
        if (line) lost = json_array_append_new(b->kept, line);
        *cut = text[n - 1] != '\n';
    }
    free(text);
    return lost ? err_set(err, E_FAIL, "out of memory for %s", b->o->keep) : OK;
}

static int open_file(struct bench *b, struct err *err)
{
    const char *path = b->o->keep;
    if (!path) return OK;
    FILE *before = fopen(path, "r");
    if (before && !b->o->resume) {
        fclose(before);
        return err_set(err, E_USAGE, "--keep %s: there is such a file: go on with it (--resume), or name another",
                       path);
    }
    bool cut = false;
    int rc = before ? read_kept(b, before, &cut, err) : OK;
    if (before) fclose(before);
    if (rc != OK) return rc;
    b->keep = fopen(path, "a");
    if (b->keep && cut) fputc('\n', b->keep);
    return b->keep ? OK : err_set(err, E_USAGE, "--keep %s: %s", path, strerror(errno));
}

int spec_bench(const struct options *o, const struct spec_backend *backend, struct progress *progress, struct err *err)
{
    struct bench b = {.o = o, .backend = backend, .progress = progress, .kept = json_array()};
    b.ways = calloc(WAYS_MOST, sizeof *b.ways);
    int rc = b.ways && b.kept ? open_file(&b, err) : err_set(err, E_FAIL, "out of memory");
    if (rc == OK && o->trace) rc = trace_open(&b.trace, o->trace, err);
    for (int i = 0; i < sweep_n_points(o) && rc == OK; i++) rc = run_point(&b, i, err);
    progress_clear(progress);
    struct err ignored;
    int closed = trace_close(b.trace, rc == OK ? err : &ignored);
    if (rc == OK) rc = closed;
    if (b.keep && fclose(b.keep) && rc == OK) rc = err_set(err, E_FAIL, "%s: %s", o->keep, strerror(errno));
    json_decref(b.kept);
    free(b.ways);
    return rc;
}
