/* messages FOLDER -- writes the example messages as the first corpus of fuzz_wire, a file each. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/messages.h"

static int write_file(const char *folder, const char *name, int first, const uint8_t *data, size_t n)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    bool written = f && fputc(first, f) != EOF && fwrite(data, 1, n, f) == n;
    if (f && fclose(f) != 0) written = false;
    if (!written) fprintf(stderr, "%s: cannot be written\n", path);
    return written ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct wire_arena arena;
    struct err err;
    int rc = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: messages FOLDER\n");
        return 2;
    }
    if (wire_arena_init(&arena, 1 << 20, &err) != OK) return 1;
    for (size_t i = 0; i < n_messages && rc == 0; i++) {
        const uint8_t *data;
        size_t n;
        rc = wire_encode(&arena, &messages[i].m, &data, &n, &err) != OK ||
             write_file(argv[1], messages[i].name, (int)messages[i].m.tag, data, n);
    }
    wire_arena_free(&arena);
    return rc;
}
