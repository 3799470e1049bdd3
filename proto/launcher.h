/* launcher.h -- whether a launcher of MPI started this process; what a rank has to do with scripts/mpirun, which
 * started the launcher: a line to it, and whose its standard files are. Never calls MPI.
 *
 *   scripts/mpirun ──starts──▶ the launcher (mpirun) ──starts──▶ every rank, and a stand-in for rank 0
 *        └──────────starts──▶ rank 0, with the stand-in's environment
 *
 * scripts/mpirun runs rank 0 itself, so its terminal, files and signals are rank 0's own, as in one process; the
 * process that the launcher started for it only waits and ends with rank 0's code. Every rank of this host holds a
 * connection (an abstract socket, PILOTFISH_LAUNCHER): one that closes before "end CODE" is a rank lost. What ranks
 * write:
 *
 *   rank N      it begins
 *   end CODE    it ends by itself
 *   run 0       rank 0 asks to be run. The answer, once it was, is "exit CODE"; where that fails, "go 0": the stand-in
 *               is rank 0 itself
 *
 * Rank 0 of another host finds no socket: it stays with the launcher, and tells so on standard error, for the
 * launcher's pipe is all that there is between them. Without PILOTFISH_LAUNCHER nothing of this is done.
 */
#ifndef PROTO_LAUNCHER_H
#define PROTO_LAUNCHER_H

#include <stdbool.h>

/* True under a launcher (OMPI_COMM_WORLD_SIZE, PMIX_RANK, PMI_RANK or SLURM_PROCID is set); then *rank and *size are
 * the launcher's own count, -1 where it does not say. */
bool launcher_is_there(int *rank, int *size);

/* Once, before anything is read or written. Returns in every process but the stand-in. From here on the process ends
 * with its parent. */
void launcher_join(int rank);
/* The process ends by itself, and told its cause if the code is not 0. A signal handler may call it. */
void launcher_leave(int code);

/* This is a rank 0 that scripts/mpirun runs itself. */
bool launcher_is_direct(void);

#endif
