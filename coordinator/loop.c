#include "coordinator/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOP_FILES = 8 };

/* libuv aborts where it finds no memory for its few tables. It finds some, or the program ends as documented. */
static void *there(void *taken)
{
    static const char why[] = "pilotfish: out of memory for the event loop\n";
    if (taken) return taken;
    (void)!write(STDERR_FILENO, why, sizeof why - 1);
    _exit(E_LAYOUT);
}

static void *loop_malloc(size_t n)
{
    return there(malloc(n));
}

static void *loop_calloc(size_t n, size_t size)
{
    return there(calloc(n, size));
}

static void *loop_realloc(void *p, size_t n)
{
    return there(realloc(p, n));
}

/* And where it can open no pipe. */
static int need_files(struct err *err)
{
    int fds[LOOP_FILES], n = 0;
    while (n < LOOP_FILES && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) n++;
    int why = errno;
    for (int i = 0; i < n; i++) close(fds[i]);
    return n == LOOP_FILES ? OK
                           : err_set(err, E_LAYOUT, "only %d more files can be opened, %d are needed (%s): ulimit -n",
                                     n, LOOP_FILES, strerror(why));
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

void loop_close(uv_loop_t *loop)
{
    uv_walk(loop, close_handle, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
}

int loop_open(uv_loop_t *loop, struct err *err)
{
    int rc = need_files(err);
    if (rc != OK) return rc;
    uv_replace_allocator(loop_malloc, loop_realloc, loop_calloc, free);
    rc = uv_loop_init(loop);
    return rc ? err_set(err, E_FAIL, "cannot start the event loop: %s", uv_strerror(rc)) : OK;
}
