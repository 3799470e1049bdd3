/* mpi_bridge.h -- rank 0's thread between its router and MPI: the only thread of rank 0 that calls MPI.
 *
 *   router ──gate──▶ bridge ──▶ MPI        messages to peers of other ranks
 *   router ◀── router_deliver ── bridge ◀── MPI
 */
#ifndef PROTO_MPI_BRIDGE_H
#define PROTO_MPI_BRIDGE_H

#include "proto/err.h"
#include "proto/launch_config.h"
#include "proto/mail_mpi.h"
#include "proto/router.h"

struct mpi_bridge;
/* Starts the thread, which calls mpi_start; returns when that is done, with *w set. */
int mpi_bridge_open(struct mpi_bridge **out, struct mpi_world *w, int start_s, struct err *err);
/* From now on messages to peers of other ranks go through the bridge, which backs off from spinning to longer
 * and longer sleeps (backoff.h). */
int mpi_bridge_run(struct mpi_bridge *p, struct router *o, const struct launch_config *t, struct err *err);
/* Ends the other ranks if mpi_bridge_run was not called; flushes what is queued, then calls MPI_Finalize on the
 * bridge's thread. Returns the error that the bridge met, if any; the coordinator also gets it as a Fail message from
 * the bridge, so nothing waits for ever. After an error nothing is flushed or finalized (a lost peer would never
 * answer): the caller calls mpi_abort. */
int mpi_bridge_close(struct mpi_bridge *p, struct err *err);

#endif
