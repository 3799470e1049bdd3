#include "coordinator/cli/output.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/text/json_text.h"
#include "coordinator/cli/network.h"
#include "coordinator/cli/stats.h"
#include "coordinator/text/stop.h"
#include "coordinator/cli/terminal.h"
#include "proto/utf8.h"
#include "proto/show.h"

struct shown {
    const struct seq *s; /* NULL: nothing of it was seen yet */
    bool done;           /* no more tokens will come */
    int n_tokens;        /* of the text: written, or held back in tail */
    char tail[4];        /* the beginning of a character */
    size_t n_tail;       /* < 4 */
};

struct output {
    struct output_io io;
    const struct options *o;
    const struct tokenizer *t;
    const struct prompt *prompts;
    int n_seqs, turn;   /* turn: the prompt of which may be written */
    struct shown *seqs; /* [n_seqs] owns */
    bool colored;
    enum origin paint; /* of the terminal now */
};

/* ORIGIN_BIG has the terminal's own colour. */
static const char *const paint_code[] = {
    [ORIGIN_BIG] = "\033[0m", [ORIGIN_DRAFT] = "\033[32m", [ORIGIN_CORRECTION] = "\033[33m"};
static const char *const origin_name[] = {
    [ORIGIN_BIG] = "big", [ORIGIN_DRAFT] = "draft", [ORIGIN_CORRECTION] = "correction"};
static const char *const end_name[] = {
    [SEQ_RUNNING] = "aborted", [SEQ_END_ID] = "end_id", [SEQ_LENGTH] = "length", [SEQ_CONTEXT] = "context",
    [SEQ_ABORTED] = "aborted", [SEQ_STOP] = "stop",     [SEQ_FAILED] = "failed"};

static bool shows_colors(void)
{
    const char *term = getenv("TERM");
    return !getenv("NO_COLOR") && !(term && !strcmp(term, "dumb"));
}

int output_open(struct output **out, const struct options *o, const struct tokenizer *t, const struct prompts *prompts,
                struct err *err)
{
    struct output_io io = {.out = stdout, .notes = stderr, .terminal = terminal_is(stdout)};
    return output_open_io(out, o, t, prompts, &io, err);
}

int output_open_io(struct output **out, const struct options *o, const struct tokenizer *t,
                   const struct prompts *prompts, const struct output_io *io, struct err *err)
{
    int n = prompts->n;
    struct output *f = calloc(1, sizeof *f);
    if (f) f->seqs = calloc((size_t)n, sizeof *f->seqs);
    if (!f || !f->seqs) {
        free(f);
        return err_set(err, E_FAIL, "no memory for the output of %d sequences", n);
    }
    f->io = *io;
    f->o = o;
    f->t = t;
    f->prompts = prompts->items;
    f->n_seqs = n;
    f->colored = o->color == WHEN_ALWAYS || (o->color == WHEN_AUTO && io->terminal && shows_colors());
    *out = f;
    return OK;
}

void output_close(struct output *f)
{
    if (!f) return;
    free(f->seqs);
    free(f);
}

static int flush(struct output *f, struct err *err)
{
    if (!fflush(f->io.out) && !ferror(f->io.out)) return OK;
    return err_set(err, E_FAIL, "standard output: %s", strerror(errno));
}

/* --- text ----------------------------------------------------------------------------------------------------------
 */

static void put_paint(struct output *f, enum origin origin)
{
    if (!f->colored || f->paint == origin) return;
    fputs(paint_code[origin], f->io.out);
    f->paint = origin;
}

