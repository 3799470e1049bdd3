/* said.h -- what is said next in a conversation: lines become messages and commands.
 *
 *   a line                        a message, without what stands for itself below
 *   """ ... """                   a message of many lines; so is a paste at a terminal, whatever it begins with
 *   /file PATH                    a file's text is the message
 *   //...                         a message that begins with one slash
 *   /...                          a command, for the caller to know
 *   {"content": "..."} or "..."   with -o jsonl: a message as JSON
 *
 * Lines of blanks are nothing. What cannot be read is said to be so, and is the caller's to count.
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
