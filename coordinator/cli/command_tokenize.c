#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/commands.h"
#include "coordinator/text/json_text.h"
#include "coordinator/text/read_text.h"
#include "coordinator/text/tokenizer.h"
#include "proto/files/gguf_open.h"

/* Ids between anything that lists are written with: spaces, commas, brackets. */
static int parse_ids(const struct tokenizer *t, char *text, int32_t **ids, size_t *n_ids, struct err *err)
{
    int n_vocab = tokenizer_n_vocab(t);
    int32_t *list = malloc((strlen(text) / 2 + 1) * sizeof *list);
    size_t n = 0;
    if (!list) return err_set(err, E_FAIL, "no memory for the ids");
    for (char *rest = text, *word; (word = strtok_r(rest, " \t\r\n,[]", &rest));) {
        char *end;
        errno = 0;
        long id = strtol(word, &end, 10);
        if (*end || errno || id < 0 || id >= n_vocab) {
            free(list);
            return err_set(err, E_USAGE, "%.40s: not an id of this vocabulary (0 to %d)", word, n_vocab - 1);
        }
        list[n++] = (int32_t)id;
    }
    *ids = list;
    *n_ids = n;
    return OK;
}

static int print_json(const struct tokenizer *t, const int32_t *ids, size_t n_ids, struct err *err)
{
    json_t *numbers = json_array(), *tokens = json_array();
    int lost = 0;
    for (size_t i = 0; i < n_ids; i++) {
        struct gguf_str piece = tokenizer_piece(t, ids[i], true);
        lost |= json_array_append_new(numbers, json_integer(ids[i]));
        lost |= json_array_append_new(tokens, json_text(piece.s, piece.n));
    }
    json_t *line = json_pack("{so so}", "ids", numbers, "tokens", tokens);
    return json_put_line(json_unless(lost, line), 0, stdout, err);
}

static void print_ids(const int32_t *ids, size_t n_ids)
{
    for (size_t i = 0; i < n_ids; i++) printf("%s%d", i ? " " : "", ids[i]);
    putchar('\n');
}

static void print_text(const struct tokenizer *t, const int32_t *ids, size_t n_ids, bool special)
{
    for (size_t i = 0; i < n_ids; i++) {
        struct gguf_str piece = tokenizer_piece(t, ids[i], special);
        bool spaced = tokenizer_adds_space(t, i > 0 ? ids[i - 1] : -1) && piece.n > 0 && piece.s[0] == ' ';
        fwrite(piece.s + spaced, 1, piece.n - spaced, stdout);
    }
}

static int read_input(const struct options *o, char **bytes, size_t *n_bytes, struct err *err)
{
    FILE *f;
    const char *place;
    int rc = text_open(o->text ? o->text : "-", stdin, &f, &place, err);
    if (rc != OK) return rc;
    rc = text_read(f, place, bytes, n_bytes, err);
    if (f != stdin) fclose(f);
    return rc;
}

static int convert(const struct options *o, const struct tokenizer *t, struct err *err)
{
    char *text = NULL;
    size_t n_text, n_ids = 0;
    int32_t *ids = NULL;
    bool special = !o->no_special;
    int rc = read_input(o, &text, &n_text, err);
    if (rc != OK) return rc;
    if (o->detokenize) {
        char *words = strndup(text, n_text);
        rc = words ? parse_ids(t, words, &ids, &n_ids, err) : err_set(err, E_FAIL, "no memory for the ids");
        free(words);
    } else {
        const struct tokenizer_text in = {text, n_text, .special = special, .add_bos = special};
        rc = tokenizer_encode(t, &in, &ids, &n_ids, err);
    }
    if (rc == OK && o->format == FORMAT_JSONL)
        rc = print_json(t, ids, n_ids, err);
    else if (rc == OK && o->detokenize)
        print_text(t, ids, n_ids, special);
    else if (rc == OK)
        print_ids(ids, n_ids);
    free(ids);
    free(text);
    return rc;
}

int command_tokenize(const struct options *o, struct err *err)
{
    struct gguf g = {0};
    struct tokenizer *t = NULL;
    int rc = gguf_open(&g, o->model, err);
    if (rc != OK) return rc;
    rc = tokenizer_open(&t, &g, err);
    if (rc == OK) rc = convert(o, t, err);
    tokenizer_close(t);
    gguf_close(&g);
    return rc;
}