/* A token that completes a character lends it its colour. */
static void put_piece(struct output *f, struct shown *w, struct gguf_str piece, enum origin origin)
{
    size_t taken = 0;
    while (w->n_tail && taken < piece.n) { /* the tail first, byte by byte: a character is short */
        w->tail[w->n_tail++] = piece.s[taken++];
        size_t n = utf8_complete(w->tail, w->n_tail);
        if (!n) continue;
        put_paint(f, origin);
        fwrite(w->tail, 1, n, f->io.out);
        memmove(w->tail, w->tail + n, w->n_tail -= n);
    }
    if (taken == piece.n) return;
    size_t n = utf8_complete(piece.s + taken, piece.n - taken);
    if (n) {
        put_paint(f, origin);
        fwrite(piece.s + taken, 1, n, f->io.out);
    }
    w->n_tail = piece.n - taken - n;
    memcpy(w->tail, piece.s + taken + n, w->n_tail);
}

/* What has come and may not become a stop yet. Tokens are shown when their end is known already: spec decides on
 * both in one step, and only then are they told of. */
static int put_new_text(struct output *f, struct shown *w, struct err *err)
{
    const struct seq *s = w->s;
    bool over = w->done || s->end != SEQ_RUNNING;
    if (w->n_tokens == seq_n_generated(s)) return OK;
    if (!w->n_tokens && f->n_seqs > 1) {
        char number[16];
        fprintf(f->io.notes, "== %s\n",
                show_name(prompt_name(&f->prompts[s->request.index], s->request.index, number)).s);
        fflush(f->io.notes);
    }
    char *text = NULL;
    size_t n = stop_text_from(f->t, s, w->n_tokens, &text), at = 0;
    if (!text) return err_set(err, E_FAIL, "no memory for the text of %d tokens", seq_n_generated(s));
    n = over ? stop_cut(s, text, n) : n - stop_held(s->request.settings.stops, text, n);
    for (; w->n_tokens < seq_n_generated(s); w->n_tokens++) {
        int i = s->n_prompt + w->n_tokens;
        struct gguf_str piece = tokenizer_piece(f->t, s->ids[i], false);
        if (piece.n > n - at && !over) break;
        if (piece.n > n - at) piece.n = n - at;
        put_piece(f, w, piece, (enum origin)s->origin[i]);
        at += piece.n;
    }
    free(text);
    return OK;
}

static int put_end_of_text(struct output *f, struct shown *w, struct err *err)
{
    w->done = true;
    int rc = put_new_text(f, w, err);
    if (rc != OK) return rc;
    fwrite(w->tail, 1, w->n_tail, f->io.out); /* a character that the model never finished: its bytes as they are */
    w->n_tail = 0;
    put_paint(f, ORIGIN_BIG);
    fputc('\n', f->io.out);
    return flush(f, err); /* before the next one's name, which goes another way to the same place */
}

static bool is_sampled(const struct settings *s)
{
    return s->sampler.temp > 0;
}

/* --- JSON lines ----------------------------------------------------------------------------------------------------
 */

static json_t *json_of_text(const struct output *f, const struct seq *s)
{
    char *bytes = NULL;
    size_t n = stop_answer(f->t, s, &bytes);
    json_t *text = bytes ? json_text(bytes, n) : NULL;
    free(bytes);
    return text;
}

/* JSON has no infinities. */
static json_t *json_lp(float lp)
{
    return isfinite(lp) ? json_real((double)lp) : json_null();
}

static json_t *json_top(const struct seq *s, int at)
{
    json_t *list = json_array();
    int lost = 0;
    for (int i = 0; i < s->request.settings.n_top; i++) {
        const struct top *best = &s->top[(size_t)at * (size_t)s->request.settings.n_top + (size_t)i];
        lost |= json_array_append_new(list, json_pack("[i o]", (int)best->id, json_lp(best->lp)));
    }
    return json_unless(lost, list);
}

/* NULL where a part of it could not be made: jansson's functions pass a NULL on as a failure, and add nothing. An id
 * too few would be a wrong answer. */
