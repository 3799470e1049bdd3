#include "proto/files/gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/files/random_weights.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fields are copied as they lie in the file");

enum {
    DEFAULT_ALIGNMENT = 32,
    HEADER_BYTES = 4 + 4 + 8 + 8, /* magic, version, tensors, keys */
    /* The fewest bytes that one entry can take in a file: what caps an announced count before anything is allocated. */
    MIN_KV_BYTES = 8 + 1 + 4 + 1,            /* key, type, value */
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8 /* name, n_dims, one dim, type, offset */
};

/* Holes are numbers that were withdrawn (Q4_2, Q4_3, repacked Q4_0 and IQ4_NL). */
static const struct gguf_type types[] = {
    [0] = {"F32", 1, 4},         [1] = {"F16", 1, 2},         [2] = {"Q4_0", 32, 18},      [3] = {"Q4_1", 32, 20},
    [6] = {"Q5_0", 32, 22},      [7] = {"Q5_1", 32, 24},      [8] = {"Q8_0", 32, 34},      [9] = {"Q8_1", 32, 36},
    [10] = {"Q2_K", 256, 84},    [11] = {"Q3_K", 256, 110},   [12] = {"Q4_K", 256, 144},   [13] = {"Q5_K", 256, 176},
    [14] = {"Q6_K", 256, 210},   [15] = {"Q8_K", 256, 292},   [16] = {"IQ2_XXS", 256, 66}, [17] = {"IQ2_XS", 256, 74},
    [18] = {"IQ3_XXS", 256, 98}, [19] = {"IQ1_S", 256, 50},   [20] = {"IQ4_NL", 32, 18},   [21] = {"IQ3_S", 256, 110},
    [22] = {"IQ2_S", 256, 82},   [23] = {"IQ4_XS", 256, 136}, [24] = {"I8", 1, 1},         [25] = {"I16", 1, 2},
    [26] = {"I32", 1, 4},        [27] = {"I64", 1, 8},        [28] = {"F64", 1, 8},        [29] = {"IQ1_M", 256, 56},
    [30] = {"BF16", 1, 2},       [34] = {"TQ1_0", 256, 54},   [35] = {"TQ2_0", 256, 66},   [39] = {"MXFP4", 32, 17},
    [40] = {"NVFP4", 64, 36},    [41] = {"Q1_0", 128, 18},
};

