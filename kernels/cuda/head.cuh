/* head.cuh -- logits reduced to what a verdict needs: for each chunk of 1024 ids (ARITHMETIC.md, Head) its maximum, the
 * smallest id of it and the sum of exp; these merged; and the logits of a few ids. The bits are the contract's.
 *
 *   product ─▶ logits of as many ids as there is room for (they stay in L2) ─▶ head_chunks: block = a chunk and a row
 *                                                                                  └▶ head_merge_row: block = a row
 *
 * Of rows that ask, with head_asks behind head_chunks and head_asks_row at the end: the greatest key (ARITHMETIC.md,
 * Sampling), whose noise is computed only for ids that may have it; and the best ids, by digits of numbers that are in
 * their order. Threads count and keep in any order: the sets are the same, and only sets go on, until ranks place them.
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
    const device_ask *asks;
    int first_id, n_best;
    head_pick *picks;  /* [n_rows, ld_parts]: of chunks, and of a row behind them */
    uint64_t *offered; /* [n_rows, n_parts, n_best]: rank_of; 0: none */
    device_best *best; /* [n_rows, n_best] */
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
    __syncthreads(); /* those of an earlier one are read */
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

/* ---- what rows ask for ---- */

/* The greatest key of a chunk, and its place there; INT32_MAX: none. Bounds first: they leave a few ids. */
static __device__ logit greatest_key(const head_args &a, const device_ask &ask, const float *logits, int first, int n)
{
    enum { EACH = HEAD_CHUNK / ROW_THREADS };
    uint32_t draws[EACH];
    logit least = {-INFINITY, INT32_MAX}, best = least;
    for (int j = 0; j < EACH; j++) {
        const int i = (int)threadIdx.x + j * ROW_THREADS;
        if (i >= n) break;
        draws[j] = draw_of(ask.seed, ask.sample, ask.position, (uint32_t)(a.first_id + first + i));
        const float at = fmaf(logits[i], ask.inv_t, gumbel_least(draws[j]));
        if (at > least.at) least = {at, i};
    }
    least = block_best(least);
    for (int j = 0; j < EACH; j++) {
        const int i = (int)threadIdx.x + j * ROW_THREADS;
        if (i >= n) break;
        if (fmaf(logits[i], ask.inv_t, gumbel_most(draws[j])) < least.at) continue;
        const float key = fmaf(logits[i], ask.inv_t, gumbel_of(draws[j]));
        if (key > best.at || (key == best.at && i < best.id)) best = {key, i};
    }
    return block_best(best);
}

/* Greater logit first, then the smaller id; -0 = +0, but it is kept. Never 0. */
static __device__ uint64_t rank_of(float logit, int id)
{
    const uint32_t bits = __float_as_uint(logit), sign = 0x80000000u;
    const uint32_t ordered = bits == sign ? sign : bits & sign ? ~bits : bits | sign;
    return (uint64_t)ordered << 32 | (uint32_t)(INT32_MAX - id) << 1 | (bits == sign);
}

static __device__ device_best of_rank(uint64_t rank)
{
    const uint32_t ordered = (uint32_t)(rank >> 32), sign = 0x80000000u;
    const uint32_t bits = rank & 1 ? sign : ordered & sign ? ordered ^ sign : ~ordered;
    return {INT32_MAX - (int32_t)((uint32_t)rank >> 1), __uint_as_float(bits)};
}

struct digit {
    unsigned is, above, here; /* ranks of greater digits; of this one */
};

/* The digit with the nth greatest rank, by a warp; in shared memory when the block has met. */
static __device__ void find_digit(digit *found, const unsigned counts[ROW_THREADS], unsigned nth)
{
    enum { EACH = ROW_THREADS / WARP };
    const int lane = (int)threadIdx.x;
    unsigned own = 0;
    for (int i = 0; i < EACH; i++) own += counts[lane * EACH + i];
    unsigned sum = own; /* of this lane's digits and all above */
    for (int by = 1; by < WARP; by *= 2) {
        const unsigned other = __shfl_down_sync(0xffffffffu, sum, (unsigned)by);
        if (lane + by < WARP) sum += other;
    }
    unsigned above = sum - own;
    if (above >= nth || sum < nth) return;
    int i = lane * EACH + EACH - 1;
    for (; above + counts[i] < nth; i--) above += counts[i];
    *found = {(unsigned)i, above, counts[i]};
}

/* The least of the nth greatest of ranks[n], n > nth, or a number between it and the next one below; zeros may be equal.
 * 8 bits at a time, from the top. */