static json_t *json_of_seq(const struct output *f, const struct seq *s)
{
    char number[16];
    const char *name = prompt_name(&f->prompts[s->request.index], s->request.index, number);
    struct stats cost = {0};
    json_t *ids = json_array(), *lps = json_array(), *origins = json_array(), *tops = json_array();
    int lost = 0;
    for (int i = s->n_prompt; i < s->n_ids; i++) {
        lost |= json_array_append_new(ids, json_integer(s->ids[i]));
        lost |= json_array_append_new(lps, json_lp(s->lp[i]));
        lost |= json_array_append_new(origins, json_string(origin_name[s->origin[i]]));
        if (s->top) lost |= json_array_append_new(tops, json_top(s, i));
    }
    stats_add(&cost, s);
    json_t *spent = stats_json(&cost);
    lost |= network_json(f->o, spent);
    json_t *line = json_pack("{so si so so so so ss so}", "id", json_text(name, strlen(name)), "prompt_tokens",
                             s->n_prompt, "ids", ids, "logprobs", lps, "origin", origins, "text", json_of_text(f, s),
                             "end", end_name[s->end], "stats", spent);
    if (s->top) lost |= json_object_set(line, "top", tops);
    if (s->end == SEQ_FAILED) lost |= json_object_set_new(line, "error", json_text(s->why.text, strlen(s->why.text)));
    if (is_sampled(&s->request.settings))
        lost |= json_object_set_new(line, "seed", json_integer(s->request.settings.sampler.seed));
    json_decref(tops);
    return json_unless(lost, line);
}

/* --- prompts that cannot be answered --------------------------------------------------------------------------------
 */

int output_refuse(const struct output_io *io, enum format format, const struct prompt *p, int index, const char *why,
                  struct err *err)
{
    char number[16];
    const char *name = prompt_name(p, index, number);
    if (format == FORMAT_JSONL) {
        json_t *line = json_pack("{so so}", "id", json_text(name, strlen(name)), "error", json_text(why, strlen(why)));
        return json_put_line(line, 0, io->out, err);
    }
    fprintf(io->notes, "== %s\n%s\n", show_name(name).s, why);
    fflush(io->notes);
    return OK;
}

/* --- the four events -----------------------------------------------------------------------------------------------
 */

/* Of a prompt whose turn it is; of one that never began there is nothing. The error of the only one ends the
 * program. */
static int put_whole(struct output *f, int i, struct err *err)
{
    const struct prompt *p = &f->prompts[i];
    struct shown *w = &f->seqs[i];
    bool json = f->o->format == FORMAT_JSONL, several = f->n_seqs > 1;
    if (p->error) return several || json ? output_refuse(&f->io, f->o->format, p, i, p->error, err) : OK;
    if (!w->s || (!w->done && !seq_n_generated(w->s))) return OK;
    bool failed = w->s->end == SEQ_FAILED;
    if (w->s->slot < 0 && !failed) return OK;
    if (json) return json_put_line(json_of_seq(f, w->s), JSON_REAL_PRECISION(9), f->io.out, err);
    if (failed && !seq_n_generated(w->s))
        return several ? output_refuse(&f->io, f->o->format, p, i, w->s->why.text, err) : OK;
    int rc = put_end_of_text(f, w, err);
    if (rc == OK && failed && several) fprintf(f->io.notes, "%s\n", w->s->why.text);
    return rc;
}

static int take_turns(struct output *f, struct err *err)
{
    int rc = OK;
    for (; f->turn < f->n_seqs && (f->seqs[f->turn].done || f->prompts[f->turn].error) && rc == OK; f->turn++)
        rc = put_whole(f, f->turn, err);
    struct shown *now = f->turn < f->n_seqs ? &f->seqs[f->turn] : NULL;
    if (rc == OK && now && now->s && f->o->format == FORMAT_TEXT) rc = put_new_text(f, now, err);
    return rc == OK ? flush(f, err) : rc;
}

int output_tokens(struct output *f, const struct seq *s, struct err *err)
{
    f->seqs[s->request.index].s = s;
    return take_turns(f, err);
}

