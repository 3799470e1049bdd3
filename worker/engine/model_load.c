#include "worker/engine/model_load.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "worker/engine/check.h"
#include "worker/engine/pieces.h"
#include "worker/engine/requantize.h"

struct packing {
    const struct piece *piece;
    const struct kernels *k; /* NULL: the numbers are looked at, and not kept */
    _Atomic bool bad;        /* some are no weights */
    struct pool *pool;
    struct requantizer *requantizers; /* [n_threads]; NULL: no matrix changes its format */
    int step, n_steps;                /* of its panels each thread packs a part in each */
    const struct watch *watch;        /* gets how many bytes were loaded before each step, of n_all */
    size_t n_before, n_all;
};

static void requantizers_close(struct requantizer *r, int n)
{
    for (int i = 0; r && i < n; i++) requantizer_close(&r[i]);
    free(r);
}

/* One a thread, for any matrix of the list. NULL: out of memory. */
static struct requantizer *requantizers_open(const struct pieces *p, const struct kernels *k, int n_threads)
{
    size_t n_panel = 0;
    int n_in = 0;
    for (int i = 0; i < p->n; i++) {
        if (!p->list[i].matrix) continue;
        size_t n = k->panel_bytes((enum quant)p->list[i].tensor->type, p->list[i].matrix->n_in);
        if (n > n_panel) n_panel = n;
        if (p->list[i].matrix->n_in > n_in) n_in = p->list[i].matrix->n_in;
    }
    struct requantizer *r = calloc((size_t)n_threads, sizeof *r);
    for (int i = 0; r && i < n_threads; i++)
        if (!requantizer_open(&r[i], n_panel, n_in)) {
            requantizers_close(r, n_threads);
            return NULL;
        }
    return r;
}

/* Each thread packs, and so first touches, the panels that it will read. */
static void pack_part(void *arg, int i_thread)
{
    struct packing *job = arg;
    const struct piece *p = job->piece;
    enum quant type = (enum quant)p->tensor->type;
    int n_in = (int)p->tensor->dim[0];
    int n_rows = p->row_to - p->row_from, from, to;
    pool_part((n_rows + PANEL - 1) / PANEL, i_thread, pool_threads(job->pool), &from, &to);
    int end = from + (int)((int64_t)(to - from) * (job->step + 1) / job->n_steps);
    for (int panel = from + (int)((int64_t)(to - from) * job->step / job->n_steps); panel < end; panel++) {
        const void *rows[PANEL];
        if (!check_panel(p, panel, rows)) job->bad = true;
        if (!job->k) continue;
        if (p->matrix->type != type) requantizer_run(&job->requantizers[i_thread], job->k, rows, type, n_in);
        job->k->pack(p->matrix->panels + (size_t)panel * p->matrix->panel_bytes, rows, p->matrix->type,
                     p->matrix->n_in);
    }
}

/* Packs a matrix, or only looks at it. */
static int pack(struct packing *job, const char *path, struct err *err)
{
    bool is_kept = job->k && job->piece->matrix;
    size_t n_bytes = is_kept ? piece_bytes(job->piece, job->k, NULL) : 0;
    job->bad = job->piece->vector && !check_vector(job->piece);
    job->n_steps = 1 + (int)(n_bytes / LOAD_STEP);
    for (job->step = 0; !job->piece->vector && job->step < job->n_steps; job->step++) {
        if (is_kept)
            watch_show(job->watch, "loading", NULL, job->n_before + (size_t)job->step * LOAD_STEP, job->n_all);
        pool_run(job->pool, pack_part, job);
    }
    return job->bad ? check_failed(job->piece, path, err) : OK;
}

int model_check(struct model *m, struct pool *pool, const struct watch *watch, struct err *err)
{
    struct pieces p;
    int rc = model_pieces(m, &p, err);
    for (int i = 0; i < p.n && rc == OK; i++) {
        if (p.list[i].tensor->random_key) continue; /* it would have to be made first */
        watch_show(watch, "checked", "tensors", (uint64_t)i, (uint64_t)p.n);
        rc = pack(&(struct packing){.piece = &p.list[i], .pool = pool}, m->file.path, err);
        gguf_release(&m->file, p.list[i].tensor);
    }
    watch_show(watch, NULL, NULL, 0, 0);
    pieces_free(&p);
    return rc;
}

static int map_memory(struct model *m, struct err *err)
{
    size_t n_bytes = model_memory_bytes(m);
    void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return err_set(err, E_LAYOUT, "%s: no memory for %zu MiB of weights", m->file.path, m->n_bytes >> 20);
    madvise(memory, n_bytes, MADV_HUGEPAGE); /* 5-8 % of a pass; a refusal costs only that */
    m->memory = memory;
    return OK;
}

/* A piece's place begins `at`. */
static int load_piece(struct packing *job, uint8_t *at, const char *path, struct err *err)
{
    const struct piece *piece = job->piece;
    if (piece->matrix) {
        piece->matrix->panel_bytes = job->k->panel_bytes(piece->matrix->type, piece->matrix->n_in);
        piece->matrix->panels = at;
    }
    int rc = pack(job, path, err);
    if (rc != OK || piece->matrix) return rc;
    *piece->vector = (float *)at;
    memcpy(at, gguf_row(piece->tensor, 0) + (size_t)piece->row_from * sizeof(float),
           (size_t)(piece->row_to - piece->row_from) * sizeof(float));
    return OK;
}

/* A tied head: vocab_from is a multiple of 1024, so the view begins at a panel. */
static void view_head(struct model *m)
{
    m->head.type = m->embed.type;
    m->head.panel_bytes = m->embed.panel_bytes;
    m->head.panels = m->embed.panels + (size_t)(m->vocab_from[m->share.shard] / PANEL) * m->embed.panel_bytes;
}

int model_load(struct model *m, const struct kernels *k, struct pool *pool, const struct watch *watch, struct err *err)
{
    struct pieces p;
    struct requantizer *requantizers = NULL;
    int rc = model_pieces(m, &p, err);
    if (rc == OK && m->requantize && !(requantizers = requantizers_open(&p, k, pool_threads(pool))))
        rc = err_set(err, E_LAYOUT, "out of memory to requantize %s", m->file.path);
    if (rc == OK) rc = map_memory(m, err);
    uint8_t *at = m->memory;
    for (int i = 0; i < p.n && rc == OK; i++) {
        const struct piece *piece = &p.list[i];
        struct packing job = {.piece = piece,
                              .k = k,
                              .pool = pool,
                              .requantizers = requantizers,
                              .watch = watch,
                              .n_before = (size_t)(at - m->memory),
                              .n_all = m->n_bytes};
        rc = load_piece(&job, at, m->file.path, err);
        if (rc != OK) break;
        at += piece_bytes(piece, k, NULL);
        gguf_release(&m->file, piece->tensor); /* of a side file nothing: its pages are few */
        watch_show(watch, "loading", NULL, (uint64_t)(at - m->memory), m->n_bytes);
    }
    if (rc == OK && model_has_head(m) && !m->head.panels) view_head(m);
    if (rc == OK) model_close_files(m);
    requantizers_close(requantizers, pool_threads(pool));
    pieces_free(&p);
    return rc;
}
