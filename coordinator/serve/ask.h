/* ask.h -- the body of a request of OpenAI's API as prompts and settings. Pure: it reads no clock and answers nothing.
 *
 *   bytes ──jansson──▶ fields ─┬─ options of a line of --prompts (row_options.h), and "speculative" ─▶ settings
 *                              ├─ prompt, messages ──▶ ids
 *                              └─ n, stream, logprobs, echo
 *
 * Fields that nothing reads are ignored; those that would change the answer and cannot be honoured are refused by name.
 */
#ifndef COORDINATOR_SERVE_ASK_H
#define COORDINATOR_SERVE_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/cli/prompt_ids.h"
#include "coordinator/decode/seq.h"
#include "coordinator/serve/refusal.h"
#include "coordinator/text/stop.h"

enum { CHOICES_MOST = 128, TOP_MOST = 20 };

enum ask_kind { ASK_COMPLETIONS, ASK_CHAT };

struct ask_prompt { /* owns */
    int32_t *ids;
    int n_ids;
    char *text; /* what is echoed; NULL: nothing */
    size_t n_text;
};

struct ask {
    enum ask_kind kind;
    struct ask_prompt *prompts; /* [n_prompts] owns */
    int n_prompts, n_each;      /* choices of each prompt */
    struct settings settings;   /* of every choice; its index is its sampler.sample */
    struct stops *stops;        /* owns; NULL: those of the options */
    bool stream, with_usage, logprobs;
};

struct ask_from {            /* borrowed: all but during ask_read by settings, too */
    const struct options *o; /* what a request has that says nothing */
    const struct stops *stops;
    const struct prompt_encoder *encoder;
    const char *model; /* its name here */
    uint32_t seed;     /* for a request without one, if the options have none either */
};

/* E_USAGE: refused, and why. The caller frees *out in any case. */
int ask_read(struct ask *out, enum ask_kind kind, const char *body, size_t n, const struct ask_from *from,
             struct refusal *why);
void ask_free(struct ask *a); /* zeroed is fine */

static inline int ask_n_choices(const struct ask *a)
{
    return a->n_prompts * a->n_each;
}

/* A body that must be an object: a new reference, or NULL and why not. */
json_t *ask_object(const char *body, size_t n, struct refusal *why);
/* A field that is true or false; left out or null, *out stays. */
int ask_flag(const json_t *in, const char *key, bool *out, struct refusal *why);

#endif
