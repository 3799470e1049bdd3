#include "proto/files/hf_parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/show.h"

json_t *hf_json(const struct hf_file *file, struct err *err)
{
    json_error_t why;
    if (file->n_bytes == 0) {
        err_set(err, E_MODEL, "%s: there is no such file, or it is empty; fetch the model again", file->path);
        return NULL;
    }
    json_t *root = json_loadb((const char *)file->bytes, file->n_bytes, JSON_ALLOW_NUL, &why);
    if (json_is_object(root)) return root;
    err_set(err, E_MODEL, "%s:%d: %s", file->path, root ? 1 : why.line,
            root ? "not an object of JSON" : show_name(why.text).s);
    json_decref(root);
    return NULL;
}

/* ---- putting together ---- */

static const char *last_part(const char *path)
{
    const char *name = path;
    for (const char *at = path; *at; at++)
        if (*at == '/' && at[1]) name = at + 1;
    return name;
}

static int read_weights(struct safetensors *weights, const char *path, const struct hf_files *files, struct err *err)
{
    int rc = files->n_weights ? OK : err_set(err, E_MODEL, "%s: no model*.safetensors there", path);
    for (int i = 0; i < files->n_weights && rc == OK; i++) {
        const struct hf_file *file = &files->weights[i];
        rc = safetensors_add(weights, file->path, file->bytes, file->n_bytes, err);
    }
    return rc == OK ? safetensors_sort(weights, path, err) : rc;
}

/* Each id that config.json counts gets a name, so it must have a row: before there is memory for the names. */
static int check_vocabulary(const struct hf_shape *shape, const struct safetensors *weights, const char *path,
                            struct err *err)
{
    const struct safetensor *t = safetensors_find(weights, "model.embed_tokens.weight");
    if (!t || t->dim[0] >= (uint64_t)shape->n_vocab) return OK;
    return err_set(err, E_MODEL, "%s: vocab_size is %lld, but %s has %llu rows: fetch the model again", path,
                   (long long)shape->n_vocab, t->name, (unsigned long long)t->dim[0]);
}

/* The keys and vectors, as bytes of a GGUF file. */
static int write_keys(struct gguf_writer *w, struct hf_shape *shape, const char *path, const struct hf_files *files,
                      struct safetensors *weights, struct err *err)
{
    const char *name = last_part(path);
    int rc = hf_read_config(shape, w, &files->config, err);
    if (rc == OK) rc = read_weights(weights, path, files, err);
    if (rc == OK) rc = check_vocabulary(shape, weights, path, err);
    if (rc != OK) return rc;
    gguf_put_str(w, "general.name", (struct gguf_str){name, strcspn(name, "/")});
    rc = hf_read_tokenizer(w, shape, files, err);
    return rc == OK ? hf_write_vectors(w, shape, weights, path, err) : rc;
}

int hf_parse(struct gguf *g, const char *path, const struct hf_files *files, struct err *err)
{
    struct hf_shape shape = {0};
    struct gguf_writer w = {0};
    struct safetensors weights = {0};
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    bool parsed = false;
    int rc = write_keys(&w, &shape, path, files, &weights, err);
    if (rc == OK && !(bytes = gguf_written(&w, &n_bytes)))
        rc = err_set(err, E_LAYOUT, "%s: no memory for its keys", path);
    if (rc == OK && (rc = gguf_parse(g, path, bytes, n_bytes, err)) == OK) parsed = g->made = true;
    if (rc == OK) rc = hf_add_matrices(g, &shape, &weights, err);
    if (rc == OK) rc = gguf_sort_tensors(g, err);
    if (!parsed) free(bytes);
    if (rc != OK && parsed) gguf_close(g);
    safetensors_free(&weights);
    gguf_writer_free(&w);
    return rc;
}

/* ---- the directory ---- */

enum { PATH_ROOM = 4096 };

struct directory {
    const char *path;
    struct hf_files files;
    struct hf_file *weights; /* owns */
    char paths[5][PATH_ROOM];
};

/* A file that is not there has no bytes. */
static int map_file(const struct directory *d, const char *name, char path[PATH_ROOM], struct hf_file *file,
                    struct err *err)
{
    if (snprintf(path, PATH_ROOM, "%s/%s", d->path, name) >= PATH_ROOM)
        return err_set(err, E_MODEL, "%.80s...: the path is too long", d->path);
    file->path = path;
    if (access(path, F_OK) != 0) return OK;
    return gguf_map(path, &file->bytes, &file->n_bytes, err);
}

