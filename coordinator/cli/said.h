/* said.h -- the input of a conversation: lines become messages and commands.
 *
 *   a line                        a message, unless it is one of the forms below
 *   """ ... """                   a message of many lines; so is a paste at a terminal, with any beginning
 *   /file PATH                    the text of a file is the message
 *   //...                         a message that begins with one slash
 *   /...                          a command, which the caller carries out
 *   {"content": "..."} or "..."   with -o jsonl: a message as JSON
 *
 * Blank lines are ignored. For what cannot be read the caller gets the reason, and counts it.
 */
#ifndef COORDINATOR_CLI_SAID_H
#define COORDINATOR_CLI_SAID_H

#include "coordinator/cli/line.h"

enum said_kind { SAID_MESSAGE, SAID_COMMAND, SAID_UNREADABLE, SAID_NO_MORE };

struct said {
    enum said_kind kind;
    char *text; /* owns; ends with 0 as well. SAID_UNREADABLE: why */
    size_t n;
};

/* json: lines of JSON are messages. said_free frees *out, also after an error. */
int said_next(struct said *out, struct lines *lines, bool json, struct err *err);
void said_free(struct said *s);

#endif
