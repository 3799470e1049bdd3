#include "worker/engine/pieces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 128 };

/* NULL: there is none of this name, which is set. */
static const struct gguf_tensor *find(const struct pieces *p, const char *suffix, char name[NAME_ROOM])
{
    if (p->block < 0)
        snprintf(name, NAME_ROOM, "%s", suffix);
    else
        snprintf(name, NAME_ROOM, "blk.%d.%s", p->block, suffix);
    return gguf_tensor(p->file, name);
}

const struct gguf_tensor *pieces_stack(const struct pieces *p, const char *suffix, int n_in, int n_out, int n_stack,
                                       struct err *err)
{
    char name[NAME_ROOM];
    const struct gguf_tensor *t = find(p, suffix, name);
    if (!t) {
        err_set(err, E_MODEL, "%s: no tensor %s", p->file->path, name);
        return NULL;
    }
    if (t->dim[3] != 1 || t->dim[2] != (uint64_t)n_stack || t->dim[0] != (uint64_t)n_in ||
        t->dim[1] != (uint64_t)n_out) {
        err_set(err, E_MODEL, "%s: %s is [%llu, %llu, %llu], expected [%d, %d, %d]", p->file->path, name,
                (unsigned long long)t->dim[2], (unsigned long long)t->dim[1], (unsigned long long)t->dim[0], n_stack,
                n_out, n_in);
        return NULL;
    }
    if (kernels_supports((int)t->type)) return t;
    char all[256] = "";
    for (int i = 0; kernels_format(i); i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), " %s", gguf_type(*kernels_format(i))->name);
    err_set(err, E_MODEL, "%s: %s has the format %s, which is not supported;%s are", p->file->path, name,
            gguf_type(t->type)->name, all);
    return NULL;
}

enum quant pieces_kept_type(const struct pieces *p, const struct gguf_tensor *t)
{
    enum quant type = (enum quant)t->type;
    bool small = type == QUANT_Q4_0 || type == QUANT_Q4_K || type == QUANT_Q2_K;
    return p->requantize && !small && t->dim[0] % BLOCK == 0 ? QUANT_Q4_1 : type;
}

static int add_piece(struct pieces *p, struct piece piece, struct err *err)
{
    if (p->n == p->room) {
        int room = p->room ? 2 * p->room : 64;
        struct piece *list = realloc(p->list, (size_t)room * sizeof *list);
        if (!list) return err_set(err, E_LAYOUT, "out of memory for a list of tensors");
        p->list = list;
        p->room = room;
    }
    p->list[p->n++] = piece;
    return OK;
}

int pieces_add_listed(struct pieces *p, const struct gguf_tensor *t, const int32_t *listed, int from, int to,
                      struct weights *w, struct err *err)
{
    w->type = pieces_kept_type(p, t);
    w->n_in = (int)t->dim[0];
    w->n_out = to - from;
    return add_piece(p, (struct piece){.tensor = t, .listed = listed, .row_from = from, .row_to = to, .matrix = w},
                     err);
}

int pieces_add_rows(struct pieces *p, const struct gguf_tensor *t, int from, int to, struct weights *w, struct err *err)
{
    return pieces_add_listed(p, t, NULL, from, to, w, err);
}

int pieces_add_matrix(struct pieces *p, const struct matrix_rows *m, struct err *err)
{
    const struct gguf_tensor *t = pieces_stack(p, m->name, m->n_in, m->n_out, 1, err);
    return t ? pieces_add_rows(p, t, m->from, m->to, m->w, err) : E_MODEL;
}

int pieces_add_vector(struct pieces *p, const struct vector_part *v, struct err *err)
{
    char name[NAME_ROOM];
    if (v->optional && !find(p, v->name, name)) return OK;
    const struct gguf_tensor *t = pieces_stack(p, v->name, v->n, 1, 1, err);
    if (!t) return E_MODEL;
    if (t->type != QUANT_F32) return err_set(err, E_MODEL, "%s: %s is not F32", p->file->path, gguf_show(t->name).s);
    return add_piece(p, (struct piece){.tensor = t, .row_from = v->from, .row_to = v->to, .vector = v->v}, err);
}

void pieces_free(struct pieces *p)
{
    free(p->list);
    *p = (struct pieces){0};
}

size_t matrix_bytes(const struct kernels *k, const struct device_table *device, enum quant type, int n_in, int n_rows)
{
    if (device) return device->matrix_bytes(type, n_in, n_rows);
    return (size_t)((n_rows + PANEL - 1) / PANEL) * k->panel_bytes(type, n_in);
}

size_t piece_bytes(const struct piece *p, const struct kernels *k, const struct device_table *device)
{
    int n_rows = p->row_to - p->row_from;
    if (p->vector) return ((size_t)n_rows * sizeof(float) + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    return matrix_bytes(k, device, p->matrix->type, p->matrix->n_in, n_rows);
}
