/* listen.h -- a socket that listens for TCP. */
#ifndef COORDINATOR_SERVE_LISTEN_H
#define COORDINATOR_SERVE_LISTEN_H

#include <stddef.h>

#include "proto/err.h"

/* The first address of the host's name that can be taken; port 0: any free one. *fd is the caller's to close; address:
 * "127.0.0.1:8080", "[::1]:8080". E_USAGE: no such host. E_FAIL: the address cannot be taken. */
int listen_on(const char *host, int port, int *fd, char *address, size_t room, struct err *err);

#endif
