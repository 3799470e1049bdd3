/* prompt_ids.h -- a prompt as token ids.
 *
 *   text, or OpenAI's messages ──chat template (unless --raw)──▶ text ──tokenizer──▶ ids, checked against the context
 *
 * It reads no file and prints nothing. E_USAGE: a prompt that is empty, unreadable or too long, with the numbers; *ids
 * (realloc'd) is the caller's to free after an error too.
 */
#ifndef COORDINATOR_CLI_PROMPT_IDS_H
#define COORDINATOR_CLI_PROMPT_IDS_H

#include <jansson.h>

#include "coordinator/cli/options.h"
#include "coordinator/text/template.h"
#include "coordinator/text/tokenizer.h"

struct prompt_encoder { /* borrows all it points to */
    const struct options *o;
    const struct tokenizer *tokenizer;
    int n_ctx; /* the model's own; a prompt leaves room for one token in it, and in --ctx */
    struct template chat;
    bool has_chat; /* it is applied */
};

/* big: for its chat template. E_MODEL: it cannot be run here. */
int prompt_encoder_init(struct prompt_encoder *e, const struct options *o, const struct gguf *big,
                        const struct tokenizer *t, int n_ctx, struct err *err);

/* Text as it is. */
int prompt_encode_plain(const struct prompt_encoder *e, const char *text, size_t n, int32_t **ids, int *n_ids,
                        struct err *err);
/* Text as a user's message, if a chat template is applied. */
int prompt_encode_text(const struct prompt_encoder *e, const char *text, size_t n, int32_t **ids, int *n_ids,
                       struct err *err);
/* [{"role": "user", "content": "..."}, ...]; parts of a content are joined in the list itself. */
int prompt_encode_messages(const struct prompt_encoder *e, json_t *list, int32_t **ids, int *n_ids, struct err *err);

/* Whether a prompt of so many ids is one, and fits the context. */
int prompt_check_length(const struct prompt_encoder *e, size_t n_ids, struct err *err);

#endif
