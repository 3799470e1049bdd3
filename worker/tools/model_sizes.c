#include "worker/tools/model_sizes.h"

static int read_share(struct engine_info *out, const char *path, bool little, int n_shards, const struct kernels *k,
                      struct err *err)
{
    struct engine *e;
    const struct engine_config config = {.path = path,
                                         .share = {.n_stages = 1, .n_shards = n_shards},
                                         .requantize = little,
                                         .kernels = k,
                                         .n_threads = 1,
                                         .max_rows = 1};
    int rc = engine_open(&e, &config, err);
    if (rc != OK) return rc;
    engine_info(e, out);
    engine_close(e);
    return OK;
}

int model_sizes(struct model_sizes *out, const char *path, bool little, const struct kernels *k, struct err *err)
{
    struct model_sizes sizes = {0};
    struct engine_info halved, *whole = &sizes.info;
    struct err ignored;
    int rc = read_share(whole, path, little, 1, k, err);
    if (rc != OK) return rc;
    uint64_t reads = whole->body_bytes + whole->head_bytes;
    sizes.embed_bytes = whole->shape.tied              ? whole->head_bytes
                        : whole->weights_bytes > reads ? whole->weights_bytes - reads
                                                       : 0;
    if (!little && read_share(&halved, path, little, 2, k, &ignored) == OK) sizes.gather_bytes = halved.gather_bytes;
    *out = sizes;
    return OK;
}