static const uint8_t value_bytes[] = {
    [GGUF_U8] = 1,   [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4,
    [GGUF_BOOL] = 1, [GGUF_STR] = 0, [GGUF_ARR] = 0, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

struct reader { /* a cursor over the header, and what it stands in, for messages */
    const char *path;
    const uint8_t *base, *at, *end;
    const char *what; /* "key" or "tensor" */
    uint64_t i_what;
    struct err *err;
};

static size_t left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

static int cut_off(const struct reader *r)
{
    return err_set(r->err, E_MODEL,
                   "%s: the file ends at byte %zu inside %s %llu; it is cut off or damaged: fetch it again", r->path,
                   (size_t)(r->end - r->base), r->what, (unsigned long long)r->i_what);
}

static int read_bytes(struct reader *r, void *out, size_t n)
{
    if (left(r) < n) return cut_off(r);
    memcpy(out, r->at, n);
    r->at += n;
    return OK;
}

static int skip(struct reader *r, uint64_t n)
{
    if (left(r) < n) return cut_off(r);
    r->at += n;
    return OK;
}

static int read_str(struct reader *r, struct gguf_str *out)
{
    uint64_t n = 0;
    int rc = read_bytes(r, &n, sizeof n);
    if (rc != OK) return rc;
    const char *s = (const char *)r->at;
    if ((rc = skip(r, n)) != OK) return rc;
    *out = (struct gguf_str){s, n};
    return OK;
}

static int read_name(struct reader *r, struct gguf_str *out)
{
    int rc = read_str(r, out);
    if (rc == OK && out->n == 0)
        rc = err_set(r->err, E_MODEL, "%s: %s %llu has an empty name; the file is damaged: fetch it again", r->path,
                     r->what, (unsigned long long)r->i_what);
    return rc;
}

static int read_array(struct reader *r, struct gguf_kv *kv)
{
    uint32_t type = 0;
    int rc = read_bytes(r, &type, sizeof type);
    if (rc == OK) rc = read_bytes(r, &kv->n_items, sizeof kv->n_items);
    if (rc != OK) return rc;
    if (type > GGUF_F64 || type == GGUF_ARR)
        return err_set(r->err, E_MODEL, "%s: key '%s' is an array %s; convert the model again with a current converter",
                       r->path, gguf_show(kv->key).s, type == GGUF_ARR ? "of arrays" : "of values of an unknown type");
    kv->item_type = (enum gguf_value)type;
    kv->data = r->at;
    size_t each = type == GGUF_STR ? sizeof(uint64_t) : value_bytes[type];
    if (kv->n_items > left(r) / each)
        return err_set(
            r->err, E_MODEL,
            "%s: key '%s' announces %llu items where %zu bytes are left; the file is cut off or damaged: fetch it "
            "again",
            r->path, gguf_show(kv->key).s, (unsigned long long)kv->n_items, left(r));
    if (type != GGUF_STR) return skip(r, kv->n_items * each);
    struct gguf_str s;
    for (uint64_t i = 0; i < kv->n_items && rc == OK; i++) rc = read_str(r, &s);
    return rc;
}

static int read_kv(struct reader *r, struct gguf_kv *kv)
{
    uint32_t type = 0;
    int rc = read_name(r, &kv->key);
    if (rc == OK) rc = read_bytes(r, &type, sizeof type);
    if (rc != OK) return rc;
    if (type > GGUF_F64)
        return err_set(r->err, E_MODEL,
                       "%s: key '%s' has a value of unknown type %u; convert the model again for GGUF 3", r->path,
                       gguf_show(kv->key).s, type);
    kv->type = (enum gguf_value)type;
    kv->data = r->at;
    struct gguf_str s;
    if (type == GGUF_ARR) return read_array(r, kv);
    return type == GGUF_STR ? read_str(r, &s) : skip(r, value_bytes[type]);
}

/* Sizes from shape and type, with every product checked. */
static int size_tensor(struct reader *r, struct gguf_tensor *t)
{
    const struct gguf_type *type = gguf_type(t->type);
    if (!type)
        return err_set(r->err, E_MODEL,
                       "%s: tensor '%s' is stored in unknown format %u; use a file quantized to Q4_K or Q8_0", r->path,
                       gguf_show(t->name).s, t->type);
    uint64_t n = 1, n_bytes;
    bool fits = true;
    for (int d = 0; d < 4; d++) fits = fits && t->dim[d] > 0 && !__builtin_mul_overflow(n, t->dim[d], &n);
    fits = fits && n <= INT64_MAX &&
           !__builtin_mul_overflow(n / (uint64_t)type->block, (uint64_t)type->block_bytes, &n_bytes);
    if (!fits)
        return err_set(r->err, E_MODEL,
                       "%s: tensor '%s' has an impossible shape %llu x %llu x %llu x %llu; the file is damaged: "
                       "fetch it again",
                       r->path, gguf_show(t->name).s, (unsigned long long)t->dim[0], (unsigned long long)t->dim[1],
                       (unsigned long long)t->dim[2], (unsigned long long)t->dim[3]);
    if (t->dim[0] % (uint64_t)type->block != 0)
        return err_set(r->err, E_MODEL,
                       "%s: tensor '%s' has rows of %llu, not a multiple of %s's block of %d; the file is "
                       "damaged: fetch it again",
                       r->path, gguf_show(t->name).s, (unsigned long long)t->dim[0], type->name, type->block);
    t->n_bytes = n_bytes;
    return OK;
}

/* Until the directory's end is known, data points at the tensor's offset field. */
static int read_tensor(struct reader *r, struct gguf_tensor *t)
{
    uint32_t n_dims = 0;
    int rc = read_name(r, &t->name);
    if (rc == OK) rc = read_bytes(r, &n_dims, sizeof n_dims);
    if (rc != OK) return rc;
    if (n_dims < 1 || n_dims > 4)
        return err_set(r->err, E_MODEL,
                       "%s: tensor '%s' has %u dimensions, 1 to 4 are possible; the file is damaged: fetch it "
                       "again",
                       r->path, gguf_show(t->name).s, n_dims);
    t->n_dims = (int)n_dims;
    for (int d = 0; d < 4; d++) t->dim[d] = 1;
    rc = read_bytes(r, t->dim, n_dims * sizeof t->dim[0]);
    if (rc == OK) rc = read_bytes(r, &t->type, sizeof t->type);
    t->data = r->at;
    if (rc == OK) rc = skip(r, sizeof(uint64_t));
    return rc == OK ? size_tensor(r, t) : rc;
}

static int compare_names(const void *a, const void *b)
{
    const struct gguf_str *x = *(const struct gguf_str *const *)a, *y = *(const struct gguf_str *const *)b;
    int order = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* Two entries of one name would let a reader choose. Sorted, not hashed: a hostile file cannot make this quadratic.
 * `first` is the name in the first of n entries that lie `stride` bytes apart. Replaces *out. */
static int sort_names(const struct reader *r, const struct gguf_str *first, size_t n, size_t stride,
                      const struct gguf_str ***out)
{
    const struct gguf_str **order = malloc((n + 1) * sizeof *order);
    if (!order) return err_set(r->err, E_LAYOUT, "%s: no memory for %zu names", r->path, n);
    free(*out);
    *out = order;
    for (size_t i = 0; i < n; i++) order[i] = (const struct gguf_str *)((const char *)first + i * stride);
    qsort(order, n, sizeof *order, compare_names);
    for (size_t i = 1; i < n; i++)
        if (compare_names(&order[i - 1], &order[i]) == 0)
            return err_set(r->err, E_MODEL, "%s: %s '%s' is there twice; the file is damaged: fetch it again", r->path,
                           r->what, gguf_show(*order[i]).s);
    return OK;
}

int gguf_sort_tensors(struct gguf *g, struct err *err)
{
    struct reader r = {.path = g->path, .what = "tensor", .err = err};
    return sort_names(&r, &g->tensors->name, g->n_tensors, sizeof *g->tensors, &g->tensor_names);
}

/* The name in the entry; NULL: there is none. */
static const struct gguf_str *find_name(const struct gguf_str **sorted, size_t n, const char *name)
{
    struct gguf_str wanted = {name, strlen(name)};
    const struct gguf_str *key = &wanted, **found = n ? bsearch(&key, sorted, n, sizeof *sorted, compare_names) : NULL;
    return found ? *found : NULL;
}

static int check_count(const struct reader *r, const char *what, uint64_t n, size_t min_bytes)
{
    if (n <= left(r) / min_bytes) return OK;
    return err_set(r->err, E_MODEL,
                   "%s: announces %llu %ss in a file of %zu bytes; it is cut off or damaged: fetch it again", r->path,
                   (unsigned long long)n, what, (size_t)(r->end - r->base));
}

static int check_version(const struct reader *r, uint32_t version)
{
    if (version == 2 || version == 3) return OK;
    if (version != 0 && (version & 0xffff) == 0)
        return err_set(r->err, E_MODEL,
                       "%s: a big-endian GGUF file; convert it to little-endian, or fetch a file made for x86",
                       r->path);
    if (version < 2)
        return err_set(r->err, E_MODEL,
                       "%s: GGUF version %u, 2 and 3 can be read; convert the model again with a current "
                       "converter",
                       r->path, version);
    return err_set(r->err, E_MODEL,
                   "%s: GGUF version %u is newer than 2 and 3, which can be read; fetch a file of version 3", r->path,
                   version);
}

static int read_header(struct reader *r, struct gguf *g)
{
    uint64_t n_tensors = 0, n_kv = 0;
    if (left(r) < 4 || memcmp(r->at, "GGUF", 4) != 0)
        return err_set(
            r->err, E_MODEL,
            "%s: not a GGUF file (it does not begin with 'GGUF'); give a model in GGUF format, or the directory "
            "of its config.json and safetensors",
            r->path);
    if (left(r) < HEADER_BYTES)
        return err_set(r->err, E_MODEL,
                       "%s: the file ends at byte %zu inside its header; it is cut off: fetch it again", r->path,
                       left(r));
    memcpy(&g->version, r->at + 4, sizeof g->version);
    memcpy(&n_tensors, r->at + 8, sizeof n_tensors);
    memcpy(&n_kv, r->at + 16, sizeof n_kv);
    r->at += HEADER_BYTES;
    int rc = check_version(r, g->version);
    if (rc == OK) rc = check_count(r, "tensor", n_tensors, MIN_TENSOR_BYTES);
    if (rc == OK) rc = check_count(r, "key", n_kv, MIN_KV_BYTES);
    if (rc != OK) return rc;
    g->n_tensors = n_tensors;
    g->n_kv = n_kv;
    g->kv = calloc(n_kv + 1, sizeof *g->kv);
    g->tensors = calloc(n_tensors + 1, sizeof *g->tensors);
    if (!g->kv || !g->tensors) return err_set(r->err, E_LAYOUT, "%s: no memory for its directory", r->path);
    return OK;
}

static int read_alignment(const struct reader *r, const struct gguf *g, uint64_t *out)
{
    int64_t alignment = DEFAULT_ALIGNMENT;
    if (gguf_read_int(g, "general.alignment", &alignment, r->err) != OK) return err_wrap(r->err, "%s", r->path);
    /* A multiple of 8 as the format says: tensors of floats can then be read where they lie. */
    if (alignment < 8 || alignment > UINT32_MAX || (alignment & (alignment - 1)) != 0)
        return err_set(r->err, E_MODEL,
                       "%s: general.alignment is %lld, must be a power of two from 8 to 2^31; convert the model "
                       "again",
                       r->path, (long long)alignment);
    *out = (uint64_t)alignment;
    return OK;
}

/* Room for weights that are made row by row when they are asked for: until then it takes no memory. */
static int place_random(const struct reader *r, struct gguf *g, uint64_t alignment, int64_t seed)
{
    uint64_t n = 0;
    bool fits = true;
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        if (!random_weights_format(t->type))
            return err_set(r->err, E_MODEL, "%s: tensor '%s' has the format %s, of which there are no random weights",
                           r->path, gguf_show(t->name).s, gguf_type(t->type)->name);
        fits = fits && !__builtin_add_overflow(n, t->n_bytes, &n) && n <= SIZE_MAX - alignment;
        n = (n + alignment - 1) & ~(alignment - 1);
    }
    void *at = fits && n ? mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                         : MAP_FAILED;
    if (at == MAP_FAILED)
        return err_set(r->err, E_LAYOUT, "%s: no room for %llu bytes of random weights", r->path,
                       (unsigned long long)n);
    g->random = at;
    g->random_bytes = n;
    n = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        t->data = g->random + n;
        t->random_key = random_weights_key((uint64_t)seed, t->name);
        n = (n + t->n_bytes + alignment - 1) & ~(alignment - 1);
    }
    return OK;
}

static int place_tensors(const struct reader *r, struct gguf *g, uint64_t alignment)
{
    uint64_t start = ((uint64_t)(r->at - r->base) + alignment - 1) & ~(alignment - 1);
    uint64_t room = start <= g->n_bytes ? g->n_bytes - start : 0;
    int64_t seed;
    if (g->n_tensors && gguf_find(g, RANDOM_SEED_KEY)) {
        if (!gguf_get_int(g, RANDOM_SEED_KEY, &seed))
            return err_set(r->err, E_MODEL, "%s: " RANDOM_SEED_KEY " is no number", r->path);
        if (room)
            return err_set(r->err, E_MODEL, "%s: it has weights, and " RANDOM_SEED_KEY " too: make it again", r->path);
        return place_random(r, g, alignment, seed);
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        uint64_t offset;
        memcpy(&offset, t->data, sizeof offset);
        if (offset % alignment != 0)
            return err_set(r->err, E_MODEL,
                           "%s: tensor '%s' lies at offset %llu, not a multiple of the alignment %llu; the file is "
                           "damaged: fetch it again",
                           r->path, gguf_show(t->name).s, (unsigned long long)offset, (unsigned long long)alignment);
        if (offset > room || t->n_bytes > room - offset)
            return err_set(r->err, E_MODEL,
                           "%s: tensor '%s' (%zu bytes at offset %llu) lies outside the file's %llu bytes of data; "
                           "it is cut off or damaged: fetch it again",
                           r->path, gguf_show(t->name).s, t->n_bytes, (unsigned long long)offset,
                           (unsigned long long)room);
        t->data = g->base + start + offset;
    }
    return OK;
}

static int parse(struct gguf *g, struct err *err)
{
    struct reader r = {g->path, g->base, g->base, g->base + g->n_bytes, "key", 0, err};
    uint64_t alignment = 0;
    int rc = read_header(&r, g);
    for (r.i_what = 0; rc == OK && r.i_what < g->n_kv; r.i_what++) rc = read_kv(&r, &g->kv[r.i_what]);
    g->keys_end = (size_t)(r.at - r.base);
    if (rc == OK) rc = sort_names(&r, &g->kv->key, g->n_kv, sizeof *g->kv, &g->kv_names);
    r.what = "tensor";
    for (r.i_what = 0; rc == OK && r.i_what < g->n_tensors; r.i_what++) rc = read_tensor(&r, &g->tensors[r.i_what]);
    g->head_bytes = (size_t)(r.at - r.base);
    if (rc == OK) rc = gguf_sort_tensors(g, err);
    if (rc == OK) rc = read_alignment(&r, g, &alignment);
    return rc == OK ? place_tensors(&r, g, alignment) : rc;
}

/* Strings and arrays become views of a copy. */
static int copy_head(struct gguf *g, struct err *err)
{
    uint8_t *copy = malloc(g->head_bytes);
    if (!copy) return err_set(err, E_LAYOUT, "%s: no memory for its directory", g->path);
    memcpy(copy, g->base, g->head_bytes);
    for (size_t i = 0; i < g->n_kv; i++) {
        g->kv[i].key.s = (const char *)copy + (g->kv[i].key.s - (const char *)g->base);
        g->kv[i].data = copy + (g->kv[i].data - g->base);
    }
    for (size_t i = 0; i < g->n_tensors; i++)
        g->tensors[i].name.s = (const char *)copy + (g->tensors[i].name.s - (const char *)g->base);
    g->head = copy;
    return OK;
}

/* Takes the map, if there is one: on failure it is gone. */
static int parse_bytes(struct gguf *out, const char *name, const void *bytes, size_t n_bytes, bool mapped,
                       struct err *err)
{
    struct gguf g = {.path = strdup(name), .base = bytes, .head = bytes, .n_bytes = n_bytes, .mapped = mapped};
    int rc = g.path ? parse(&g, err) : err_set(err, E_LAYOUT, "%s: no memory for its name", name);
    if (rc == OK && mapped) rc = copy_head(&g, err);
    if (rc == OK)
        *out = g;
    else
        gguf_close(&g);
    return rc;
}

int gguf_parse(struct gguf *g, const char *name, const void *bytes, size_t n_bytes, struct err *err)
{
    return parse_bytes(g, name, bytes, n_bytes, false, err);
}

int gguf_map(const char *path, const uint8_t **out, size_t *n_bytes, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    if (fd < 0) return err_set(err, E_MODEL, "%s: cannot be opened: %s", path, strerror(errno));
    void *bytes = MAP_FAILED;
    int rc = OK;
    if (fstat(fd, &st) != 0)
        rc = err_set(err, E_MODEL, "%s: cannot be read: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        rc = err_set(err, E_MODEL, "%s: not a file", path);
    else if (st.st_size == 0)
        rc = err_set(err, E_MODEL, "%s: the file is empty; fetch it again", path);
    else if ((bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        rc = err_set(err, E_MODEL, "%s: cannot be mapped: %s", path, strerror(errno));
    close(fd);
    *out = rc == OK ? bytes : NULL;
    *n_bytes = rc == OK ? (size_t)st.st_size : 0;
    return rc;
}

int gguf_open_file(struct gguf *g, const char *path, struct err *err)
{
    const uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    int rc = gguf_map(path, &bytes, &n_bytes, err);
    return rc == OK ? parse_bytes(g, path, bytes, n_bytes, true, err) : rc;
}

uint8_t *gguf_keys(const struct gguf *g, size_t *n_bytes)
{
    const uint64_t no_tensors = 0;
    uint8_t *copy = malloc(g->keys_end);
    if (!copy) return NULL;
    memcpy(copy, g->head, g->keys_end);
    memcpy(copy + 8, &no_tensors, sizeof no_tensors); /* see read_header */
    *n_bytes = g->keys_end;
    return copy;
}

int gguf_n_files(const struct gguf *g)
{
    return g->n_parts + !g->made;
}

size_t gguf_file_bytes(const struct gguf *g)
{
    size_t n = g->made ? 0 : g->n_bytes;
    for (int i = 0; i < g->n_parts; i++) n += g->parts[i].n_bytes;
    return n;
}

void gguf_close(struct gguf *g)
{
    if (!g) return;
    for (int i = 0; i < g->n_parts; i++) gguf_close(&g->parts[i]);
    free(g->parts);
    free(g->row_chunks);
    free(g->names);
    if (g->head != g->base) free((void *)(uintptr_t)g->head);
    if (g->mapped) munmap((void *)(uintptr_t)g->base, g->n_bytes);
    if (g->made) free((void *)(uintptr_t)g->base);
    if (g->random) munmap(g->random, g->random_bytes);
    free((void *)(uintptr_t)g->path);
    free(g->kv_names);
    free(g->tensor_names);
    free(g->kv);
    free(g->tensors);
    *g = (struct gguf){0};
}

static size_t row_bytes(const struct gguf_tensor *t)
{
    return t->n_bytes / (t->dim[1] * t->dim[2] * t->dim[3]);
}

uint64_t gguf_row_in_file(uint64_t rope_permuted, uint64_t row)
{
    if (rope_permuted == 0) return row;
    uint64_t at = row % rope_permuted;
    return row - at + at / 2 + at % 2 * (rope_permuted / 2);
}

const uint8_t *gguf_row(const struct gguf_tensor *t, uint64_t row)
{
    row = gguf_row_in_file(t->rope_permuted, row);
    if (t->random_key) random_weights_row((uint8_t *)(uintptr_t)t->data + row * row_bytes(t), t, row);
    if (!t->row_chunks) return t->data + row * row_bytes(t);
    return t->row_chunks[row / t->chunk_rows] + row % t->chunk_rows * row_bytes(t);
}

static bool is_mapped(const struct gguf *g, const uint8_t *at)
{
    if (g->mapped && at >= g->base && at < g->base + g->n_bytes) return true;
    if (g->random && at >= g->random && at < g->random + g->random_bytes) return true;
    for (int i = 0; i < g->n_parts; i++)
        if (is_mapped(&g->parts[i], at)) return true;
    return false;
}

static void release(const struct gguf *g, const uint8_t *at, size_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)at + page - 1) & ~(page - 1), to = ((uintptr_t)at + n) & ~(page - 1);
    if (from < to && is_mapped(g, at)) madvise((void *)from, to - from, MADV_DONTNEED);
}

void gguf_release(const struct gguf *g, const struct gguf_tensor *t)
{
    uint64_t n_chunks = t->row_chunks ? t->dim[1] * t->dim[2] / t->chunk_rows : 1;
    for (uint64_t i = 0; i < n_chunks; i++)
        release(g, t->row_chunks ? t->row_chunks[i] : t->data, t->n_bytes / (size_t)n_chunks);
}

int gguf_value_bytes(enum gguf_value type)
{
    return value_bytes[type];
}

const struct gguf_type *gguf_type(uint32_t type)
{
    return type < sizeof types / sizeof *types && types[type].name ? &types[type] : NULL;
}

bool gguf_str_is(struct gguf_str s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.s, text, s.n) == 0;
}

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key)
{
    const struct gguf_str *name = find_name(g->kv_names, g->n_kv, key);
    return name ? (const struct gguf_kv *)((const char *)name - offsetof(struct gguf_kv, key)) : NULL;
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name)
{
    const struct gguf_str *found = find_name(g->tensor_names, g->n_tensors, name);
    return found ? (const struct gguf_tensor *)((const char *)found - offsetof(struct gguf_tensor, name)) : NULL;
}