static void unmap_file(struct hf_file *file)
{
    if (file->n_bytes) munmap((void *)(uintptr_t)file->bytes, file->n_bytes);
    file->n_bytes = 0;
}

/* As transformers names them; others hold the same again in other words (Mistral's consolidated.safetensors). */
static int is_weights(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return strncmp(entry->d_name, "model", 5) == 0 && dot && strcmp(dot, ".safetensors") == 0;
}

/* Names say how many there are: model-00001-of-00003.safetensors. An index of their tensors says nothing more. */
static int check_count(const struct directory *d, struct dirent **names, int n, struct err *err)
{
    int number, count;
    if (n == 0 || sscanf(names[0]->d_name, "model-%d-of-%d.", &number, &count) != 2 || count == n) return OK;
    return err_set(err, E_MODEL, "%s: %d files of weights where %s says %d; fetch the model again", d->path, n,
                   names[0]->d_name, count);
}

static int map_weights(struct directory *d, struct err *err)
{
    struct dirent **names = NULL;
    int n = scandir(d->path, &names, is_weights, alphasort), rc = OK;
    if (n < 0) return err_set(err, E_MODEL, "%s: cannot be read: %s", d->path, strerror(errno));
    d->weights = calloc((size_t)n + 1, sizeof *d->weights);
    d->files.weights = d->weights;
    rc = d->weights ? check_count(d, names, n, err) : err_set(err, E_LAYOUT, "%s: no memory for its files", d->path);
    for (int i = 0; i < n; i++) {
        char *path = rc == OK ? malloc(PATH_ROOM) : NULL;
        if (rc == OK && !path) rc = err_set(err, E_LAYOUT, "%s: no memory for its files", d->path);
        if (path && (rc = map_file(d, names[i]->d_name, path, &d->weights[i], err)) == OK)
            d->files.n_weights++;
        else
            free(path);
        free(names[i]);
    }
    free(names);
    return rc;
}

/* What stays mapped while the model is open becomes its parts. */
static int keep_weights(struct gguf *g, struct directory *d, struct err *err)
{
    g->parts = calloc((size_t)d->files.n_weights + 1, sizeof *g->parts);
    if (!g->parts) return err_set(err, E_LAYOUT, "%s: no memory for its files", d->path);
    for (int i = 0; i < d->files.n_weights; i++) {
        g->parts[i] = (struct gguf){
            .path = d->weights[i].path, .base = d->weights[i].bytes, .n_bytes = d->weights[i].n_bytes, .mapped = true};
        d->weights[i] = (struct hf_file){0};
    }
    g->n_parts = d->files.n_weights;
    return OK;
}

int hf_open(struct gguf *g, const char *path, struct err *err)
{
    struct directory *d = calloc(1, sizeof *d);
    if (!d) return err_set(err, E_LAYOUT, "%s: no memory for its directory", path);
    d->path = path;
    struct hf_files *f = &d->files;
    struct {
        const char *name;
        struct hf_file *file;
    } texts[] = {{"config.json", &f->config},
                 {"tokenizer.json", &f->tokenizer},
                 {"tokenizer_config.json", &f->tokenizer_config},
                 {"generation_config.json", &f->generation},
                 {"chat_template.jinja", &f->chat_template}};
    enum { N_TEXTS = sizeof texts / sizeof *texts };
    int rc = OK;
    for (int i = 0; i < N_TEXTS && rc == OK; i++) rc = map_file(d, texts[i].name, d->paths[i], texts[i].file, err);
    if (rc == OK && f->config.n_bytes == 0)
        rc = err_set(err, E_MODEL,
                     "%s: a directory without config.json; give a GGUF file, or a directory of a model as "
                     "transformers keeps it",
                     path);
    if (rc == OK) rc = map_weights(d, err);
    if (rc == OK) rc = hf_parse(g, path, f, err);
    if (rc == OK && (rc = keep_weights(g, d, err)) != OK) gguf_close(g);
    for (int i = 0; i < N_TEXTS; i++) unmap_file(texts[i].file);
    for (int i = 0; d->weights && i < d->files.n_weights; i++) {
        unmap_file(&d->weights[i]);
        free((char *)(uintptr_t)d->weights[i].path);
    }
    free(d->weights);
    free(d);
    return rc;
}
