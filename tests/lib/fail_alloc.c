/* fail_alloc.c -- an allocator whose n-th allocation fails: LD_PRELOAD=libfail_alloc.so FAIL_ALLOC=n program.
 * FAIL_ALLOC=0 fails none; with FAIL_ALLOC_COUNT=FILE the number of allocations is written there at the end. */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

static atomic_ulong n_done;
static unsigned long i_fails;
static bool started; /* main is about to run: what the dynamic linker took before is not counted */

static bool fails(void)
{
    return started && atomic_fetch_add(&n_done, 1) + 1 == i_fails;
}

void *malloc(size_t n)
{
    return fails() ? (errno = ENOMEM, NULL) : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? (errno = ENOMEM, NULL) : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails() ? (errno = ENOMEM, NULL) : __libc_realloc(p, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return fails() ? (errno = ENOMEM, NULL) : __libc_memalign(alignment, n);
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    void *p = fails() ? NULL : __libc_memalign(alignment, n);
    if (p) *out = p;
    return p ? 0 : ENOMEM;
}

static void count(void)
{
    const char *path = getenv("FAIL_ALLOC_COUNT");
    started = false;
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!f) return;
    fprintf(f, "%lu\n", atomic_load(&n_done));
    fclose(f);
}

__attribute__((constructor)) static void start(void)
{
    const char *n = getenv("FAIL_ALLOC");
    if (!n) return;
    i_fails = strtoul(n, NULL, 10);
    atexit(count);
    started = true;
}