static __device__ uint64_t nth_rank(const uint64_t *ranks, int n, int nth)
{
    __shared__ unsigned counts[ROW_THREADS];
    __shared__ digit found;
    uint64_t known = 0;
    unsigned left = (unsigned)nth;
    for (int shift = 56; shift >= 0; shift -= 8) {
        counts[threadIdx.x] = 0;
        __syncthreads();
        for (int i = (int)threadIdx.x; i < n; i += ROW_THREADS)
            if (shift == 56 || ranks[i] >> (shift + 8) == known) atomicAdd(&counts[ranks[i] >> shift & 255], 1u);
        __syncthreads();
        if (threadIdx.x < WARP) find_digit(&found, counts, left);
        __syncthreads();
        known = known << 8 | found.is;
        left -= found.above;
        if (found.here == left) return known << shift;
    }
    return known;
}

/* A chunk's greatest key, and its best ids. */
static __global__ void __launch_bounds__(ROW_THREADS) head_asks(head_args a)
{
    __shared__ uint64_t ranks[HEAD_CHUNK];
    __shared__ unsigned n_kept;
    let_next_begin();
    wait_for_inputs();
    const int i_row = (int)blockIdx.y, in_piece = (int)blockIdx.x * HEAD_CHUNK, id = a.first + in_piece,
              most = a.limits[i_row] - id, n = most < HEAD_CHUNK ? most : HEAD_CHUNK, lane = (int)threadIdx.x,
              chunk = id / HEAD_CHUNK, n_best = a.n_best;
    const float *logits = a.logits + (size_t)i_row * a.ld + in_piece;
    if (n <= 0) return;
    const device_ask ask = a.asks[i_row];
    if (ask.inv_t > 0.0f) {
        const logit best = greatest_key(a, ask, logits, id, n);
        head_pick *to = &a.picks[(size_t)i_row * (size_t)a.ld_parts + (size_t)chunk];
        if (lane == 0 && best.id == INT32_MAX) *to = {-INFINITY, -INFINITY, INT32_MAX};
        if (lane == 0 && best.id != INT32_MAX) *to = {best.at, logits[best.id], id + best.id};
    }
    if (!ask.best || n_best == 0) return;
    uint64_t *to = a.offered + ((size_t)i_row * (size_t)a.n_parts + (size_t)chunk) * (size_t)n_best;
    if (lane == 0) n_kept = 0;
    for (int i = lane; i < n; i += ROW_THREADS) ranks[i] = rank_of(logits[i], id + i);
    __syncthreads();
    const uint64_t least = n > n_best ? nth_rank(ranks, n, n_best) : 0;
    for (int i = lane; i < n; i += ROW_THREADS)
        if (ranks[i] >= least) to[atomicAdd(&n_kept, 1u)] = ranks[i];
    for (int i = n + lane; i < n_best; i += ROW_THREADS) to[i] = 0;
}

static __device__ void best_of_row(const head_args &a, int i_row, int n)
{
    __shared__ uint64_t kept[HEAD_CHUNK];
    __shared__ unsigned n_kept;
    const uint64_t *offered = a.offered + (size_t)i_row * (size_t)a.n_parts * (size_t)a.n_best;
    device_best *to = a.best + (size_t)i_row * (size_t)a.n_best;
    const int lane = (int)threadIdx.x, n_offered = n * a.n_best;
    if (lane == 0) n_kept = 0;
    const uint64_t least = n_offered > a.n_best ? nth_rank(offered, n_offered, a.n_best) : 0;
    __syncthreads();
    for (int i = lane; i < n_offered; i += ROW_THREADS)
        if (offered[i] && offered[i] >= least) kept[atomicAdd(&n_kept, 1u)] = offered[i];
    __syncthreads();
    const int n_best = (int)n_kept;
    for (int i = lane; i < a.n_best; i += ROW_THREADS) {
        int at = 0;
        for (int j = 0; j < n_best && i < n_best; j++) at += kept[j] > kept[i];
        if (i < n_best)
            to[at] = of_rank(kept[i]);
        else
            to[i] = {INT32_MAX, -INFINITY};
    }
}

/* Those of a row's chunks. */
static __global__ void __launch_bounds__(ROW_THREADS) head_asks_row(head_args a)
{
    let_next_begin();
    wait_for_inputs();
    const int i_row = (int)blockIdx.x, limit = a.limits[i_row], n = (limit + HEAD_CHUNK - 1) / HEAD_CHUNK;
    head_pick *picks = a.picks + (size_t)i_row * (size_t)a.ld_parts;
    if (limit < 0) return;
    const device_ask ask = a.asks[i_row];
    logit best = {-INFINITY, INT32_MAX};
    for (int i = (int)threadIdx.x; i < n && ask.inv_t > 0.0f; i += ROW_THREADS)
        if (picks[i].key > best.at || (picks[i].key == best.at && picks[i].id < best.id))
            best = {picks[i].key, picks[i].id};
    best = block_best(best);
    if (threadIdx.x == 0 && best.id == INT32_MAX) picks[a.n_parts] = {-INFINITY, -INFINITY, INT32_MAX};
    if (threadIdx.x == 0 && best.id != INT32_MAX) picks[a.n_parts] = picks[best.id / HEAD_CHUNK];
    if (a.n_best) best_of_row(a, i_row, ask.best ? n : 0);
}

#endif
