/* jinja.h -- runs the part of Jinja2 that chat templates are written in: what a template prints is not guessed from its
 * looks.
 *
 *   source ──lexer──▶ tokens ──evaluator, over a chat──▶ text, and which bytes of it come from messages
 *
 * As transformers runs them: trim_blocks and lstrip_blocks, loop controls, raise_exception, strftime_now. A part that
 * is not known here is an error where it would be run, and none where it would not (most of a template is about tools).
 * A template is foreign: its steps, its memory and its depth are bounded. Every byte of a string remembers whether a
 * message brought it, through cutting, joining and replacing, so that a message cannot pass for the template.
 */
#ifndef COORDINATOR_TEXT_JINJA_H
#define COORDINATOR_TEXT_JINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "proto/err.h"
#include "proto/files/gguf.h"

struct jinja_message {
    const char *role;
    struct gguf_str content;
};

struct jinja_chat { /* borrowed during a call */
    const struct jinja_message *messages;
    size_t n_messages;
    struct gguf_str bos, eos; /* empty: the model has none, and the template sees none */
    int thinking;             /* enable_thinking: 0, 1; -1: not defined */
    struct tm now;            /* for strftime_now */
};

struct jinja_text { /* owns; zeroed is empty */
    char *bytes;
    uint8_t *message; /* [n]: not 0 where a message brought the byte */
    size_t n;
};

/* The chat and the opening of an answer (add_generation_prompt). E_MODEL: the template has a fault, needs what is not
 * known here, or refuses the chat (raise_exception). */
int jinja_render(struct gguf_str source, const struct jinja_chat *chat, struct jinja_text *out, struct err *err);
void jinja_text_free(struct jinja_text *text);

#endif
