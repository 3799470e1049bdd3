#include "coordinator/cli/output.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/text/json_text.h"
#include "coordinator/cli/closing.h"
#include "coordinator/cli/marks.h"
#include "coordinator/cli/stats.h"
#include "coordinator/text/stop.h"
#include "coordinator/cli/terminal.h"
#include "proto/utf8.h"
#include "proto/show.h"

struct shown {
    bool done;     /* no more tokens will come */
    int n_tokens;  /* of the text: written, or held back in tail */
    char tail[4];  /* the beginning of a character */
    size_t n_tail; /* < 4 */
};

struct output {
    struct output_io io;
    const struct options *o;
    const struct tokenizer *t;
    const struct prompt *prompts;
    const struct job *job;   /* NULL: none */
    int n_seqs, turn;        /* turn: the prompt of which may be written */
    const struct seq **seqs; /* [n_seqs] owns the list; NULL: nothing of it was seen yet */
    struct shown *shown;     /* [n_seqs] owns */
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
    if (f) f->shown = calloc((size_t)n, sizeof *f->shown);
    if (!f || !f->seqs || !f->shown) {
        output_close(f);
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

void output_set_job(struct output *f, const struct job *job)
{
    f->job = job;
}

void output_close(struct output *f)
{
    if (!f) return;
    free(f->seqs);
    free(f->shown);
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
static int put_new_text(struct output *f, int i_seq, struct err *err)
{
    struct shown *w = &f->shown[i_seq];
    const struct seq *s = f->seqs[i_seq];
    bool over = w->done || s->end != SEQ_RUNNING;
    if (w->n_tokens == seq_n_generated(s)) return OK;
    if (!w->n_tokens && f->n_seqs > 1) {
        char number[16];
        fprintf(f->io.notes, "== %s\n", show_name(prompt_name(&f->prompts[i_seq], i_seq, number)).s);
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

static int put_end_of_text(struct output *f, int i_seq, struct err *err)
{
    struct shown *w = &f->shown[i_seq];
    w->done = true;
    int rc = put_new_text(f, i_seq, err);
    if (rc != OK) return rc;
    fwrite(w->tail, 1, w->n_tail, f->io.out); /* a character that the model never finished: its bytes as they are */
    w->n_tail = 0;
    put_paint(f, ORIGIN_BIG);
    fputc('\n', f->io.out);
    return flush(f, err); /* before the next one's name, which goes another way to the same place */
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
    int lost = 0, n;
    const struct top *top = seq_top(s, at, &n);
    for (int i = 0; i < n; i++)
        lost |= json_array_append_new(list, json_pack("[i o]", (int)top[i].id, json_lp(top[i].lp)));
    return json_unless(lost, list);
}

/* The least round trip of a Ping to each worker, as last measured. Nothing where none is. */
static int json_add_links(const struct output *f, json_t *to)
{
    struct job_info info = {0};
    json_t *list = json_array();
    int lost = !list;
    if (f->job) job_info(f->job, &info);
    for (int i = 0; i < info.n_workers; i++) {
        struct job_worker w;
        job_worker(f->job, i, &w);
        if (!w.rtt_ns) continue;
        lost |= json_array_append_new(
            list, json_pack("{ss si si si si so sf}", "role", w.role == ROLE_DRAFTER ? "drafter" : "verifier", "rank",
                            w.rank, "group", w.group, "stage", w.stage, "shard", w.shard, "host",
                            json_text(w.host, strlen(w.host)), "rtt_ms", (double)w.rtt_ns * 1e-6));
    }
    if (json_array_size(list)) lost |= json_object_set(to, "links", list);
    json_decref(list);
    return lost;
}

/* NULL where a part of it could not be made: jansson's functions pass a NULL on as a failure, and add nothing. An id
 * too few would be a wrong answer. */
static json_t *json_of_seq(const struct output *f, const struct seq *s)
{
    char number[16];
    const char *name = prompt_name(&f->prompts[s->request.index], s->request.index, number);
    struct stats cost = {0};
    json_t *ids = json_array(), *lps = json_array(), *origins = json_array(), *tops = json_array(),
           *prompt = json_array();
    int lost = 0;
    for (int i = 0; i < s->n_prompt && s->ids; i++) lost |= json_array_append_new(prompt, json_integer(s->ids[i]));
    for (int i = s->n_prompt; i < s->n_ids; i++) {
        lost |= json_array_append_new(ids, json_integer(s->ids[i]));
        lost |= json_array_append_new(lps, json_lp(s->lp[i]));
        lost |= json_array_append_new(origins, json_string(origin_name[s->origin[i]]));
        if (s->top) lost |= json_array_append_new(tops, json_top(s, i));
    }
    stats_add(&cost, s);
    json_t *spent = stats_json(&cost);
    lost |= marks_json(f->o, spent);
    lost |= json_add_links(f, spent);
    json_t *line = json_pack("{so si so so so so so ss so}", "id", json_text(name, strlen(name)), "prompt_tokens",
                             s->n_prompt, "prompt_ids", prompt, "ids", ids, "logprobs", lps, "origin", origins, "text",
                             json_of_text(f, s), "end", end_name[s->end], "stats", spent);
    if (s->top) lost |= json_object_set(line, "top", tops);
    if (s->end == SEQ_FAILED) lost |= json_object_set_new(line, "error", json_text(s->why.text, strlen(s->why.text)));
    if (s->request.settings.sampler.temp > 0)
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
    const struct seq *s = f->seqs[i];
    bool json = f->o->format == FORMAT_JSONL, several = f->n_seqs > 1;
    if (p->error) return several || json ? output_refuse(&f->io, f->o->format, p, i, p->error, err) : OK;
    if (!s || (!f->shown[i].done && !seq_n_generated(s))) return OK;
    bool failed = s->end == SEQ_FAILED;
    if (s->slot < 0 && !failed) return OK;
    if (json) return json_put_line(json_of_seq(f, s), JSON_REAL_PRECISION(9), f->io.out, err);
    if (failed && !seq_n_generated(s))
        return several ? output_refuse(&f->io, f->o->format, p, i, s->why.text, err) : OK;
    int rc = put_end_of_text(f, i, err);
    if (rc == OK && failed && several) fprintf(f->io.notes, "%s\n", s->why.text);
    return rc;
}

static int take_turns(struct output *f, struct err *err)
{
    int rc = OK;
    for (; f->turn < f->n_seqs && (f->shown[f->turn].done || f->prompts[f->turn].error) && rc == OK; f->turn++)
        rc = put_whole(f, f->turn, err);
    bool streams = f->turn < f->n_seqs && f->seqs[f->turn] && f->o->format == FORMAT_TEXT;
    if (rc == OK && streams) rc = put_new_text(f, f->turn, err);
    return rc == OK ? flush(f, err) : rc;
}

int output_tokens(struct output *f, const struct seq *s, struct err *err)
{
    f->seqs[s->request.index] = s;
    return take_turns(f, err);
}

int output_done(struct output *f, const struct seq *s, struct err *err)
{
    f->seqs[s->request.index] = s;
    f->shown[s->request.index].done = true;
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
    return f->io.terminal && f->o->format == FORMAT_TEXT && f->turn < f->n_seqs && f->shown[f->turn].n_tokens > 0;
}

static bool is_writing(const void *output)
{
    return output_is_writing(output);
}

struct job_watch output_watch(struct output *f)
{
    return (struct job_watch){.tokens = on_tokens, .done = on_done, .writing = is_writing, .arg = f};
}

int output_finish(struct output *f, uint64_t now_ns, bool interrupted, struct err *err)
{
    for (; f->turn < f->n_seqs; f->turn++) {
        int rc = put_whole(f, f->turn, err);
        if (rc != OK) return rc;
    }
    int rc = flush(f, err);
    const struct answers all = {f->o, f->prompts, f->seqs, f->n_seqs};
    closing_put(&all, now_ns, interrupted, f->io.notes);
    return rc;
}
