#include "tests/lib/real.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

void real_open(struct gguf *g, const char *name)
{
    const char *folder = getenv("PILOTFISH_MODELS");
    if (!folder || !folder[0]) folder = "models";
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.gguf", folder, name);
    if (access(path, R_OK) != 0)
        fail_msg("%s is not there: run scripts/fetch-model %s", path, name[0] == 'S' ? "smollm2" : "qwen2.5-coder");
    struct err err;
    if (gguf_open(g, path, &err) != OK) fail_msg("%s", err.text);
}

json_t *real_golden(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "tests/golden/%s.jsonl", name);
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s: cannot be opened", path);
    json_t *rows = json_array();
    for (;;) {
        json_error_t why;
        json_t *row = json_loadf(f, JSON_DISABLE_EOF_CHECK, &why);
        if (!row) break;
        json_array_append_new(rows, row);
    }
    fclose(f);
    if (json_array_size(rows) == 0) fail_msg("%s: no rows", path);
    return rows;
}
