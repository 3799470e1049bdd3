#include "coordinator/cli/talk.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/cli/said.h"
#include "coordinator/text/json_text.h"
#include "proto/show.h"

static const char help[] = "/reset       begin a new conversation\n"
                           "/stats       what the conversation took so far\n"
                           "/file PATH   a file's text is the message\n"
                           "/quit        leave; so does the end of input (Ctrl-D)\n"
                           "//...        a message that begins with a slash\n"
                           "\"\"\"          begins a message of many lines, and ends it\n"
                           "Ctrl-C       ends an answer where it is\n";

void talk_note_refused(struct talk *t, const char *why)
{
    t->n_refused++;
    fprintf(stderr, "%s\n", why);
}

int talk_refuse(struct talk *t, const char *why, struct err *err)
{
    char name[16];
    talk_note_refused(t, why);
    if (!t->json) return OK;
    snprintf(name, sizeof name, "%d", t->n_turns);
    return json_put_line(json_pack("{ss so}", "id", name, "error", json_text(why, strlen(why))), 0, stdout, err);
}

/* The program that wrote the message waits for an answer. */
static int no_command(struct talk *t, const char *line, struct err *err)
{
    char why[sizeof err->text];
    snprintf(why, sizeof why, "no command %s", show_name(line).s);
    t->n_turns++;
    int rc = talk_refuse(t, why, err);
    fputs(help, stderr);
    return rc;
}

static int command(struct talk *t, const char *line, bool *more, struct err *err)
{
    if (!strcmp(line, "/quit")) {
        *more = false;
    } else if (!strcmp(line, "/reset")) {
        t->reset(t->arg);
        fputs("forgotten\n", stderr);
    } else if (!strcmp(line, "/stats")) {
        t->stats(t->arg);
    } else if (!strcmp(line, "/help")) {
        fputs(help, stderr);
    } else {
        return no_command(t, line, err);
    }
    return OK;
}

static int run(struct talk *t, struct lines *lines, struct err *err)
{
    struct said said = {0};
    int rc = OK;
    bool more = true;
    if (lines_are_typed(lines)) fputs("/help lists the commands\n", stderr);
    while (rc == OK && more && (rc = said_next(&said, lines, t->json, err)) == OK) {
        t->n_turns += said.kind == SAID_MESSAGE || said.kind == SAID_UNREADABLE;
        switch (said.kind) {
        case SAID_MESSAGE: rc = t->turn(t->arg, said.text, said.n, err); break;
        case SAID_UNREADABLE: rc = talk_refuse(t, said.text, err); break;
        case SAID_COMMAND: rc = command(t, said.text, &more, err); break;
        case SAID_NO_MORE: more = false; break;
        }
        said_free(&said);
    }
    said_free(&said);
    if (rc == OK && t->n_refused && !lines_are_typed(lines)) /* a person has seen it */
        rc = err_set(err, E_USAGE, "%d of %d messages were not answered", t->n_refused, t->n_turns);
    return rc;
}

int talk_run(struct talk *t, struct err *err)
{
    struct lines *lines = NULL;
    int rc = lines_open(&lines, (struct lines_idle){t->idle, t->arg}, err);
    if (rc == OK) rc = run(t, lines, err);
    lines_close(lines);
    return rc;
}
