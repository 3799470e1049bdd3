/* mpi_bridge.h -- rank 0's thread between its router and MPI, for it is the only one there that calls MPI.
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
int mpi_bridge_open(struct mpi_bridge **out, struct mpi_world *w, struct err *err);
/* From here on messages to peers of other ranks go through the bridge; back-off from spinning to 200 us. */
int mpi_bridge_run(struct mpi_bridge *p, struct router *o, const struct launch_config *t, struct err *err);
/* Sends the other ranks home if mpi_bridge_run never was; flushes what is queued, then MPI_Finalize on the bridge's
 * thread. An error that the bridge met is returned here; it also reaches the coordinator as a Fail message from the
 * bridge, so nothing waits for ever. After an error nothing is flushed or finalized (a lost peer would never
 * answer): what is left is mpi_abort. */
int mpi_bridge_close(struct mpi_bridge *p, struct err *err);

#endif
