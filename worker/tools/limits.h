/* limits.h -- what this machine can do at most, now: bytes that plain loops read, and bare products of bytes. A pass is
 * bound by one or the other: it streams the weights once, and multiplies each with every row.
 *
 * Machines are shared and vary by the hour: a figure means something only beside another taken in the same run.
 */
#ifndef WORKER_TOOLS_LIMITS_H
#define WORKER_TOOLS_LIMITS_H

/* Bytes a second that n_threads together read, over about `seconds`, from a block far larger than most caches; 0 where
 * memory or threads are short. */
double limits_read(int n_threads, double seconds);

/* Multiply-adds of bytes a second, of n_threads together over about `seconds`: vpdpbusd where the CPU has AVX-512 VNNI,
 * else AVX2's vpmaddubsw with the addition it lacks; 0 where it has neither. */
double limits_multiply(int n_threads, double seconds);

#endif
