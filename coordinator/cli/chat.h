/* chat.h -- the command `chat`: a conversation, turn after turn.
 *
 *   message ─▶ template ─▶ ids, after those of the conversation so far ─▶ a request of the job ─▶ text, streamed
 *
 * The conversation is kept as ids and never turned into text and back: the model goes on from exactly the ids that it
 * wrote. The workers hold all of them, so a turn feeds only the new ids, and one row more for the last id of the last
 * answer.
 *
 * What counts as a message: said.h. Commands: /reset, /stats, /help, /quit. Ctrl-C ends a running answer; while the
 * program waits for a line it ends the program (at a terminal the second Ctrl-C does). A message that is refused, or
 * whose answer failed, does not become a part of the conversation; if the messages come from a pipe or file, the
 * command then ends with E_USAGE.
 */
#ifndef COORDINATOR_CLI_CHAT_H
#define COORDINATOR_CLI_CHAT_H

#include "coordinator/runtime.h"

/* On return Quit was sent to every worker. */
int command_chat(const struct options *o, const struct launch *launch, struct err *err);

#endif
