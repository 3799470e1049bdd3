/* head.cuh -- logits reduced to what a verdict needs: for each chunk of 1024 ids (ARITHMETIC.md, Head) its maximum, the
 * smallest id of it and the sum of exp; these merged; and the logits of a few ids. The bits are the contract's.
 *
 *   product ─▶ logits of as many ids as there is room for (they stay in L2) ─▶ head_chunks: block = a chunk and a row
 *                                                                                  └▶ head_merge_row: block = a row
 */
#ifndef KERNELS_CUDA_HEAD_CUH
#define KERNELS_CUDA_HEAD_CUH

#include "kernels/cuda/glue.cuh"

enum { HEAD_PARTS = 16 }; /* partial sums of a chunk: id i to partial i mod 16 */

struct head_args {
    const float *logits; /* [n_rows, ld] of ids `first` and on, a multiple of HEAD_CHUNK */
    size_t ld;
    int first;
    const int *limits;     /* [n_rows] ids that a row may have */
    head_part *parts;      /* [n_rows, ld_parts] */
    int n_parts, ld_parts; /* n_parts: of all ids */
    const int32_t *judge;  /* [n_rows, n_judge] */
    int n_judge;
    float *judged; /* the same */
};

struct logit {
    float at;
    int id;
};

/* Greater logit first, then the smaller id; of a block, in every thread. */
static __device__ logit block_best(logit best)
{
    __shared__ float of_warp[ROW_WARPS];
    __shared__ int id_of_warp[ROW_WARPS];
    for (int by = WARP / 2; by >= 1; by /= 2) {
        const float at = __shfl_xor_sync(0xffffffffu, best.at, by);
        const int id = __shfl_xor_sync(0xffffffffu, best.id, by);
        if (at > best.at || (at == best.at && id < best.id)) best = {at, id};
    }
    if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = best.at, id_of_warp[threadIdx.x / WARP] = best.id;
    __syncthreads();
    for (int i = 0; i < ROW_WARPS; i++)
        if (of_warp[i] > best.at || (of_warp[i] == best.at && id_of_warp[i] < best.id))
            best = {of_warp[i], id_of_warp[i]};
    return best;
}

static __global__ void __launch_bounds__(ROW_THREADS) head_chunks(head_args a)
{
    __shared__ float exps[HEAD_CHUNK];
    let_next_begin();
    wait_for_inputs();
    const int i_row = (int)blockIdx.y, in_piece = (int)blockIdx.x * HEAD_CHUNK, id = a.first + in_piece,
              most = a.limits[i_row] - id, n = most < HEAD_CHUNK ? most : HEAD_CHUNK, lane = (int)threadIdx.x;
    const float *logits = a.logits + (size_t)i_row * a.ld + in_piece;
    for (int j = lane; j < a.n_judge && id == 0; j += ROW_THREADS) {
        const int asked = a.judge[i_row * a.n_judge + j];
        if (asked < 0 || asked >= a.limits[i_row]) a.judged[i_row * a.n_judge + j] = -INFINITY;
    }
    if (n <= 0) return;
    logit best = {-INFINITY, INT32_MAX};
    for (int i = lane; i < n; i += ROW_THREADS)
        if (logits[i] > best.at || best.id == INT32_MAX) best = {logits[i], i};
    best = block_best(best);
    for (int i = lane; i < n; i += ROW_THREADS) exps[i] = expf_of(logits[i] - best.at);
    for (int j = lane; j < a.n_judge; j += ROW_THREADS) {
        const int i = a.judge[i_row * a.n_judge + j] - id;
        if (i >= 0 && i < n) a.judged[i_row * a.n_judge + j] = logits[i];
    }
    __syncthreads();
    if (lane >= WARP) return;
    float sum = 0.0f;
    for (int i = lane; i < n && lane < HEAD_PARTS; i += HEAD_PARTS) sum += exps[i];
    for (int by = HEAD_PARTS / 2; by >= 1; by /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
    if (lane == 0)
        a.parts[(size_t)i_row * (size_t)a.ld_parts + (size_t)(id / HEAD_CHUNK)] = {best.at, id + best.id, sum};
}

/* The chunks of a row in increasing order. What each does to the sum before it depends on maxima alone, so threads find
 * that side by side, and the chain is of fmaf. */
static __global__ void __launch_bounds__(ROW_THREADS) head_merge_row(head_args a)
{
    __shared__ float maxima[ROW_THREADS], sums[ROW_THREADS], by[ROW_THREADS];
    __shared__ int ids[ROW_THREADS];
    let_next_begin();
    wait_for_inputs();
    const int i_row = (int)blockIdx.x, limit = a.limits[i_row], i = (int)threadIdx.x,
              n = limit <= 0 ? 0 : (limit + HEAD_CHUNK - 1) / HEAD_CHUNK;
    const head_part *parts = a.parts + (size_t)i_row * (size_t)a.ld_parts;
    head_part all = {};
    for (int first = 0; first < n; first += ROW_THREADS) {
        const int here = n - first < ROW_THREADS ? n - first : ROW_THREADS;
        __syncthreads();
        if (i < here) maxima[i] = parts[first + i].max, sums[i] = parts[first + i].sum, ids[i] = parts[first + i].id;
        __syncthreads();
        float before = first ? all.max : maxima[0];
        for (int j = 0; j < i && j < here; j++) before = maxima[j] > before ? maxima[j] : before;
        if (i < here) by[i] = expf_of(maxima[i] > before ? before - maxima[i] : maxima[i] - before);
        __syncthreads();
        for (int j = 0; j < here; j++) { /* every thread: the next round reads all.max */
            if (first + j == 0)
                all = {maxima[0], ids[0], sums[0]};
            else if (maxima[j] > all.max)
                all = {maxima[j], ids[j], fmaf(all.sum, by[j], sums[j])};
            else
                all.sum = fmaf(sums[j], by[j], all.sum);
        }
    }
    if (i == 0 && n) a.parts[(size_t)i_row * (size_t)a.ld_parts + (size_t)a.n_parts] = all;
}

#endif
