#include "tests/lib/soak_toy.h"

#include <stdio.h>
#include <unistd.h>

#include "cluster.h"
#include "coordinator/job.h"
#include "proto/prefix_hash.h"
#include "tests/lib/grid.h"
#include "tests/lib/tiny.h"

uint64_t draw(uint64_t *state)
{
    return *state = prefix_hash_mix(*state + 0x9E3779B97F4A7C15ULL);
}

int draw_below(uint64_t *state, int n)
{
    return (int)((draw(state) >> 16) % (uint64_t)n);
}

bool draw_one_of(uint64_t *state, int n)
{
    return draw_below(state, n) == 0;
}

/* About two of three texts that may end with one of them do. */
static const int32_t end_ids[] = {0,   29,  58,  87,  116, 145, 174, 203, 232, 261, 290, 319,
                                  348, 377, 406, 435, 464, 493, 522, 551, 580, 609, 638, 667};

/* Prompts of a few families begin alike. Half are greedy; of three one may end with an id. */
static void draw_text(uint64_t *r, struct soak_text *t)
{
    uint64_t family = (uint64_t)draw_below(r, 6) * SOAK_PROMPT;
    int n = 1 + (draw_below(r, 3) ? draw_below(r, 40) : draw_below(r, SOAK_PROMPT));
    for (int i = 0; i < n; i++) t->prompt[i] = (int32_t)(prefix_hash_mix(family + (uint64_t)i + 1) % 512);
    t->request = (struct request){.prompt = t->prompt, .n_prompt = n};
    struct settings *set = &t->request.settings;
    bool to_the_end = n > SOAK_CTX - SOAK_PREDICT - 20; /* of the context */
    set->n_predict = to_the_end ? 0 : 1 + draw_below(r, SOAK_PREDICT);
    set->n_top = SOAK_TOP;
    set->draft_ctx = SOAK_CTX;
    if (draw_one_of(r, 3)) set->end_ids = end_ids, set->n_end_ids = sizeof end_ids / sizeof *end_ids;
    if (draw_below(r, 2)) return;
    set->sampler = (struct sampler){.temp = .8f, .top_p = 1, .seed = (uint32_t)draw(r), .sample = (uint32_t)draw(r)};
    if (draw_below(r, 2)) set->sampler.top_k = 20, set->sampler.top_p = .9f;
}

static int write_text(struct job *job, struct soak_text *t, struct err *err)
{
    static const struct job_watch nothing;
    struct request r = t->request;
    r.settings.fresh = true;
    int rc = seq_init(&t->alone, &r, SOAK_CTX, err);
    if (rc == OK) rc = job_run(job, &t->alone, 1, &nothing, err);
    return rc == OK ? seqs_failed(&t->alone, 1, err) : rc;
}

static int write_texts(struct soak_toy *toy, const struct layout *l, struct router *router, struct err *err)
{
    struct job *job = NULL;
    struct job_config config = {.layout = *l, .n_ids = SOAK_IDS, .n_ctx = SOAK_CTX, .n_slots = 1};
    config.vocab_big = config.vocab_little = grid_vocab_hash(toy->big);
    int rc = job_open(&job, &config, router, err);
    for (int i = 0; i < SOAK_TEXTS && rc == OK; i++) rc = write_text(job, &toy->texts[i], err);
    job_close(job);
    return rc;
}

static int run_alone(struct soak_toy *toy, const struct kernels *kernels, struct err *err)
{
    struct cluster_config config = {.big = toy->big, .kernels = kernels, .n_threads = 1};
    struct layout *l = &config.launch.layout;
    struct cluster *cluster = NULL;
    int rc = layout_make(l, 1, 1, 1, 1, 1, DRAFTER_NONE, err);
    struct router *router = rc == OK ? router_open(l->n_peers) : NULL;
    if (!router) return err_set(err, E_FAIL, "no router");
    rc = cluster_start(&cluster, &config, router, err);
    if (rc == OK) rc = write_texts(toy, l, router, err);
    job_quit(router, l, rc, "");
    cluster_join(cluster);
    router_close(router);
    return rc;
}

int soak_toy_open(struct soak_toy *toy, const char *folder, const char *architecture, uint32_t type, uint64_t seed,
                  const struct kernels *kernels, struct err *err)
{
    struct tiny_spec spec = tiny_spec(type);
    *toy = (struct soak_toy){.architecture = spec.architecture = architecture};
    snprintf(toy->big, sizeof toy->big, "%s/big-%s.gguf", folder, architecture);
    snprintf(toy->little, sizeof toy->little, "%s/little-%s.gguf", folder, architecture);
    int rc = tiny_write(toy->big, &spec);
    spec.left_out = 2;
    if (rc == 0) rc = tiny_write(toy->little, &spec);
    if (rc != 0) return err_set(err, E_FAIL, "cannot write %s", toy->big);
    for (int t = 0; t < SOAK_TEXTS; t++) draw_text(&seed, &toy->texts[t]);
    return run_alone(toy, kernels, err);
}

void soak_toy_close(struct soak_toy *toy)
{
    unlink(toy->big);
    unlink(toy->little);
    for (int t = 0; t < SOAK_TEXTS; t++) seq_free(&toy->texts[t].alone);
}
