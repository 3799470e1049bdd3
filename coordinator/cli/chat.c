#include "coordinator/cli/chat.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/marks.h"
#include "coordinator/cli/output.h"
#include "coordinator/text/json_text.h"
#include "coordinator/cli/said.h"
#include "coordinator/cli/stats.h"
#include "coordinator/text/template.h"
#include "proto/clock.h"
#include "proto/show.h"

struct chat {
    struct runtime s;
    struct template chat;
    int32_t *ids; /* owns: the conversation */
    int n_ids;
    int n_turns, n_refused; /* messages; of them not answered */
    struct stats total;     /* since the start, /reset or not */
};

static const char help[] = "/reset       begin a new conversation\n"
                           "/stats       what the conversation took so far\n"
                           "/file PATH   a file's text is the message\n"
                           "/quit        leave; so does the end of input (Ctrl-D)\n"
                           "//...        a message that begins with a slash\n"
                           "\"\"\"          begins a message of many lines, and ends it\n"
                           "Ctrl-C       ends an answer where it is\n";

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
    snprintf(name, sizeof name, "%d", c->n_turns);
    int rc = output_open(&output, &c->s.o, c->s.big_t, &one, err);
    if (rc != OK) return rc;
    struct job_watch watch = output_watch(output);
    rc = job_run(c->s.job, seq, 1, &watch, err);
    struct err ignored;
    int shown = output_finish(output, clock_now_ns(), seq->end == SEQ_ABORTED, rc == OK ? err : &ignored);
    output_close(output);
    stats_add(&c->total, seq);
    return rc == OK ? shown : rc;
}

/* It is no part of the conversation. */
static void note_refused(struct chat *c, const char *why)
{
    c->n_refused++;
    fprintf(stderr, "%s\n", why);
}

/* Each message has an answer in JSON lines, this one too. */
static int refuse(struct chat *c, const char *why, struct err *err)
{
    char name[16];
    note_refused(c, why);
    if (c->s.o.format != FORMAT_JSONL) return OK;
    snprintf(name, sizeof name, "%d", c->n_turns);
    return json_put_line(json_pack("{ss so}", "id", name, "error", json_text(why, strlen(why))), 0, stdout, err);
}

/* The seq's ids are the conversation now; one that failed is as if it had not been, though what there was of it has
 * been shown. */
static void go_on_from(struct chat *c, struct seq *seq)
{
    if (seq->end == SEQ_FAILED) {
        note_refused(c, seq->why.text);
        return;
    }
    free(c->ids);
    c->ids = seq->ids;
    c->n_ids = seq->n_ids;
    seq->ids = NULL;
}

/* A message that does not fit, or has a byte that the vocabulary lacks, is refused. */
static int turn(struct chat *c, const char *text, size_t n_text, struct err *err)
{
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
        return refuse(c, why, err);
    }
    const struct prompt prompt = {.ids = c->ids, .n_ids = (int)n, .settings = runtime_settings(&c->s)};
    if (rc == OK) rc = runtime_seq(&c->s, &prompt, 0, true, &seq, err);
    if (rc == OK) rc = answer(c, &seq, err);
    if (rc == OK) go_on_from(c, &seq);
    seq_free(&seq);
    return rc;
}

/* ---- the conversation ---- */

/* The program that wrote the message waits for an answer. */
static int no_command(struct chat *c, const char *line, struct err *err)
{
    char why[sizeof err->text];
    snprintf(why, sizeof why, "no command %s", show_name(line).s);
    c->n_turns++;
    int rc = refuse(c, why, err);
    fputs(help, stderr);
    return rc;
}

static int command(struct chat *c, const char *line, bool *more, struct err *err)
{
    if (!strcmp(line, "/quit")) {
        *more = false;
    } else if (!strcmp(line, "/reset")) {
        c->n_ids = 0;
        fputs("forgotten\n", stderr);
    } else if (!strcmp(line, "/stats")) {
        stats_table_head(stderr);
        stats_table_row(&c->total, "all turns", stderr);
        marks_line(&c->s.o, stderr);
        fprintf(stderr, "%d of %d tokens of the context\n", c->n_ids, c->s.info.n_ctx);
    } else if (!strcmp(line, "/help")) {
        fputs(help, stderr);
    } else {
        return no_command(c, line, err);
    }
    return OK;
}

static int talk(struct chat *c, struct lines *lines, struct err *err)
{
    struct said said = {0};
    int rc = OK;
    bool more = true;
    if (lines_are_typed(lines)) fputs("/help lists the commands\n", stderr);
    while (rc == OK && more && (rc = said_next(&said, lines, c->s.o.format == FORMAT_JSONL, err)) == OK) {
        c->n_turns += said.kind == SAID_MESSAGE || said.kind == SAID_UNREADABLE;
        switch (said.kind) {
        case SAID_MESSAGE: rc = turn(c, said.text, said.n, err); break;
        case SAID_UNREADABLE: rc = refuse(c, said.text, err); break;
        case SAID_COMMAND: rc = command(c, said.text, &more, err); break;
        case SAID_NO_MORE: more = false; break;
        }
        said_free(&said);
    }
    said_free(&said);
    if (rc == OK && c->n_refused && !lines_are_typed(lines)) /* a person has seen it */
        rc = err_set(err, E_USAGE, "%d of %d messages were not answered", c->n_refused, c->n_turns);
    return rc;
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
    rc = runtime_start(&c->s, 1, err);
    if (rc != OK) return rc;
    struct lines *lines = NULL;
    rc = lines_open(&lines, err);
    if (rc == OK) rc = talk(c, lines, err);
    lines_close(lines);
    return rc;
}

int command_chat(const struct options *o, const struct launch *launch, struct err *err)
{
    struct chat c = {0};
    int rc = runtime_open(&c.s, o, launch, err);
    if (rc == OK) rc = chat(&c, err);
    runtime_close(&c.s, rc, err);
    free(c.ids);
    return rc;
}
