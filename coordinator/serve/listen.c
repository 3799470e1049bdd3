#include "coordinator/serve/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 511 };

static int try_one(const struct addrinfo *a)
{
    const int on = 1;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, BACKLOG)) return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* As the kernel has it: with the port that it chose. */
static void name_socket(int fd, char *address, size_t room)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
    if (!getsockname(fd, (struct sockaddr *)&at, &n))
        getnameinfo((struct sockaddr *)&at, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(address, room, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

int listen_on(const char *host, int port, int *fd, char *address, size_t room, struct err *err)
{
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    int rc = getaddrinfo(host, service, &wanted, &list);
    if (rc) return err_set(err, E_USAGE, "--host %s: %s", host, gai_strerror(rc));
    *fd = -1;
    for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next) *fd = try_one(a);
    freeaddrinfo(list);
    if (*fd < 0) {
        const char *what = errno == EADDRINUSE ? "; --port takes another, 0 any free one" : "";
        return err_set(err, E_FAIL, "cannot listen on %s, port %d: %s%s", host, port, strerror(errno), what);
    }
    name_socket(*fd, address, room);
    return OK;
}
