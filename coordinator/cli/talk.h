/* talk.h -- a conversation's lines, whoever answers them: messages go to `turn`, and commands are carried out. What is
 * not answered is counted, and with -o jsonl has its line too. */
#ifndef COORDINATOR_CLI_TALK_H
#define COORDINATOR_CLI_TALK_H

#include "coordinator/cli/line.h"

struct talk {
    bool json; /* -o jsonl */
    int (*turn)(void *arg, const char *text, size_t n_text, struct err *err);
    void (*reset)(void *arg);
    void (*stats)(void *arg);
    void *arg;
    int (*idle)(void *arg, struct err *err); /* as lines_idle's; NULL: none */
    int n_turns, n_refused;                  /* messages, the one in `turn` included; of them not answered */
};

/* Until the end of input or /quit. E_USAGE: of a pipe or file not all messages were answered. */
int talk_run(struct talk *t, struct err *err);
/* The message is not answered, and no part of the conversation. */
int talk_refuse(struct talk *t, const char *why, struct err *err);
/* The same where its line is out already. */
void talk_note_refused(struct talk *t, const char *why);

#endif
