/* dies.c -- preloaded into ranks: one of them is killed at its nth call of what starting up and talking to others is
 * made of. DIE=WHO:N, WHO is a rank's number, or s for the process that stands in for rank 0 (proto/launcher.h).
 * DIE=WHO:collective: that rank lives, but cannot open its collective. DIE=WHO:N:STOP: it is stopped; WHO:sendN:STOP: at
 * its nth MPI_Isend. */
#include <dlfcn.h>
#include <mpi.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void count(const char *what)
{
    static int n_calls, n_sends;
    const char *die = getenv("DIE"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (!die || !rank || !strchr(die, ':')) return;
    bool stands_in = !strcmp(rank, "0") && !getenv("PILOTFISH_DIRECT");
    const char *self = stands_in ? "s" : rank;
    size_t n = strlen(self);
    if (strncmp(die, self, n) != 0 || die[n] != ':') return;
    const char *when = die + n + 1;
    n_calls++;
    n_sends += !strcmp(what, "MPI_Isend");
    if (!strncmp(when, "send", 4) ? n_sends == atoi(when + 4) && !strcmp(what, "MPI_Isend") : n_calls == atoi(when))
        kill(getpid(), strstr(when, "STOP") ? SIGSTOP : SIGKILL);
}

/* A function that counts, and then does what it is called for. */
#define COUNTED(type, name, parameters, arguments)                                                                     \
    type name parameters                                                                                               \
    {                                                                                                                  \
        static type(*next) parameters;                                                                                 \
        if (!next) *(void **)&next = dlsym(RTLD_NEXT, #name);                                                          \
        count(#name);                                                                                                  \
        return next arguments;                                                                                         \
    }

COUNTED(int, socket, (int a, int b, int c), (a, b, c))
COUNTED(int, connect, (int fd, const struct sockaddr *to, socklen_t n), (fd, to, n))
COUNTED(ssize_t, recv, (int fd, void *data, size_t n, int flags), (fd, data, n, flags))
COUNTED(ssize_t, send, (int fd, const void *data, size_t n, int flags), (fd, data, n, flags))
COUNTED(ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n))
COUNTED(int, MPI_Init_thread, (int *argc, char ***argv, int wanted, int *level), (argc, argv, wanted, level))
COUNTED(int, MPI_Comm_rank, (MPI_Comm comm, int *rank), (comm, rank))
COUNTED(int, MPI_Comm_dup, (MPI_Comm comm, MPI_Comm *out), (comm, out))
COUNTED(int, MPI_Comm_split, (MPI_Comm comm, int color, int key, MPI_Comm *out), (comm, color, key, out))
COUNTED(int, MPI_Bcast, (void *data, int n, MPI_Datatype type, int root, MPI_Comm comm), (data, n, type, root, comm))
COUNTED(int, MPI_Isend,
        (const void *data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request *request),
        (data, n, type, to, tag, comm, request))

/* ---- a collective that cannot be opened (engine/collective_mpi.c): its second allocation, behind these calls ---- */

static int n_handlers;          /* the first call is of mpi_start, the second of a collective */
static __thread bool no_memory; /* for the next allocation */

int MPI_Comm_set_errhandler(MPI_Comm comm, MPI_Errhandler handler)
{
    n_handlers++;
    return PMPI_Comm_set_errhandler(comm, handler);
}

int MPI_Comm_size(MPI_Comm comm, int *size)
{
    const char *die = getenv("DIE"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    size_t n = rank ? strlen(rank) : 0;
    int rc = PMPI_Comm_size(comm, size);
    no_memory = n_handlers == 2 && die && n && !strncmp(die, rank, n) && !strcmp(die + n, ":collective");
    return rc;
}

void *malloc(size_t n)
{
    void *__libc_malloc(size_t);
    if (!no_memory) return __libc_malloc(n);
    no_memory = false;
    return NULL;
}
