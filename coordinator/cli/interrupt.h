/* interrupt.h -- Ctrl-C while something is waited for that has no loop of its own (api_client.h). */
#ifndef COORDINATOR_CLI_INTERRUPT_H
#define COORDINATOR_CLI_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

struct interrupt {
    struct sigaction before;
};

/* From here on Ctrl-C is noted, until interrupt_close. Not in two places at once. */
void interrupt_open(struct interrupt *i);
void interrupt_close(struct interrupt *i);
bool interrupt_came(void);

#endif
