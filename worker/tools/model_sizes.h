/* model_sizes.h -- how many bytes a model file has, and a pass reads: for the planner; nothing is loaded. */
#ifndef WORKER_TOOLS_MODEL_SIZES_H
#define WORKER_TOOLS_MODEL_SIZES_H

#include "worker/engine/engine.h"

struct model_sizes {
    struct engine_info info; /* of the whole model as one share */
    uint64_t embed_bytes;    /* an embedding's; the head's where it is tied */
    uint64_t gather_bytes;   /* of a row, that two shards exchange; 0: its heads cannot be parted */
};

/* little: as a drafter has it by default (requantize.h). E_MODEL: no model that runs here. */
int model_sizes(struct model_sizes *out, const char *path, bool little, const struct kernels *k, struct err *err);

#endif
