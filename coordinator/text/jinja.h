/* jinja.h -- runs the part of Jinja2 that chat templates are written in, so that their output is computed, not
 * guessed.
 *
 *   source ──lexer──▶ tokens ──evaluator, over a chat──▶ text, and which bytes of it come from messages
 *
 * As transformers runs them: trim_blocks and lstrip_blocks, loop controls, raise_exception, strftime_now. A construct
 * that is not supported is an error only if it would be run (most of a template is about tools). A template is
 * foreign: its steps, its memory and its depth are bounded. Every byte of a string keeps whether it comes from a
 * message, through cutting, joining and replacing, so that a message cannot pass for a part of the template.
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

/* The chat and the opening of an answer (add_generation_prompt). E_MODEL: the template has an error, needs what is not
 * supported, or refuses the chat (raise_exception). */
int jinja_render(struct gguf_str source, const struct jinja_chat *chat, struct jinja_text *out, struct err *err);
void jinja_text_free(struct jinja_text *text);

#endif
