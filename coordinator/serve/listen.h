/* listen.h -- sockets of TCP: one that listens, and what each connection's is told. */
#ifndef COORDINATOR_SERVE_LISTEN_H
#define COORDINATOR_SERVE_LISTEN_H

#include <stddef.h>

#include "proto/err.h"

/* The first address of the host's name that can be taken; port 0: any free one. *fd is the caller's to close; address:
 * "127.0.0.1:8080", "[::1]:8080". E_USAGE: no such host. E_FAIL: the address cannot be taken. */
int listen_on(const char *host, int port, int *fd, char *address, size_t room, struct err *err);

/* The kernel asks an idle peer for a sign, gives up one that acknowledges nothing for so long, and keeps little of what
 * a peer does not read. */
void socket_watch_peer(int fd, int patience_s);
/* How many connections may be open at once, at most `wanted`: the process needs some files for all else. */
unsigned sockets_most(unsigned wanted);

#endif
