/* template.h -- a chat as the text that the model was trained on.
 *
 * Recognised from the file's own tokenizer.chat_template, never guessed: ChatML (with the default system message of that
 * template), Llama 2, Llama 3 (and its dated preface), Gemma, Phi-3, Zephyr, four of Mistral's, DeepSeek. A file without
 * a template, or with one that is not recognised, is not chatted with silently: template_find says which case it is, and
 * the caller runs raw and says so, or refuses. A name can be given instead (template_named).
 */
#ifndef COORDINATOR_TEMPLATE_H
#define COORDINATOR_TEMPLATE_H

#include <stdbool.h>

#include "coordinator/tokenizer.h"
#include "proto/err.h"
#include "proto/gguf.h"

struct template
{
    const char *name;     /* "chatml" */
    const char *end;      /* of a turn: the text of the token that ends an answer */
    char system[512];     /* the template's default system message; "" if it has none */
    bool no_system;       /* it has no place for one */
    const char *preface;  /* stands before any system message; NULL: nothing does */
    bool starts_with_bos; /* where the tokenizer does not add it */
    const struct form *form;
};

enum template_found { TEMPLATE_NONE, TEMPLATE_UNKNOWN, TEMPLATE_OK };
enum template_found template_find(struct template *t, const struct gguf *g);

/* E_USAGE, with the names that there are, where this is none. */
int template_named(struct template *t, const char *name, struct err *err);

/* The one with this name, or without a name the file's own. E_USAGE: no such name, or no place for this system message
 * (NULL or "": none is asked for). */
int template_choose(struct template *t, const struct gguf *g, const char *name, const char *system,
                    enum template_found *found, struct err *err);

/* tokenizer: whose BOS it is; NULL where a template has no use for it.
 *
 * The prompt of a first turn: system (NULL: the default one; "": none), the user's text, and the opening of the answer.
 * Returns a malloc'd string of *n_bytes (also zero-terminated), NULL when memory is out. */
char *template_render(const struct template *t, const struct tokenizer *tokenizer, const char *system, const char *user,
                      size_t n_user, size_t *n_bytes);

/* What follows an answer, up to the opening of the next one. ended: the answer has t->end at its end. */
char *template_next(const struct template *t, const struct tokenizer *tokenizer, bool ended, const char *user,
                    size_t n_user, size_t *n_bytes);

#endif
