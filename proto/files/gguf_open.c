#include "proto/files/gguf_open.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/files/hf.h"

enum { PARTS_MOST = 99999 }; /* as many as five digits count */

/* "-00001-of-00003.gguf" */
static void ending(char out[32], int number, int count)
{
    snprintf(out, 32, "-%05d-of-%05d.gguf", number, count);
}

/* What stands before the ending of the part with this number; NULL: the path has another one. The caller frees it. */
static char *stem(const char *path, int number, int count)
{
    char end[32];
    ending(end, number, count);
    size_t n = strlen(path), n_end = strlen(end);
    return n > n_end && strcmp(path + n - n_end, end) == 0 ? strndup(path, n - n_end) : NULL;
}

static int given_another(const struct gguf *g, int64_t number, int64_t count, struct err *err)
{
    char first[32];
    char *name = stem(g->path, (int)number + 1, (int)count);
    ending(first, 1, (int)count);
    err_set(err, E_MODEL, "%s: part %lld of %lld of a model; give the first, %s%s", g->path, (long long)number + 1,
            (long long)count, name ? name : "...", first);
    free(name);
    return E_MODEL;
}

static int open_part(struct gguf *part, const char *name, int number, int count, struct err *err)
{
    int64_t says_number = -1, says_count = -1;
    char end[32], path[4096];
    ending(end, number + 1, count);
    if ((size_t)snprintf(path, sizeof path, "%s%s", name, end) >= sizeof path)
        return err_set(err, E_MODEL, "%.80s...: the path is too long", name);
    int rc = gguf_open_file(part, path, err);
    if (rc != OK) return rc;
    rc = gguf_read_int(part, "split.no", &says_number, err);
    if (rc == OK) rc = gguf_read_int(part, "split.count", &says_count, err);
    if (rc != OK) return err_wrap(err, "%s", path);
    if (says_number == number && says_count == count) return OK;
    return err_set(err, E_MODEL, "%s: says that it is part %lld of %lld; fetch the model again", path,
                   (long long)says_number + 1, (long long)says_count);
}

static int join_tensors(struct gguf *g, struct err *err)
{
    size_t n = g->n_tensors;
    int64_t wanted = -1;
    for (int i = 0; i < g->n_parts; i++) n += g->parts[i].n_tensors;
    if (gguf_read_int(g, "split.tensors.count", &wanted, err) != OK) return err_wrap(err, "%s", g->path);
    if (wanted != -1 && (uint64_t)wanted != n)
        return err_set(err, E_MODEL,
                       "%s: %zu tensors in %d parts, but split.tensors.count is %lld; fetch the model again", g->path,
                       n, g->n_parts + 1, (long long)wanted);
    struct gguf_tensor *all = realloc(g->tensors, (n + 1) * sizeof *all);
    if (!all) return err_set(err, E_LAYOUT, "%s: no memory for its directory", g->path);
    g->tensors = all;
    for (int i = 0; i < g->n_parts; i++) {
        memcpy(all + g->n_tensors, g->parts[i].tensors, g->parts[i].n_tensors * sizeof *all);
        g->n_tensors += g->parts[i].n_tensors;
    }
    return gguf_sort_tensors(g, err);
}

/* Nothing to do for a file that is whole. */
static int add_parts(struct gguf *g, struct err *err)
{
    int64_t count = 1, number = -1;
    int rc = gguf_read_int(g, "split.count", &count, err);
    if (rc == OK) rc = gguf_read_int(g, "split.no", &number, err);
    if (rc != OK) return err_wrap(err, "%s", g->path);
    if (count == 1) return OK;
    if (count < 1 || count > PARTS_MOST || number < 0 || number >= count)
        return err_set(err, E_MODEL, "%s: part %lld of %lld of a model cannot be", g->path, (long long)number + 1,
                       (long long)count);
    if (number > 0) return given_another(g, number, count, err);
    char *name = stem(g->path, 1, (int)count);
    if (!name) {
        char first[32];
        ending(first, 1, (int)count);
        return err_set(err, E_MODEL,
                       "%s: the first of %d parts; its name must end in %s, or the others cannot be found", g->path,
                       (int)count, first);
    }
    g->parts = calloc((size_t)count - 1, sizeof *g->parts);
    rc = g->parts ? OK : err_set(err, E_LAYOUT, "%s: no memory for its parts", g->path);
    while (rc == OK && g->n_parts < count - 1) {
        rc = open_part(&g->parts[g->n_parts], name, g->n_parts + 1, (int)count, err);
        g->n_parts++; /* what a failure left is closed too */
    }
    free(name);
    return rc == OK ? join_tensors(g, err) : rc;
}

int gguf_open(struct gguf *g, const char *path, struct err *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return hf_open(g, path, err);
    int rc = gguf_open_file(g, path, err);
    if (rc == OK && (rc = add_parts(g, err)) != OK) gguf_close(g);
    return rc;
}
