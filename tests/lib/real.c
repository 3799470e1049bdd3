#include "tests/lib/real.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/files/gguf_open.h"

static const char *folder_of(const char *variable, const char *otherwise)
{
    const char *folder = getenv(variable);
    return folder && folder[0] ? folder : otherwise;
}

static void open_path(struct gguf *g, const char *path, const char *how)
{
    struct err err;
    if (access(path, R_OK) != 0) fail_msg("%s is not there: run scripts/%s", path, how);
    if (gguf_open(g, path, &err) != OK) fail_msg("%s", err.text);
}

void real_open(struct gguf *g, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.gguf", folder_of("PILOTFISH_MODELS", "models"), name);
    open_path(g, path,
              name[0] == 'S'   ? "fetch-model smollm2"
              : name[0] == 'g' ? "fetch-model gemma3"
                               : "fetch-model qwen2.5-coder");
}

void real_vocabulary(struct gguf *g, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/tokenizers/ggml-vocab-%s.gguf", folder_of("PILOTFISH_DATA", "data"), name);
    open_path(g, path, "fetch-data tokenizers");
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
