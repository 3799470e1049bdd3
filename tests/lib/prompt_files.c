#include "tests/lib/prompt_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "coordinator/text/stop.h"
#include "proto/files/gguf_open.h"
#include "tests/lib/tiny.h"

struct prompt_files w;

static struct stops stops; /* of the options */

int prompt_files_set_up(void **state)
{
    (void)state;
    struct tiny_spec spec = tiny_spec(QUANT_F32);
    snprintf(w.folder, sizeof w.folder, "/tmp/pilotfish-prompts-XXXXXX");
    if (!mkdtemp(w.folder)) return -1;
    snprintf(w.toy_path, sizeof w.toy_path, "%s/toy.gguf", w.folder);
    snprintf(w.file, sizeof w.file, "%s/file", w.folder);
    struct err err;
    return tiny_write(w.toy_path, &spec) || gguf_open(&w.toy, w.toy_path, &err) ||
           tokenizer_open(&w.tokenizer, &w.toy, &err);
}

int prompt_files_tear_down(void **state)
{
    (void)state;
    tokenizer_close(w.tokenizer);
    gguf_close(&w.toy);
    unlink(w.toy_path);
    unlink(w.file);
    return rmdir(w.folder);
}

int read_noting(struct prompts *p, const struct options *o, const struct gguf *big, const char *in, char **notes,
                struct err *err)
{
    size_t n;
    stops = (struct stops){o->stops, o->n_stops, w.tokenizer};
    struct prompts_from from = {.big = big,
                                .tokenizer = w.tokenizer,
                                .stops = &stops,
                                .n_ctx = MODEL_CTX,
                                .in = tmpfile(),
                                .notes = open_memstream(notes, &n)};
    assert_true(from.in && from.notes);
    fputs(in, from.in);
    rewind(from.in);
    *p = (struct prompts){0};
    *err = (struct err){0};
    int rc = prompts_read(p, o, &from, err);
    fclose(from.in);
    fclose(from.notes);
    return rc;
}

int read_from(struct prompts *p, const struct options *o, const char *in, struct err *err)
{
    char *notes;
    int rc = read_noting(p, o, &w.toy, in, &notes, err);
    assert_string_equal(notes, "");
    free(notes);
    return rc;
}

struct options options_of(const char *line)
{
    static char copy[512]; /* options borrow from argv */
    char *argv[64], *rest = copy;
    int argc = 0;
    struct options o;
    struct err err;
    snprintf(copy, sizeof copy, "pilotfish generate --big B --raw --prompts %s%s%s", w.file, *line ? " " : "", line);
    while (rest) argv[argc++] = strsep(&rest, " ");
    if (options_parse(&o, argc, argv, &err) != OK) fail_msg("%s: %s", line, err.text);
    return o;
}

const char *path_with(const char *text)
{
    FILE *f = fopen(w.file, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return w.file;
}

const char *text_of(const struct prompts *p, int i)
{
    static char text[4096];
    size_t n = 0;
    assert_in_range(i, 0, p->n - 1);
    for (int k = 0; k < p->items[i].n_ids; k++) {
        struct gguf_str piece = tokenizer_piece(w.tokenizer, p->items[i].ids[k], true);
        assert_true(n + piece.n < sizeof text);
        memcpy(text + n, piece.s, piece.n);
        n += piece.n;
    }
    text[n] = 0;
    return text;
}

const char *path_with_row(const char *row)
{
    char line[600];
    snprintf(line, sizeof line, "%s\n", row);
    for (char *c = line; *c; c++)
        if (*c == '\'') *c = '"';
    return path_with(line);
}
