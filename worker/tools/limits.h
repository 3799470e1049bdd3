/* limits.h -- the most that this machine can do now: bytes that plain loops read, and bare products of bytes. A pass
 * is bound by one of the two: it streams the weights once, and multiplies each of them with every row.
 *
 * Machines are shared and vary by the hour: compare a figure only with one that was taken in the same run.
 */
#ifndef WORKER_TOOLS_LIMITS_H
#define WORKER_TOOLS_LIMITS_H

/* Bytes a second that n_threads together read, over about `seconds`, from a block far larger than most caches; 0: not
 * enough memory or threads. */
double limits_read(int n_threads, double seconds);
/* The same, together with n_beside others: `ready` is called once, when this one can begin, and returns when all
 * can. */
double limits_read_beside(int n_threads, double seconds, int n_beside, void (*ready)(void *arg), void *arg);

/* Multiply-adds of bytes a second, of n_threads together over about `seconds`: vpdpbusd where the CPU has AVX-512 VNNI,
 * else AVX2's vpmaddubsw with the addition it lacks; 0 where it has neither. */
double limits_multiply(int n_threads, double seconds);

#endif
