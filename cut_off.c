#include "cut_off.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "proto/err.h"
#include "proto/launcher.h"

/* All this runs in a signal's handler: no memory is asked for, nothing is locked. */

enum { LINE_ROOM = 4500 }; /* the longest path, and what stands before it */

static uintptr_t hex(const char **at)
{
    static const char digits[] = "0123456789abcdef";
    uintptr_t n = 0;
    for (const char *digit; **at && (digit = strchr(digits, **at)); ++*at) n = 16 * n + (uintptr_t)(digit - digits);
    return n;
}

/* Of a line of /proc/self/maps, "from-to r--p offset dev inode   /path": the path of a mapping like gguf_map's that
 * holds the place; NULL: it is another one. */
static char *path_of(char *line, uintptr_t place)
{
    const char *at = line;
    uintptr_t from = hex(&at), to = *at ? (at++, hex(&at)) : 0;
    if (place < from || place >= to || strncmp(at, " r--p ", 6) != 0) return NULL;
    return strchr(line, '/');
}

/* Reads on to the end of a line. false: there is none. */
static bool next_line(int fd, char line[LINE_ROOM])
{
    size_t n = 0;
    char c;
    while (read(fd, &c, 1) == 1) {
        if (c == '\n') {
            line[n] = 0;
            return true;
        }
        if (n + 1 < LINE_ROOM) line[n++] = c;
    }
    return false;
}

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0) return; /* nobody is there to be told */
}

static void on_bus(int signum, siginfo_t *info, void *context)
{
    char line[LINE_ROOM], *path = NULL;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    (void)context;
    while (fd >= 0 && !path && next_line(fd, line)) path = path_of(line, (uintptr_t)info->si_addr);
    if (!path) {
        signal(signum, SIG_DFL); /* nothing of ours: it comes again, and ends us */
        return;
    }
    for (char *c = path; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?';
    char all[LINE_ROOM + 100] = "pilotfish: ";
    strcat(strcat(all, path), ": the file was cut off while it was read: fetch it again\n");
    say(all);
    launcher_leave(E_MODEL);
    _exit(E_MODEL);
}

void cut_off_watch(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = on_bus;
    sigaction(SIGBUS, &action, NULL);
}
