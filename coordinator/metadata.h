/* metadata.h -- the keys of model files, sent by the workers that have them, for a coordinator that has no model file.
 *
 *   worker ── Metadata, part 0 .. n-1 ──▶ coordinator      before its Hello, if launch_config wants it
 *
 * Other messages that arrive meanwhile go back to the coordinator's queue, in order.
 */
#ifndef COORDINATOR_METADATA_H
#define COORDINATOR_METADATA_H

#include "proto/err.h"
#include "proto/router.h"

struct metadata { /* zeroed, but for the first two */
    int peer;
    char who[96];   /* for people */
    uint8_t *bytes; /* owns: the keys of its file as a GGUF file without tensors */
    size_t n, room;
    uint32_t n_parts, n_received;
};

/* Waits until the metadata of these peers has arrived. A worker's Fail is returned. E_PEER: nothing came for start_s
 * (0: it waits for ever), or its parts do not fit together. */
int metadata_receive(struct router *router, struct metadata *list, int n, int start_s, struct err *err);
void metadata_free(struct metadata *m); /* zeroed is fine */

#endif
