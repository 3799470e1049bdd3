#include "proto/launcher.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/err.h"

enum { LINE_BYTES = 32, ANSWER_MS = 1000 };

static int script = -1; /* the connection; one a process */

bool launcher_is_there(int *rank, int *size)
{
    static const struct {
        const char *rank, *size;
    } says[] = {
        {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
        {"PMIX_RANK", NULL},
        {"PMI_RANK", "PMI_SIZE"},
        {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}, /* SLURM_NTASKS is there without srun, too */
    };
    const char *r = NULL, *s = NULL;
    for (size_t i = 0; i < sizeof says / sizeof *says; i++) {
        if (!r) r = getenv(says[i].rank);
        if (!s && says[i].size) s = getenv(says[i].size);
    }
    *rank = r ? atoi(r) : -1;
    *size = s ? atoi(s) : -1;
    return r || getenv("OMPI_COMM_WORLD_SIZE");
}

bool launcher_is_direct(void)
{
    return getenv("PILOTFISH_DIRECT") != NULL;
}

const char *launcher_program(void)
{
    static char path[PATH_MAX]; /* the same whenever it is read */
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    return n > 0 ? path : "";
}

bool launcher_is_installed(void)
{
    char path[PATH_MAX + sizeof "pilotfish-mpirun"];
    const char *program = launcher_program(), *end = strrchr(program, '/');
    if (!end) return false;
    snprintf(path, sizeof path, "%.*s/pilotfish-mpirun", (int)(end - program), program);
    return access(path, X_OK) == 0;
}

const char *launcher_script(void)
{
    return launcher_is_installed() ? "pilotfish-mpirun" : "scripts/mpirun";
}

static bool say(const char *line)
{
    size_t n = strlen(line);
    return send(script, line, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static void connect_to(const char *name)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strlen(name);
    if (n > sizeof to.sun_path - 1) return;
    memcpy(to.sun_path + 1, name, n); /* the leading 0 makes it abstract */
    script = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (script < 0 ||
        !connect(script, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)))
        return;
    close(script);
    script = -1;
}

static void stand_in(void)
{
    char answer[LINE_BYTES] = "";
    int code = E_PEER;
    ssize_t n = recv(script, answer, sizeof answer - 1, 0);
    if (n <= 0 || sscanf(answer, "exit %d", &code) == 1) _exit(code);
}

static void on_term(int signum)
{
    static const char line[] = "told 15\n";
    send(script, line, sizeof line - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    raise(signum); /* which has its own way again: SA_RESETHAND */
}

void launcher_join(int rank)
{
    const char *name = getenv("PILOTFISH_LAUNCHER");
    char line[LINE_BYTES];
    if (!name || rank < 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    connect_to(name);
    if (script < 0 && rank == 0) fputs("pilotfish-elsewhere\n", stderr);
    if (script < 0) return;
    bool waits = rank == 0 && !launcher_is_direct();
    snprintf(line, sizeof line, "%s %d\n", waits ? "run" : "rank", rank);
    if (say(line) && waits) stand_in();
    if (rank > 0) sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term, .sa_flags = (int)SA_RESETHAND}, NULL);
}

bool launcher_tell(const char *why)
{
    char line[sizeof((struct err *)0)->text + LINE_BYTES];
    if (script < 0) return false;
    snprintf(line, sizeof line, "why %s\n", why);
    return say(line);
}

void launcher_leave(int code)
{
    char line[LINE_BYTES] = "end 000\n";
    if (script < 0) return;
    for (int i = 6; i > 3; i--, code /= 10) line[i] = (char)('0' + code % 10); /* no printf in a signal handler */
    say(line);
}

bool launcher_lost(int *rank, int *signum)
{
    char line[LINE_BYTES] = "";
    if (script < 0) return false;
    ssize_t n = recv(script, line, sizeof line - 1, MSG_DONTWAIT);
    return n > 0 && sscanf(line, "lost %d %d", rank, signum) == 2;
}

bool launcher_stopped(int *rank)
{
    char line[LINE_BYTES] = "";
    struct pollfd answer = {.fd = script, .events = POLLIN};
    if (script < 0 || !say("who 0\n") || poll(&answer, 1, ANSWER_MS) <= 0) return false;
    ssize_t n = recv(script, line, sizeof line - 1, MSG_DONTWAIT);
    return n > 0 && sscanf(line, "stopped %d", rank) == 1 && *rank >= 0;
}
