/* forward_device.h -- the pass by a device (kernels/device.h): the weights of this share are on it, and the entries of
 * a pass are recorded as forward.c computes them. The device reduces the head's logits, and picks the ids of rows that
 * sample. Of passes that ask for more than it gives (head_note_wanted), or cut to a list of ids, logits come back in
 * chunks, which head.c reduces.
 *
 * The engine owns the device. Shards of a stage exchange rows by their devices (collective_device.h), or else by way of
 * the host; which experts a row needs is found there. Requantized weights, and what the device itself lacks, are
 * refused by name.
 */
#ifndef WORKER_ENGINE_FORWARD_DEVICE_H
#define WORKER_ENGINE_FORWARD_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"
#include "worker/engine/collective_device.h"

struct engine;
struct forward_device;

/* E_LAYOUT: the device lacks what this share needs. Before anything is read of the weights. */
int forward_device_check(const struct engine *e, struct err *err);
/* The device, with its room for passes and KV. */
int forward_device_open(struct engine *e, int n_slots, int n_ctx, struct err *err);
struct device_member forward_device_member(const struct engine *e); /* without a device, too */
/* In place of model_load: the weights go to the device, row by row from the file, and nowhere else. */
int forward_device_load(struct engine *e, struct err *err);
void forward_device_close(struct forward_device *d);

/* In place of forward_run: one thread. */
void forward_device_run(void *engine, int i_thread);
/* Between passes: engine_copy. */
void forward_device_copy(struct engine *e, int to, int from, int n);
/* Between passes: engine_send, engine_receive. e->rc may be set. */
void forward_device_send(struct engine *e, const int *rows, int n);
void forward_device_receive(struct engine *e, int n_rows, const int *rows, int n);
/* What came from the device counts only if it is not lost; else e->rc is set. */
void forward_device_look(struct engine *e);
void forward_device_embed(struct engine *e, int32_t id, float *x);
/* out[n_rows, HEAD_CHUNK]: of wanted rows [row, row + n_rows), ids from those of a panel on. */
void forward_device_logits(struct engine *e, float *out, int row, int n_rows, int i_panel, int n);
/* Of a pass with e->on_device: this shard's part of e->parts and e->judged, and the one thread's lists. */
void forward_device_head(struct engine *e);
/* In place of head_run, after a pass whose rows ask for more now (head_ask_more). */
void forward_device_head_again(void *engine, int i_thread);

#endif
