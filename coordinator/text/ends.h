/* ends.h -- which ids end an answer. They are the union of: what the file's keys name, one id or a list; the end of a
 * turn in its chat template; and the tokens that end answers in some family of models, because files often leave them
 * out of their keys. Such a token counts as a control token, of whatever type it is in the file. */
#ifndef COORDINATOR_TEXT_ENDS_H
#define COORDINATOR_TEXT_ENDS_H

#include "coordinator/text/vocab.h"

struct ends {     /* zeroed: none */
    int32_t *ids; /* [n] owns; ascending, without repeats */
    size_t n;
};

/* E_MODEL: a key names something that is no id. */
int ends_read(struct ends *e, struct vocab *v, const struct gguf *g, struct err *err);

/* The token with this text, if there is one, ends an answer. */
int ends_add_text(struct ends *e, struct vocab *v, const char *text, struct err *err);

void ends_free(struct ends *e);

#endif
