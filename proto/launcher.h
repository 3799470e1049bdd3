/* launcher.h -- whether a launcher of MPI started this process, and how a rank works with scripts/mpirun, which
 * started the launcher. Never calls MPI.
 *
 *   scripts/mpirun ──starts──▶ the launcher (mpirun) ──starts──▶ every rank, and a stand-in for rank 0
 *        └──────────starts──▶ rank 0, with the stand-in's environment
 *
 * scripts/mpirun runs rank 0 itself, so rank 0 has its own terminal, files and signals, as in one process; the process
 * that the launcher started for it only waits, and ends with rank 0's code. Every rank of this host holds a connection
 * (an abstract socket, PILOTFISH_LAUNCHER): one that closes before "end CODE" is a lost rank. What ranks write:
 *
 *   rank N      it begins
 *   why TEXT    rank N > 0: what makes it end, one line, which is shown if rank 0 shows nothing
 *   end CODE    it ends by itself
 *   told 15     rank N > 0: the launcher ends it, by SIGTERM
 *   who 0       it waits for a rank that does not come; the answer is "stopped N", -1: none of this host is stopped
 *   run 0       rank 0 asks to be run. After it ran, the answer is "exit CODE"; if it cannot be run, "go 0": the
 *               stand-in becomes rank 0
 *
 * Before it ends rank 0 because another rank of this host is lost, the script writes "lost N SIGNAL" to it, 0 where it
 * does not know the signal.
 *
 * Rank 0 of another host finds no socket: it stays with the launcher, and writes so on standard error, because its
 * only way to scripts/mpirun is the launcher's pipe. Without PILOTFISH_LAUNCHER nothing of this is done.
 */
#ifndef PROTO_LAUNCHER_H
#define PROTO_LAUNCHER_H

#include <stdbool.h>

/* True under a launcher (OMPI_COMM_WORLD_SIZE, PMIX_RANK, PMI_RANK or SLURM_PROCID is set); then *rank and *size are
 * the launcher's own, -1 where it sets none. */
bool launcher_is_there(int *rank, int *size);

/* Called once, before anything is read or written. Returns in every process but the stand-in. From now on the process
 * ends with its parent. */
void launcher_join(int rank);
/* Why a rank that is not rank 0 ends by itself. False: nobody shows it. */
bool launcher_tell(const char *why);
/* The process ends by itself, and has printed its cause if the code is not 0. A signal handler may call it. */
void launcher_leave(int code);

/* Rank 0 has been told to end: which rank is lost, and the signal that ended it, 0: not known. False: that was not
 * said. */
bool launcher_lost(int *rank, int *signum);

/* A rank of this host that is stopped (SIGSTOP). False: there is none, or it is not known. */
bool launcher_stopped(int *rank);

/* The path of this program; "": not known. Borrowed for ever. */
const char *launcher_program(void);
/* True: this program is installed, and beside it the script, as pilotfish-mpirun. */
bool launcher_is_installed(void);
/* What a user types for it: scripts/mpirun, or pilotfish-mpirun. */
const char *launcher_script(void);

/* True: scripts/mpirun itself runs this process, as rank 0. */
bool launcher_is_direct(void);

#endif
