/* template.h -- a chat as the text that the model was trained on.
 *
 *   messages ──chat template: the file's own, or a named one──▶ text, and which bytes of it are from messages
 *
 * The file's own template is run (jinja.h), first over small chats, which show whether it can be run here, what ends
 * an answer, whether it takes a system message, and whether its thinking can be switched. If a file has no template,
 * or one that cannot be run, template_find returns which case it is; the caller then continues the text as it is, with
 * a note, or refuses.
 */
#ifndef COORDINATOR_TEXT_TEMPLATE_H
#define COORDINATOR_TEXT_TEMPLATE_H

#include <stdbool.h>
#include <time.h>

#include "coordinator/text/jinja.h"
#include "proto/err.h"
#include "proto/files/gguf.h"

struct template
{                     /* borrows the gguf */
    const char *name; /* of the named template that writes the same, such as "chatml"; else "the file's own" */
    char end[64];     /* the text of the token that ends an answer; "": it was not found */
    char system[512]; /* the template's default system message, cut if it is longer; "": it has none */
    bool no_system;   /* it has no place for one */
    bool one_turn;    /* it has no place for an answer and what follows it */
    bool can_think;   /* --think makes a difference */
    int thinking;     /* 0, 1; -1: as the template has it */
    struct gguf_str source, bos, eos;
    bool adds_bos; /* the tokenizer puts it first, so a rendered text begins without it */
    struct tm now; /* for templates that print the date */
};

/* TEMPLATE_UNKNOWN: it cannot be run, and `why` (may be NULL) has what it needs. */
enum template_found { TEMPLATE_NONE, TEMPLATE_UNKNOWN, TEMPLATE_OK };
enum template_found template_find(struct template *t, const struct gguf *g, struct err *why);

/* E_USAGE, with the list of names: there is no template of this name. */
int template_named(struct template *t, const char *name, struct err *err);

struct template_wants {
    const char *name;   /* NULL: the file's own */
    const char *system; /* NULL: the template's own */
    int think;          /* 0, 1; -1: not given */
    time_t now;
};

/* E_USAGE: no such name, no place for this system message, no thinking to switch. TEMPLATE_UNKNOWN: err has the
 * cause. */
int template_choose(struct template *t, const struct gguf *g, const struct template_wants *wants,
                    enum template_found *found, struct err *err);

/* The tokenizer's BOS (empty: the file's stays), borrowed. added: the tokenizer puts it first. */
void template_set_bos(struct template *t, struct gguf_str bos, bool added);

/* The prompt of a first turn: system (NULL: the default one; "": empty), the user's text, and the opening of the
 * answer. E_USAGE: the template refuses these messages. */
int template_render(const struct template *t, const char *system, struct gguf_str user, struct jinja_text *out,
                    struct err *err);

struct template_chat {                    /* borrowed during a call */
    const char *system;                   /* used if the first message is not a system message */
    const struct jinja_message *messages; /* [n] the last one the user's */
    size_t n;
};

/* The same for a whole chat. */
int template_render_chat(const struct template *t, const struct template_chat *given, struct jinja_text *out,
                         struct err *err);

struct template_turn {
    const char *system;
    bool ended; /* the last answer has t->end at its end */
    struct gguf_str user;
};

/* What follows an answer, up to the opening of the next one. */
int template_next(const struct template *t, const struct template_turn *turn, struct jinja_text *out, struct err *err);

#endif
