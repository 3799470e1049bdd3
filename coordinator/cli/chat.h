/* chat.h -- the command `chat`: a conversation, turn after turn.
 *
 *   message ─▶ template ─▶ ids, after those of the conversation so far ─▶ a turn of the job ─▶ text, as it is accepted
 *
 * The conversation is kept as ids and never made into text and back: what a model has said is what it goes on from. The
 * workers hold all of it, so a turn feeds the new ids, and one row more for the last id of the answer before.
 *
 * What a message is: said.h. Commands: /reset, /stats, /help, /quit. Ctrl-C ends an answer where it is, and the program
 * where it waits for a line (at a terminal the second one). A message that is refused, or whose answer failed, is no
 * part of the conversation; where nobody types, that is E_USAGE at the end.
 */
#ifndef COORDINATOR_CLI_CHAT_H
#define COORDINATOR_CLI_CHAT_H

#include "coordinator/runtime.h"

/* On return every worker has been told to quit. */
int command_chat(const struct options *o, const struct launch *launch, struct err *err);

#endif
