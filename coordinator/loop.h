/* loop.h -- libuv's loop, where it lacks something: an error, or the program's end, in place of an abort. */
#ifndef COORDINATOR_LOOP_H
#define COORDINATOR_LOOP_H

#include <uv.h>

#include "proto/err.h"

int loop_open(uv_loop_t *loop, struct err *err);
void loop_close(uv_loop_t *loop); /* and every handle on it */

#endif
