/* attend.cuh -- attention over the cache, in chunks of 256 absolute positions, merged in increasing order.
 *
 *   block = a token row and a query head;  thread i = position i of the chunk, then element i of the output
 *
 * Orders: a score is a chain of fmaf over the head's elements; the sum of a chunk as block_sum has it; P.V of 32
 * positions by increasing position, then the eight by halves. All of it by absolute position, so that neither rows nor
 * batch nor the split of the work shows. The ladder: this rung walks the chunks of a row in one block, a head at a
 * time. Next: a block a chunk, heads of a group and rows together on mma, as the same definition allows or a new one.
 */
#ifndef KERNELS_CUDA_ATTEND_CUH
#define KERNELS_CUDA_ATTEND_CUH

#include "kernels/cuda/glue.cuh"

enum { ATTEND_MOST = ROW_THREADS }; /* of a head */
static_assert((int)ROW_THREADS == (int)ATTN_CHUNK, "a thread a position");

struct attend_args {
    const float *q; /* [n_rows, ld_q] scaled already */
    float *out;     /* [n_rows, ld_out] */
    size_t ld_q, ld_out;
    cache_args cache;
    int n_window;
    int group, head_at; /* heads that share a KV head; place of the first one among these */
};

/* O of this chunk, element i of thread i; part: [8, d]. p is 0 at positions that are not seen, whose V is not read. */
static __device__ float chunk_output(const uint16_t *values, int d, const float *p, float *part, int from, int to)
{
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    for (int i = lane; i < d; i += WARP) {
        float o = 0.0f;
        for (int j = warp * WARP; j < (warp + 1) * WARP; j++)
            if (j >= from && j < to) o = fmaf(p[j], f16_value(values[(size_t)j * (size_t)d + (size_t)i]), o);
        part[warp * d + i] = o;
    }
    __syncthreads();
    if ((int)threadIdx.x >= d) return 0.0f;
    const float *at = part + threadIdx.x;
    return ((at[0] + at[4 * d]) + (at[2 * d] + at[6 * d])) + ((at[d] + at[5 * d]) + (at[3 * d] + at[7 * d]));
}

static __global__ void __launch_bounds__(ROW_THREADS) attend(attend_args a)
{
    PF_DYNAMIC_SHARED(float, shared); /* q [d], p [256], part [8, d] */
    const int row = (int)blockIdx.y, head = (int)blockIdx.x, d = a.cache.d, i = (int)threadIdx.x;
    const int pos = a.cache.rows[row].pos, first = a.n_window && pos >= a.n_window ? pos + 1 - a.n_window : 0;
    const int head_kv = (head + a.head_at) / a.group;
    float *q = shared, *p = q + d, *part = p + ATTN_CHUNK, max = 0.0f, sum = 0.0f, out = 0.0f;
    if (i < d) q[i] = a.q[(size_t)row * a.ld_q + (size_t)(head * d + i)];
    for (int chunk = first / ATTN_CHUNK * ATTN_CHUNK; chunk <= pos; chunk += ATTN_CHUNK) {
        const int from = first > chunk ? first - chunk : 0,
                  to = pos + 1 - chunk < ATTN_CHUNK ? pos + 1 - chunk : ATTN_CHUNK;
        const uint16_t *key = a.cache.keys + cache_at(a.cache, row, head_kv, chunk + i);
        const bool seen = i >= from && i < to;
        float score = -INFINITY;
        __syncthreads(); /* q is there; p and part of the chunk before are read */
        if (seen) {
            score = 0.0f;
            for (int j = 0; j < d; j++) score = fmaf(q[j], f16_value(key[j]), score);
        }
        const float chunk_max = block_max(score);
        p[i] = seen ? expf_of(score - chunk_max) : 0.0f;
        const float chunk_sum = block_sum(p[i]); /* its barriers: p is there */
        const float o = chunk_output(a.cache.values + cache_at(a.cache, row, head_kv, chunk), d, p, part, from, to);
        if (chunk <= first) {
            max = chunk_max, sum = chunk_sum, out = o;
        } else if (chunk_max > max) {
            const float by = expf_of(max - chunk_max);
            sum = fmaf(sum, by, chunk_sum), out = fmaf(out, by, o), max = chunk_max;
        } else {
            const float by = expf_of(chunk_max - max);
            sum = fmaf(chunk_sum, by, sum), out = fmaf(o, by, out);
        }
    }
    if (i < d) a.out[(size_t)row * a.ld_out + (size_t)(head * d + i)] = out / sum;
}

#endif