int output_done(struct output *f, const struct seq *s, struct err *err)
{
    f->seqs[s->request.index].s = s;
    f->seqs[s->request.index].done = true;
    return take_turns(f, err);
}

int output_n_shown(const struct output *f)
{
    return f->turn;
}

static int on_tokens(void *output, const struct seq *s, struct err *err)
{
    return output_tokens(output, s, err);
}

static int on_done(void *output, const struct seq *s, struct err *err)
{
    return output_done(output, s, err);
}

bool output_is_writing(const struct output *f)
{
    return f->io.terminal && f->o->format == FORMAT_TEXT && f->turn < f->n_seqs && f->seqs[f->turn].n_tokens > 0;
}

static bool is_writing(const void *output)
{
    return output_is_writing(output);
}

struct job_watch output_watch(struct output *f)
{
    return (struct job_watch){.tokens = on_tokens, .done = on_done, .writing = is_writing, .arg = f};
}

/* Requests whose text is not big's greedy one: how many, the first one's settings, and whether all have these. */
struct method {
    int n, n_seeded; /* n_seeded: by the seed of the run, not one of their own */
    bool alike;
    const struct settings *first;
    struct stats cost;
};

static bool is_bild(const struct settings *s)
{
    return settings_lossy(s) && s->drafting;
}

static bool is_sampled_alike(const struct settings *a, const struct settings *b)
{
    const struct sampler *x = &a->sampler, *y = &b->sampler;
    return x->temp == y->temp && x->top_k == y->top_k && x->top_p == y->top_p && x->min_p == y->min_p;
}

static bool is_bild_alike(const struct settings *a, const struct settings *b)
{
    return a->fallback == b->fallback && a->rule.kind == b->rule.kind && a->rule.rollback == b->rule.rollback &&
           a->draft_max == b->draft_max;
}

static struct method method_of(const struct output *f, bool (*is)(const struct settings *),
                               bool (*is_alike)(const struct settings *, const struct settings *))
{
    struct method m = {.alike = true};
    for (int i = 0; i < f->n_seqs; i++) {
        const struct seq *s = f->seqs[i].s;
        const struct settings *set = s ? &s->request.settings : NULL;
        if (!s || !is(set)) continue;
        if (!m.n++) m.first = set;
        m.n_seeded += set->sampler.seed == (uint32_t)f->o->seed;
        m.alike &= is_alike(set, m.first);
        stats_add(&m.cost, s);
    }
    return m;
}

/* "lossy: bild (2 of 3 prompts), " and what they have in common. */
static void put_method(const struct output *f, const struct method *m, const char *name, const char *between,
                       const char *settings)
{
    fputs(name, f->io.notes);
    if (m->n < f->n_seqs) fprintf(f->io.notes, " (%d of %d prompts)", m->n, f->n_seqs);
    fprintf(f->io.notes, "%s%s", between, m->alike ? settings : "with settings of their own");
}

static void put_methods(const struct output *f)
{
    char settings[120];
    struct method sampled = method_of(f, is_sampled, is_sampled_alike), bild = method_of(f, is_bild, is_bild_alike);
    if (sampled.n) {
        const struct sampler *s = &sampled.first->sampler;
        snprintf(settings, sizeof settings, "temperature %g, top-k %u, top-p %g, min-p %g", (double)s->temp, s->top_k,
                 (double)s->top_p, (double)s->min_p);
        put_method(f, &sampled, "sampled", ": ", settings);
        if (sampled.n_seeded)
            fprintf(f->io.notes, "; --seed %d gives %s again", f->o->seed, sampled.n > 1 ? "these texts" : "this text");
        fputc('\n', f->io.notes);
    }
    if (bild.n) {
        const struct rule *r = &bild.first->rule;
        snprintf(settings, sizeof settings, "fallback %g, rollback %g (%s), window %d", (double)bild.first->fallback,
                 (double)r->rollback, r->kind == RULE_REPO ? "repo" : "strict", bild.first->draft_max);
        put_method(f, &bild, "lossy: bild", ", ", settings);
        fputs("; ", f->io.notes);
        stats_bild_line(&bild.cost, f->io.notes);
        fputc('\n', f->io.notes);
    }
}

