#include "tests/lib/at_rest.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { IS_SANITIZED = 1 };
static size_t heap_bytes(void)
{
    return 0;
}
#elif defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
size_t __sanitizer_get_current_allocated_bytes(void); /* allocator_interface.h, which gcc does not bring */
enum { IS_SANITIZED = 1 };
static size_t heap_bytes(void)
{
    return __sanitizer_get_current_allocated_bytes();
}
#else
enum { IS_SANITIZED = 0 };
static size_t heap_bytes(void)
{
    const struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}
#endif

/* glibc counts as in use a thread's cache of free blocks and what an arena needs for itself; and it keeps stacks of
 * threads that have ended. */
static const size_t heap_more = IS_SANITIZED ? 16 << 10 : 512 << 10,
                    resident_more = IS_SANITIZED ? 400 << 20 : 24 << 20;

void at_rest_begin(void)
{
    mallopt(M_ARENA_MAX, 1);
}

static size_t resident_bytes(void)
{
    malloc_trim(0);
    size_t n_pages = 0, n_resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%zu %zu", &n_pages, &n_resident) != 2) n_resident = 0;
    if (f) fclose(f);
    return n_resident * (size_t)sysconf(_SC_PAGESIZE);
}

static int n_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

struct at_rest at_rest_now(void)
{
    return (struct at_rest){heap_bytes(), resident_bytes(), n_files()};
}

void at_rest_join(struct at_rest *most, struct at_rest more)
{
    if (more.heap_bytes > most->heap_bytes) most->heap_bytes = more.heap_bytes;
    if (more.resident_bytes > most->resident_bytes) most->resident_bytes = more.resident_bytes;
    if (more.n_files > most->n_files) most->n_files = more.n_files;
}

const char *at_rest_grew(const struct at_rest *before, const struct at_rest *now, char *out, size_t size)
{
    size_t heap = before->heap_bytes, resident = before->resident_bytes;
    if (now->heap_bytes > heap + heap / 32 + heap_more)
        snprintf(out, size, "the heap grew from %zu to %zu bytes", heap, now->heap_bytes);
    else if (now->resident_bytes > resident + resident / 16 + resident_more)
        snprintf(out, size, "resident memory grew from %zu to %zu bytes", resident, now->resident_bytes);
    else if (now->n_files > before->n_files)
        snprintf(out, size, "open files grew from %d to %d", before->n_files, now->n_files);
    else
        return NULL;
    return out;
}
