#include "coordinator/serve/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 511, FILES_LEFT = 64, KERNEL_KEEPS = 1 << 17 };

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

void socket_watch_peer(int fd, int patience_s)
{
    const int kept = KERNEL_KEEPS, on = 1, idle_s = patience_s / 2, every_s = patience_s / 6, times = 3,
              lost_ms = patience_s * 1000;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &lost_ms, sizeof lost_ms);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kept, sizeof kept);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

unsigned sockets_most(unsigned wanted)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= wanted + FILES_LEFT) return wanted;
    return files.rlim_cur > 2 * FILES_LEFT ? (unsigned)files.rlim_cur - FILES_LEFT : FILES_LEFT;
}
