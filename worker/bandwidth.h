/* bandwidth.h -- how fast plain loops read this machine's memory now: the speed limit of a pass, which streams the weights.
 *
 * Machines are shared and vary by the hour: a figure means something only beside another taken in the same run.
 */
#ifndef WORKER_BANDWIDTH_H
#define WORKER_BANDWIDTH_H

/* Bytes a second that n_threads together read, over about `seconds`, from a block far larger than most caches; 0 where
 * memory or threads are short. */
double bandwidth_read(int n_threads, double seconds);

#endif
