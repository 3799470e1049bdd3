/* fuzz_wire -- any bytes as a message; what is understood must survive being written and read again.
 *
 * The first byte: the tag in its low 5 bits, the size of the arena in the others (small ones are refused in the
 * middle).
 */
#include <stdlib.h>

#include "tests/lib/messages.h"

static void must(bool right)
{
    if (!right) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static const size_t sizes[] = {1 << 20, 16, 64, 256, 1024, 2048, 4096, 65536};
    if (n_bytes == 0) return 0;
    struct wire_arena in, out, again;
    struct message m, second;
    struct err err;
    const uint8_t *data;
    size_t n;
    int tag = bytes[0] & 31;
    must(wire_arena_init(&in, sizes[bytes[0] >> 5], &err) == OK);
    must(wire_arena_init(&out, 4 << 20, &err) == OK && wire_arena_init(&again, 4 << 20, &err) == OK);
    if (wire_decode(&in, tag, bytes + 1, n_bytes - 1, &m, &err) == OK) {
        must(messages_same(&m, &m));
        /* Numbers may have come in fewer bytes than we write: then the bound may be met. */
        int rc = wire_encode(&out, &m, &data, &n, &err);
        must(rc == OK || n_bytes > wire_tags[tag].max_bytes / 4);
        if (rc == OK) {
            must(wire_decode(&again, tag, data, n, &second, &err) == OK && messages_same(&m, &second));
            wire_encode(&in, &second, &data, &n, &err); /* there may be no room */
        }
    }
    must(in.used <= in.size && out.used <= out.size && again.used <= again.size);
    wire_arena_free(&in);
    wire_arena_free(&out);
    wire_arena_free(&again);
    return 0;
}