static void put_table(const struct output *f, const struct stats *total)
{
    stats_table_head(f->io.notes);
    for (int i = 0; i < f->n_seqs && f->n_seqs > 1; i++) {
        char number[16];
        struct stats cost = {0};
        if (!f->seqs[i].s) continue;
        stats_add(&cost, f->seqs[i].s);
        stats_table_row(&cost, show_name(prompt_name(&f->prompts[i], i, number)).s, f->io.notes);
    }
    stats_table_row(total, "all", f->io.notes);
    if (f->n_seqs > 1)
        fputs("draft, verify, net: seconds, summed over requests; net has also the wait for one another's passes\n",
              f->io.notes);
}

/* Answers that the model would have gone on with. */
static void put_cuts(const struct output *f, const struct stats *total)
{
    char several[24] = "";
    int n_predict = 0; /* of those cut there; -1: not of all the same */
    for (int i = 0; i < f->n_seqs; i++) {
        const struct seq *s = f->seqs[i].s;
        if (!s || s->end != SEQ_LENGTH) continue;
        n_predict = !n_predict || n_predict == s->request.settings.n_predict ? s->request.settings.n_predict : -1;
    }
    if (f->n_seqs > 1) snprintf(several, sizeof several, "%llu ", (unsigned long long)total->n_at_length);
    if (n_predict > 0) fprintf(f->io.notes, "; %scut at -n %d", several, n_predict);
    if (n_predict < 0) fprintf(f->io.notes, "; %scut at -n, each at its own", several);
    if (f->n_seqs > 1) snprintf(several, sizeof several, "%llu ", (unsigned long long)total->n_at_context);
    if (total->n_at_context) fprintf(f->io.notes, "; %scut at the end of the context", several);
}

static void put_closing_line(const struct output *f, const struct stats *total, double seconds, bool interrupted)
{
    int n_bad = 0;
    for (int i = 0; i < f->n_seqs; i++)
        n_bad += f->prompts[i].error || (f->seqs[i].s && f->seqs[i].s->end == SEQ_FAILED);
    if (n_bad == f->n_seqs) return;
    if (interrupted) fputs("interrupted; ", f->io.notes);
    if (n_bad) fprintf(f->io.notes, "%d of ", f->n_seqs - n_bad);
    if (f->n_seqs > 1)
        fprintf(f->io.notes, "%d prompts, %llu tokens in %.1f s; ", f->n_seqs, (unsigned long long)total->n_tokens,
                seconds);
    stats_line(total, f->io.notes);
    put_cuts(f, total);
    fputc('\n', f->io.notes);
    char why[256];
    if (stats_withheld(total, why, sizeof why)) fprintf(f->io.notes, "%s\n", why);
    put_methods(f);
    network_line(f->o, f->io.notes);
}

int output_finish(struct output *f, uint64_t now_ns, bool interrupted, struct err *err)
{
    struct stats total = {0};
    uint64_t start_ns = now_ns;
    for (; f->turn < f->n_seqs; f->turn++) {
        int rc = put_whole(f, f->turn, err);
        if (rc != OK) return rc;
    }
    int rc = flush(f, err);
    for (int i = 0; i < f->n_seqs; i++) {
        const struct seq *s = f->seqs[i].s;
        if (!s) continue;
        stats_add(&total, s);
        if (s->stats.start_ns < start_ns) start_ns = s->stats.start_ns;
    }
    if (f->o->stats) put_table(f, &total);
    put_closing_line(f, &total, (double)(now_ns - start_ns) * 1e-9, interrupted);
    fflush(f->io.notes);
    return rc;
}
