/* generate.h -- the command `generate`: prompts in, big's own text out, with or without drafts.
 *
 * It opens vocabularies, not weights: workers do that, and `host` starts those of this process (main.c: the coordinator
 * cannot see them).
 */
#ifndef COORDINATOR_GENERATE_H
#define COORDINATOR_GENERATE_H

#include "coordinator/options.h"
#include "proto/mailbox.h"

struct generate_host {
    struct layout layout;
    struct office *office;
    int (*start)(void *arg, struct err *err); /* the workers of this process */
    void *arg;
};

/* On return every worker has been told to quit. */
int command_generate(const struct options *o, const struct generate_host *host, struct err *err);

#endif
