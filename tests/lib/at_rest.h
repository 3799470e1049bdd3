/* at_rest.h -- what a program that repeats itself has in use between two repetitions, when nothing of them is left: it
 * must not grow.
 *
 *     at_rest_begin();                       before the first thread
 *     struct at_rest first = {0};
 *     at_rest_join(&first, at_rest_now());   after each repetition of the warm-up
 *     why = at_rest_grew(&first, &now, text, sizeof text);
 *
 * Heap: bytes in use, not what the allocator keeps: this is what a leak is. From mallinfo2; under ASan, which has an
 * allocator of its own, from that one, and exact. TSan's loses count once in some hundred thousand blocks (its hooks
 * counted beside it, and nothing was left), so under TSan the heap is not looked at. Files: open descriptors.
 *
 * Resident memory is more: maps that are not the heap's, stacks, blocks too scattered for the allocator to give their
 * pages back (it is told to, first; but malloc_trim leaves the top of each thread's arena, 40 MB of them after a minute,
 * so all threads have one arena). Under a sanitizer it says little:
 * ASan keeps freed blocks in a quarantine of 256 MB before it uses them again, and TSan has shadow memory of all that
 * was ever touched. There it is only held against a bound beyond these.
 */
#ifndef TESTS_LIB_AT_REST_H
#define TESTS_LIB_AT_REST_H

#include <stddef.h>

struct at_rest {
    size_t heap_bytes, resident_bytes;
    int n_files;
};

void at_rest_begin(void);
struct at_rest at_rest_now(void);
/* The most of both. */
void at_rest_join(struct at_rest *most, struct at_rest more);

/* NULL: now is no more than before, but for what allocators take for themselves. Else what grew. */
const char *at_rest_grew(const struct at_rest *before, const struct at_rest *now, char *out, size_t size);

#endif
