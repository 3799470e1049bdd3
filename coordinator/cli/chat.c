#include "coordinator/cli/chat.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/marks.h"
#include "coordinator/cli/output.h"
#include "coordinator/cli/stats.h"
#include "coordinator/cli/talk.h"
#include "coordinator/text/template.h"
#include "proto/clock.h"

struct chat {
    struct runtime s;
    struct template chat;
    int32_t *ids; /* owns: the conversation */
    int n_ids;
    struct talk talk;
    struct stats total; /* since the start, /reset or not */
};

/* ---- one turn ---- */

/* The conversation with a message behind it; n_ids, which says how much of ids counts, is the caller's to move. */
static int append(struct chat *c, const char *text, size_t n_text, size_t *n_ids, struct err *err)
{
    bool first = c->n_ids == 0;
    bool ended = !first && c->ids[c->n_ids - 1] == tokenizer_find(c->s.big_t, c->chat.end);
    const struct gguf_str message = {text, n_text};
    struct jinja_text rendered = {0};
    const struct template_turn turn = {c->s.o.system, ended, message};
    int rc = first ? template_render(&c->chat, c->s.o.system, message, &rendered, err)
                   : template_next(&c->chat, &turn, &rendered, err);
    const struct tokenizer_text in = {rendered.bytes, rendered.n, c->s.o.special ? NULL : rendered.message,
                                      true,           first,      4 * (size_t)c->s.info.n_ctx};
    *n_ids = (size_t)c->n_ids;
    if (rc == OK) rc = tokenizer_encode(c->s.big_t, &in, &c->ids, n_ids, err);
    jinja_text_free(&rendered);
    return rc;
}

static int answer(struct chat *c, struct seq *seq, struct err *err)
{
    char name[16];
    struct prompt prompt = {.name = name};
    const struct prompts one = {.n = 1, .items = &prompt};
    struct output *output;
    snprintf(name, sizeof name, "%d", c->talk.n_turns);
    int rc = output_open(&output, &c->s.o, c->s.big_t, &one, err);
    if (rc != OK) return rc;
    output_set_job(output, c->s.job);
    struct job_watch watch = output_watch(output);
    rc = job_run(c->s.job, seq, 1, &watch, err);
    struct err ignored;
    int shown = output_finish(output, clock_now_ns(), seq->end == SEQ_ABORTED, rc == OK ? err : &ignored);
    output_close(output);
    stats_add(&c->total, seq);
    return rc == OK ? shown : rc;
}

/* The seq's ids are the conversation now; one that failed is as if it had not been, though what there was of it has
 * been shown. */
static void go_on_from(struct chat *c, struct seq *seq)
{
    if (seq->end == SEQ_FAILED) {
        talk_note_refused(&c->talk, seq->why.text);
        return;
    }
    free(c->ids);
    c->ids = seq->ids;
    c->n_ids = seq->n_ids;
    seq->ids = NULL;
}

/* A message that does not fit, or has a byte that the vocabulary lacks, is refused. */
static int turn(void *arg, const char *text, size_t n_text, struct err *err)
{
    struct chat *c = arg;
    size_t n;
    struct seq seq = {0};
    int rc = append(c, text, n_text, &n, err);
    if (rc == OK && n >= (size_t)c->s.info.n_ctx)
        rc = err_set(err, E_USAGE,
                     "the conversation has %d tokens, this message %zu, the context %d: /reset begins anew; at the "
                     "start, --ctx makes it larger",
                     c->n_ids, n - (size_t)c->n_ids, c->s.info.n_ctx);
    if (rc == E_USAGE) {
        char why[sizeof err->text];
        memcpy(why, err->text, sizeof why);
        return talk_refuse(&c->talk, why, err);
    }
    const struct prompt prompt = {.ids = c->ids, .n_ids = (int)n, .settings = runtime_settings(&c->s)};
    if (rc == OK) rc = runtime_seq(&c->s, &prompt, 0, true, &seq, err);
    if (rc == OK) rc = answer(c, &seq, err);
    if (rc == OK) go_on_from(c, &seq);
    seq_free(&seq);
    return rc;
}

/* ---- the conversation ---- */

static void forget(void *arg)
{
    ((struct chat *)arg)->n_ids = 0;
}

/* While nobody types, workers can be lost. */
static int idle(void *arg, struct err *err)
{
    return job_look(((struct chat *)arg)->s.job, err);
}

static void put_stats(void *arg)
{
    const struct chat *c = arg;
    stats_table_head(stderr);
    stats_table_row(&c->total, "all turns", stderr);
    marks_line(&c->s.o, stderr);
    fprintf(stderr, "%d of %d tokens of the context\n", c->n_ids, c->s.info.n_ctx);
}

static int chat(struct chat *c, struct err *err)
{
    const struct template_wants wants = {c->s.o.chat_template, c->s.o.system, (int)c->s.o.think - 1, time(NULL)};
    enum template_found found;
    int rc = template_choose(&c->chat, &c->s.big, &wants, &found, err);
    if (rc != OK) return rc;
    if (found != TEMPLATE_OK || c->chat.one_turn) {
        char why[sizeof err->text + 32] = "";
        if (found != TEMPLATE_NONE)
            snprintf(why, sizeof why, " that can be run here (%s)",
                     found == TEMPLATE_UNKNOWN ? err->text : "it takes one message alone");
        return err_set(err, E_MODEL,
                       "%s has no chat template%s: --template NAME applies one; pilotfish generate --raw continues a "
                       "text",
                       c->s.big.path, why);
    }
    template_set_bos(&c->chat, tokenizer_bos(c->s.big_t), tokenizer_adds_bos(c->s.big_t));
    rc = runtime_trace(&c->s, err);
    if (rc == OK) rc = runtime_start(&c->s, 1, err);
    if (rc != OK) return rc;
    c->talk = (struct talk){c->s.o.format == FORMAT_JSONL, turn, forget, put_stats, c, idle, 0, 0};
    rc = talk_run(&c->talk, err);
    return rc == E_TERMINATED ? job_terminated(c->s.job, err) : rc;
}

int command_chat(const struct options *o, const struct launch *launch, struct err *err)
{
    struct chat c = {0};
    int rc = runtime_open(&c.s, o, launch, err);
    if (rc == OK) rc = chat(&c, err);
    rc = runtime_close(&c.s, rc, err);
    free(c.ids);
    return rc;
}
