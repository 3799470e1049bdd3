/* chat_url.h -- `pilotfish chat --url URL`: the conversation with a server of OpenAI's API in place of workers of this
 * job. What counts as a message, and the commands: as in chat.h.
 *
 * Ctrl-C ends an answer; its text so far stays in the conversation. A message that the server refuses is not answered,
 * and the conversation goes on; a server that cannot be reached, or that ends in the middle, ends it with E_FAIL.
 */
#ifndef COORDINATOR_CLI_CHAT_URL_H
#define COORDINATOR_CLI_CHAT_URL_H

#include "coordinator/cli/options.h"

int command_chat_url(const struct options *o, struct err *err);

#endif
