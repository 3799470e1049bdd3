/* choice.h -- one answer of a request as it grows: its text and tokens in the shapes of OpenAI's API. No I/O.
 *
 *   seq's new tokens ──choice_take──▶ text ──what may be shown──▶ a piece: new text, its tokens' log-probabilities
 *
 * Pieces never end inside a character, nor show what may still become a stop; put together they are the whole answer,
 * which is one piece that is taken at the end.
 */
#ifndef COORDINATOR_SERVE_CHOICE_H
#define COORDINATOR_SERVE_CHOICE_H

#include <jansson.h>

#include "coordinator/decode/seq.h"
#include "coordinator/serve/ask.h"

struct call;

struct choice {
    struct seq seq; /* first: a watch gets no more than it */
    struct call *call;
    const struct ask *ask;     /* borrows */
    const struct tokenizer *t; /* borrows */
    int index;
    bool done, has_role; /* has_role: the first part of its stream is out, which says whose text it is */
    uint64_t told_ns;    /* when tokens came last; 0: none has */
    int n_timed;         /* tokens that had come then */
    char *text;          /* owns: [n_text] what is echoed, then the text of n_taken tokens */
    size_t n_text, room, n_echo;
    int n_taken;
    size_t n_shown;    /* of text */
    int n_told;        /* tokens whose log-probabilities are out */
    size_t n_told_end; /* where their text ends */
};

/* With the prompt's echo. seq is set. False: no memory. */
bool choice_begin(struct choice *c, const struct ask_prompt *p);
/* Takes the seq's new tokens. False: no memory. */
bool choice_take(struct choice *c);
/* Whether there is something to show that was not shown. */
bool choice_has_news(const struct choice *c);
/* An entry of "choices" with what is new, in a whole reply or in a part of a stream; NULL when memory is out. */
json_t *choice_piece(struct choice *c);
void choice_free(struct choice *c); /* zeroed is fine */

#endif
