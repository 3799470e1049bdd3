#include "tests/lib/device_steps.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/engine/engine.h"

enum { N_SLOTS = 2, MOST_ROWS = 40, MOST_EMBD = 512, N_VOCAB = 700 };

struct text { /* of a slot, as it is told to an engine: what it writes by itself is behind */
    int32_t ids[64];
    int n, n_fed;
};

struct found { /* by each step, of each slot */
    int32_t ids[DEVICE_STEPS][N_SLOTS];
    float lp[DEVICE_STEPS][N_SLOTS];
    float x[N_SLOTS][MOST_EMBD]; /* of a row behind all, which reads all keys and values */
};

static const struct row plain = {.wanted = false}, asks = {.wanted = true};
static float x[MOST_ROWS * MOST_EMBD];

static struct engine *engine(const struct device_table *device, const char *path)
{
    struct engine *e = NULL;
    struct err err;
    const struct engine_config c = {.path = path,
                                    .share = {.n_stages = 1, .n_shards = 1},
                                    .kernels = &kernels_ref,
                                    .device = device,
                                    .n_threads = 1,
                                    .max_rows = MOST_ROWS};
    if (engine_open(&e, &c, &err) != OK || engine_load(e, N_SLOTS, 64, &err) != OK) fail_msg("%s", err.text);
    return e;
}

/* Rows of what is not fed, the last of each slot wanted; slot 1 may have a part of the ids. Returns how many. */
static int rows_of(struct text texts[N_SLOTS], struct engine_row *rows, int32_t *ids)
{
    int n = 0;
    for (int slot = 0; slot < N_SLOTS; slot++)
        for (struct text *t = &texts[slot]; t->n_fed < t->n; t->n_fed++, n++) {
            ids[n] = t->ids[t->n_fed];
            rows[n] = (struct engine_row){
                .slot = slot, .pos = t->n_fed, .ask = t->n_fed + 1 == t->n ? &asks : &plain, .n_ids = slot ? 300 : 0};
        }
    return n;
}

/* What the texts have after a pass of steps; the last id is not fed. */
static void note(struct text texts[N_SLOTS], struct found *out, int step, const struct verdict_row *answers)
{
    for (int slot = 0; slot < N_SLOTS; slot++) {
        out->ids[step][slot] = texts[slot].ids[texts[slot].n++] = answers[slot].next;
        out->lp[step][slot] = answers[slot].lp_next;
    }
}

static void pass(struct engine *e, const struct engine_row *rows, int n_rows, int n_steps,
                 const struct verdict_row **answers)
{
    struct err err;
    if (engine_steps(e, rows, n_rows, n_steps, x, answers, &err) != OK) fail_msg("%s", err.text);
}

static void go_on_by_passes(struct engine *e, struct text texts[N_SLOTS], int n_steps, struct found *out)
{
    struct engine_row rows[MOST_ROWS];
    int32_t ids[MOST_ROWS];
    const struct verdict_row *answers;
    for (int step = 0; step < n_steps; step++) {
        int n = rows_of(texts, rows, ids);
        engine_embed(e, ids, n, x);
        pass(e, rows, n, 1, &answers);
        note(texts, out, step, answers);
    }
}

/* bad: a number of slot 1's last row is not finite. */
static void go_on_by_steps(struct engine *e, struct text texts[N_SLOTS], int n_steps, bool bad, struct found *out)
{
    struct engine_row rows[MOST_ROWS], wanted[N_SLOTS];
    struct engine_info info;
    int32_t ids[MOST_ROWS];
    const struct verdict_row *answers;
    int n = rows_of(texts, rows, ids), n_all = n;
    engine_info(e, &info);
    for (int i = 0, slot = 0; i < n; i++)
        if (rows[i].ask->wanted) wanted[slot++] = rows[i];
    for (int step = 1; step < n_steps; step++)
        for (int slot = 0; slot < N_SLOTS; slot++) {
            rows[n_all] = wanted[slot];
            rows[n_all++].pos += step;
        }
    engine_embed(e, ids, n, x);
    if (bad) x[(n - 1) * info.shape.n_embd] = INFINITY;
    pass(e, rows, n_all, n_steps, &answers);
    for (int i = 0; i < n_all; i++)
        if (!bad || !rows[i].slot || i < n) /* or it reads the bad row */
            assert_int_equal(engine_bad_entry(e, i), bad && i == n - 1 ? 0 : ENGINE_NOT_BAD);
    for (int step = 0; step < n_steps; step++) {
        note(texts, out, step, answers + step * N_SLOTS);
        for (int slot = 0; slot < N_SLOTS && step; slot++) texts[slot].n_fed++;
    }
}

