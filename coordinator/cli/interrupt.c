#include "coordinator/cli/interrupt.h"

#include <string.h>

static volatile sig_atomic_t came;

static void on_signal(int signum)
{
    (void)signum;
    came = 1;
}

/* Without SA_RESTART: a wait ends. */
void interrupt_open(struct interrupt *i)
{
    struct sigaction act;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    came = 0;
    sigaction(SIGINT, &act, &i->before);
}

void interrupt_close(struct interrupt *i)
{
    sigaction(SIGINT, &i->before, NULL);
}

bool interrupt_came(void)
{
    return came;
}
