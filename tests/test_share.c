/* A rank reads and keeps its share of the model alone: resident memory after a load, each case in a process of its
 * own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/files/gguf_open.h"
#include "tests/lib/real.h"
#include "worker/engine/engine.h"
#include "worker/engine/model.h"

enum { SLOTS = 1, CTX = 512 };
static const double MIB = 1 << 20;

static const struct kernels *fastest(void)
{
    const char *why;
    return kernels_pick(NULL, &why);
}

/* RssAnon + RssFile: what the kernel says of this process. */
static double resident_bytes(void)
{
    char line[256];
    double sum = 0, kib;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %lf", &kib) == 1 || sscanf(line, "RssFile: %lf", &kib) == 1) sum += 1024 * kib;
    if (f) fclose(f);
    return sum;
}

/* Of the file, by the names of its tensors: a block's go to its stage, and of a matrix each shard has its part.
 * *streamed: what a pass reads of them; an embedding is looked up. */
static double tensor_bytes(const struct model *m, const struct gguf *g, double *streamed)
{
    double blocks = 0, embed = 0, head = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        int block;
        if (!strncmp(t->name.s, "token_embd.", 11))
            embed = (double)t->n_bytes;
        else if (!strncmp(t->name.s, "output.", 7))
            head = (double)t->n_bytes;
        else if (sscanf(t->name.s, "blk.%d.", &block) == 1 && block >= m->entry_from && block < m->entry_to)
            blocks += (double)t->n_bytes / m->share.n_shards;
    }
    bool has_embed = model_first(m) && m->share.shard == 0;
    double sum = blocks + (has_embed ? embed : 0);
    *streamed = blocks + (model_last(m) ? (m->shape.tied ? embed : head) / m->share.n_shards : 0);
    if (model_last(m) && !(m->shape.tied && has_embed)) sum += (m->shape.tied ? embed : head) / m->share.n_shards;
    return sum;
}

/* F16 keys and values of the KV heads that the shard's query heads need. */
static double kv_bytes(const struct model *m)
{
    double heads = m->kv_to - m->kv_from;
    return (double)(m->entry_to - m->entry_from) * 2 * heads * m->shape.d_head * 2 * SLOTS * CTX;
}

struct measure {
    double tensors, streamed, counted, kv, resident; /* counted: as Hello says it is streamed */
    char wrong[256];
};

/* In a child: what it kept is not what an earlier case left. */
static void measure(struct measure *out, const char *path, const struct share *share)
{
    struct err err = {0};
    struct gguf g;
    struct model m;
    if (gguf_open(&g, path, &err) != OK ||
        model_open(&m, &(struct model_config){.path = path, .share = *share}, fastest(), &err) != OK)
        goto wrong;
    out->tensors = tensor_bytes(&m, &g, &out->streamed);
    out->counted = (double)(m.body_bytes + m.head_bytes);
    out->kv = kv_bytes(&m);
    model_close(&m);
    gguf_close(&g);
    struct engine *e = NULL;
    struct engine_config c = {.path = path, .share = *share, .kernels = fastest(), .n_threads = 2, .max_rows = 128};
    if (engine_open(&e, &c, &err) != OK || engine_load(e, SLOTS, CTX, &err) != OK) goto wrong;
    out->resident = resident_bytes();
    engine_close(e);
    return;
wrong:
    snprintf(out->wrong, sizeof out->wrong, "%.255s", err.text);
}

static void check_share(const char *model, const struct share *share)
{
    struct gguf g;
    int ends[2];
    struct measure got = {0};
    real_open(&g, model);
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        measure(&got, g.path, share);
        _exit(write(ends[1], &got, sizeof got) != (ssize_t)sizeof got);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], &got, sizeof got);
    close(ends[0]);
    waitpid(pid, NULL, 0);
    gguf_close(&g);
    assert_int_equal(n, sizeof got);
    if (got.wrong[0]) fail_msg("%s", got.wrong);
    double bound = 1.15 * (got.tensors + got.kv) + 100 * MIB;
    print_message("%-36s stage %d of %d, shard %d of %d: tensors %6.1f, KV %5.1f, resident %6.1f MiB, bound %6.1f\n",
                  model, share->stage + 1, share->n_stages, share->shard + 1, share->n_shards, got.tensors / MIB,
                  got.kv / MIB, got.resident / MIB, bound / MIB);
    assert_true(got.tensors > 10 * MIB && got.kv > 0);
    assert_true(got.resident > 0.9 * got.tensors); /* it is loaded */
    assert_true(got.resident < bound);
    assert_true(got.counted > 0.95 * got.streamed && got.counted < 1.1 * got.streamed);
}

static void check_layouts(const char *model)
{
    static const int layouts[][2] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}}; /* tp, pp */
    for (int i = 0; i < 4; i++)
        for (int stage = 0; stage < layouts[i][1]; stage++)
            for (int shard = 0; shard < layouts[i][0]; shard++)
                check_share(model, &(struct share){stage, layouts[i][1], shard, layouts[i][0]});
}

static void a_rank_keeps_its_share_of_the_big_qwen(void **state)
{
    (void)state;
    check_layouts("qwen2.5-coder-1.5b-instruct-q4_k_m");
}

static void a_rank_keeps_its_share_of_the_little_qwen(void **state)
{
    (void)state;
    check_share("qwen2.5-coder-0.5b-instruct-q4_k_m", &(struct share){0, 1, 0, 1});
}

static void a_rank_keeps_its_share_of_smollm2(void **state)
{
    (void)state;
    check_share("SmolLM2-135M-Instruct.Q4_1", &(struct share){0, 1, 0, 1});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_keeps_its_share_of_smollm2),
        cmocka_unit_test(a_rank_keeps_its_share_of_the_little_qwen),
        cmocka_unit_test(a_rank_keeps_its_share_of_the_big_qwen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