static void read_all(struct engine *e, struct text texts[N_SLOTS], struct found *out)
{
    struct engine_row rows[MOST_ROWS];
    struct engine_info info;
    int32_t ids[MOST_ROWS];
    const struct verdict_row *answers;
    int n = rows_of(texts, rows, ids);
    engine_info(e, &info);
    assert_int_equal(n, N_SLOTS);
    engine_embed(e, ids, n, x);
    pass(e, rows, n, 1, &answers);
    for (int slot = 0; slot < N_SLOTS; slot++)
        memcpy(out->x[slot], x + slot * info.shape.n_embd, (size_t)info.shape.n_embd * sizeof *x);
}

/* As a drafter does: an id that was not its own, from a position of its draft on; the first time more. */
static void tell(struct text texts[N_SLOTS], int round)
{
    for (int slot = 0; slot < N_SLOTS; slot++) {
        struct text *t = &texts[slot];
        int n = round ? 1 : 3 + 4 * slot, kept = round ? t->n - 3 - slot : 0;
        t->n = t->n_fed = kept;
        for (int i = 0; i < n; i++) t->ids[t->n++] = (kept * 7 + i * 31 + slot * 131 + 5) % N_VOCAB;
    }
}

void device_steps_check(const struct device_table *device, const char *path)
{
    static const int n_steps[] = {DEVICE_STEPS, 4, 4, 4, 1, 4}; /* alike ones: later the same graph */
    struct engine *one = engine(device, path), *many = engine(device, path);
    struct text texts[2][N_SLOTS] = {0};
    assert_int_equal(engine_steps_most(many), DEVICE_STEPS);
    for (int round = 0; round < (int)(sizeof n_steps / sizeof *n_steps); round++) {
        struct found by_passes = {0}, by_steps = {0};
        bool bad = round == 5;
        for (int i = 0; i < 2; i++) tell(texts[i], round);
        go_on_by_passes(one, texts[0], n_steps[round], &by_passes);
        go_on_by_steps(many, texts[1], n_steps[round], bad, &by_steps);
        for (int step = 0; step < n_steps[round]; step++) {
            assert_true(by_passes.lp[step][0] < 0 && by_passes.ids[step][1] < 300);
            for (int slot = 0; slot < N_SLOTS - bad; slot++)
                if (by_passes.ids[step][slot] != by_steps.ids[step][slot] ||
                    memcmp(&by_passes.lp[step][slot], &by_steps.lp[step][slot], sizeof(float)))
                    fail_msg("round %d, step %d, slot %d: id %d, not %d", round, step, slot, by_steps.ids[step][slot],
                             by_passes.ids[step][slot]);
        }
        if (bad) break;
        read_all(one, texts[0], &by_passes);
        read_all(many, texts[1], &by_steps);
        assert_memory_equal(by_passes.x, by_steps.x, sizeof by_passes.x);
    }
    engine_close(one);
    engine_close(many);
}

int device_steps_counted;
static const struct device_table *counted;

static void count(struct device *d, const struct device_row *rows, int n_rows, const float *cs, int matrix, float scale)
{
    device_steps_counted++;
    counted->next(d, rows, n_rows, cs, matrix, scale);
}

struct device_table device_steps_count(const struct device_table *device)
{
    struct device_table t = *device;
    counted = device;
    device_steps_counted = 0;
    t.next = count;
    return t;
}
