/* mm_wide.cuh -- products of many token rows, such as a prompt's: weights are read once for 128 rows. The bits are those
 * of mm.cuh.
 *
 *   block = a tile of output rows at a time x 128 token rows, all of K;  warp = P panels x NT tiles of 8 of these rows
 *   ring of all warps: weights and x of a group, copied by 8 warps ─▶ chain of each part, one part after another
 *   └▶ sums of parts, kept by each thread until the tree adds them ─▶ times the row's undo and the site's ─▶ out
 *
 * NT = 16: the tile is 8 warps high, and each weight is decoded once. NT = 8: 4 warps high, and two decode it. Sums that
 * wait for their other half are in local memory: one block a multiprocessor leaves them the L1 cache. The loop over a
 * part's groups touches none of it.
 */
#ifndef KERNELS_CUDA_MM_WIDE_CUH
#define KERNELS_CUDA_MM_WIDE_CUH

#include "kernels/cuda/mm.cuh"

#include <limits.h>

enum {
    MM_WARPS = MM_THREADS / WARP,
    WIDE_BLOCKS = 2,                          /* of 64 token rows (layout_x) */
    WIDE_TILES = WIDE_BLOCKS * MM_MOST_TILES, /* and of 8 */
    WIDE_ROWS = WIDE_TILES * TILE,
    WIDE_X = MM_MOST_TILES * WARP * 16, /* bytes of X_STEPS of such a block */
    WIDE_X_COPIES = WIDE_BLOCKS * GROUP / X_STEPS,
    WIDE_WAITING = 3 /* sums of parts, of at most MAX_PARTS */
};

/* How many sums part i of n is the last of: the tree adds them up behind it. */
static PF_BOTH constexpr int tree_ends(int n, int i)
{
    int ends = 0;
    while (n > 1) {
        const int half = n / 2;
        ends += i == n - 1;
        n = i < half ? half : n - half;
        i = i < half ? i : i - half;
    }
    return ends;
}

static_assert(tree_ends(8, 0) == 0 && tree_ends(8, 3) == 2 && tree_ends(8, 7) == 3 && tree_ends(3, 1) == 0 &&
                  tree_ends(7, 2) == 2,
              "halves, split at n / 2");

/* A stage: weights [warps above each other], x [X_STEPS, WIDE_TILES]; then its barrier. */
template <enum quant TYPE, int NT, int P> struct wide_stage {
    static constexpr int high = NT * MM_WARPS / WIDE_TILES, weights = P * layout_group_of(TYPE).n_bytes,
                         x = high * weights, barrier = x + WIDE_X_COPIES * WIDE_X, stride = barrier + 16,
                         room = (NT == WIDE_TILES ? SHARED_80 : SHARED_LEAST) / stride, n = room < 4 ? room : 4;
};

/* What a warp copies of each stage: the weights of its place, if it is one of the first, and of the last ones x. */
struct wide_feed {
    const uint8_t *weights, *x;
    int left, part, unit; /* groups of the part */
};

template <enum quant TYPE, int NT, int P>
static __device__ __forceinline__ void feed_part(wide_feed &f, const mm_args &a, int warp, int first_block)
{
    const int panel = (f.unit * wide_stage<TYPE, NT, P>::high + warp) * P, last_panel = PAIR * a.l.n_pairs - P,
              i = warp - (MM_WARPS - WIDE_X_COPIES), block = first_block + i % WIDE_BLOCKS,
              last_block = (a.row + a.n_rows - 1) / (MM_MOST_TILES * TILE);
    f.left = a.l.group[f.part + 1] - a.l.group[f.part];
    f.weights =
        a.weights + layout_at(a.l, layout_group_of(TYPE).n_bytes, panel < last_panel ? panel : last_panel, f.part, 0);
    f.x = reinterpret_cast<const uint8_t *>(a.x) +
          (size_t)((block < last_block ? block : last_block) * (a.width_x / X_STEPS) + a.l.step[f.part] / 2 +
                   i / WIDE_BLOCKS) *
              WIDE_X;
}

/* From the last group of a part on to the next; false: there is none. */
template <enum quant TYPE, int NT, int P>
static __device__ __forceinline__ bool feed_goes_on(wide_feed &f, const mm_args &a, int unit_end, int warp,
                                                    int first_block)
{
    if (++f.part == a.l.n_parts) f.part = 0, f.unit++;
    f.left = INT_MAX;
    if (f.unit == unit_end) return false;
    feed_part<TYPE, NT, P>(f, a, warp, first_block);
    return true;
}

template <int BYTES>
static __device__ __forceinline__ void wide_copy(shared_at to, const uint8_t *from, shared_at full, int lane)
{
    if (has_bulk_copies()) {
        bulk_copy(to, from, BYTES, BYTES, full, lane);
    } else {
#pragma unroll
        for (int i = 0; i < BYTES; i += RING_LANES * RING_COPY)
            if (i + lane * RING_COPY < BYTES) copy_16(to + i + lane * RING_COPY, from + i + lane * RING_COPY);
    }
}

/* A stage, which no warp reads any more. */
template <enum quant TYPE, int NT, int P>
static __device__ __forceinline__ void feed_wide(wide_feed &f, shared_at stage, int warp, int lane)
{
    typedef wide_stage<TYPE, NT, P> s;
    const int i = warp - (MM_WARPS - WIDE_X_COPIES);
    if (warp < s::high) wide_copy<s::weights>(stage + warp * s::weights, f.weights, stage + s::barrier, lane);
    if (i >= 0) wide_copy<WIDE_X>(stage + s::x + i * WIDE_X, f.x, stage + s::barrier, lane);
    f.weights += PAIR * layout_group_of(TYPE).n_bytes;
    f.x += GROUP / X_STEPS * WIDE_X;
}

/* The tree: the newest part's sum, and those that wait for it. */
template <int N> struct tree_sums {
    float waiting[WIDE_WAITING][N];
    int n;
};

template <int N>
static __device__ __forceinline__ void tree_add(tree_sums<N> &t, float newest[N], int n_parts, int part)
{
#pragma unroll 1
    for (int i = tree_ends(n_parts, part); i > 0; i--) {
        t.n--;
#pragma unroll
        for (int k = 0; k < N; k++) newest[k] = t.waiting[t.n][k] + newest[k];
    }
    if (part + 1 == n_parts) return;
#pragma unroll
    for (int k = 0; k < N; k++) t.waiting[t.n][k] = newest[k];
    t.n++;
}

/* acc: of rows from first_row of the product's on, and of panels from one on; those that are the product's. */
template <int NT, int P>
static __device__ __forceinline__ void wide_store(const mm_args &a, const float acc[P][NT][4], int first_row, int panel,
                                                  int lane)
{
    float scale[P][2];
#pragma unroll
    for (int i = 0; i < 2 * P; i++) {
        const int at = panel + i / 2 < PAIR * a.l.n_pairs ? panel + i / 2 : 0;
        scale[i / 2][i % 2] =
            reinterpret_cast<const float *>(a.weights + a.l.undo)[at * PANEL + lane / 4 + i % 2 * 8] * a.undo;
    }
#pragma unroll
    for (int k = 0; k < 2 * NT; k++) {
        const int row = first_row + k / 2 * TILE + lane % 4 * 2 + k % 2;
        if (row < 0 || row >= a.n_rows) continue;
        float *out = a.out + (size_t)row * a.ld_out + (panel - a.first_panel) * PANEL + lane / 4;
#pragma unroll
        for (int p = 0; p < P; p++) {
            if (panel + p < a.first_panel || panel + p >= a.first_panel + a.n_panels) continue;
            out[p * PANEL] = acc[p][k / 2][k % 2] * scale[p][0];
            out[p * PANEL + 8] = acc[p][k / 2][2 + k % 2] * scale[p][1];
        }
    }
}

template <enum quant TYPE, int NT, int P> static __global__ void __launch_bounds__(MM_THREADS, 1) mm_wide(mm_args a)
{
    PF_DYNAMIC_SHARED(uint8_t, shared);
    typedef wide_stage<TYPE, NT, P> s;
    constexpr int n_panels = s::high * P;
    const int lane = (int)threadIdx.x % WARP, warp = uniform((int)threadIdx.x / WARP), lane_bytes = kept(lane * 16),
              first_block = a.row / (MM_MOST_TILES * TILE) + (int)blockIdx.y * WIDE_BLOCKS, tile = warp / s::high * NT,
              first_row = first_block * MM_MOST_TILES * TILE + tile * TILE - a.row, first = a.first_panel / n_panels,
              end_panel = a.first_panel + a.n_panels, n_units = (end_panel - 1) / n_panels - first + 1,
              unit = first + (int)blockIdx.x * n_units / (int)gridDim.x,
              unit_end = first + ((int)blockIdx.x + 1) * n_units / (int)gridDim.x;
    const shared_at begin = shared_at_of(shared), end = begin + s::n * s::stride;
    wide_feed f = {nullptr, nullptr, 0, 0, unit};
    shared_at stage = begin, behind = end - s::stride; /* what is read; what was read before it, and is filled now */
    int parity = 0;
    let_next_begin();
    if (has_bulk_copies() && threadIdx.x == 0) {
        for (int i = 0; i < s::n; i++) barrier_open(begin + i * s::stride + s::barrier, s::high + WIDE_X_COPIES);
        barriers_are_open();
    }
    __syncthreads();
    wait_for_inputs();
    feed_part<TYPE, NT, P>(f, a, warp, first_block);
    bool feeds = true; /* there are groups left */
#pragma unroll 1
    for (int i = 0; i < s::n - 1; i++) {
        if (feeds) feed_wide<TYPE, NT, P>(f, begin + i * s::stride, warp, lane);
        if (!has_bulk_copies()) copies_close_group();
        if (--f.left == 0) feeds = feed_goes_on<TYPE, NT, P>(f, a, unit_end, warp, first_block);
    }
#pragma unroll 1
    for (int i = unit; i < unit_end; i++) {
        float acc[P][NT][4];
        tree_sums<P * NT * 4> sums;
        sums.n = 0;
        const int panel = i * n_panels + warp % s::high * P;
        const bool works = first_row < a.n_rows && panel < end_panel;
#pragma unroll 1
        for (int part = 0; part < a.l.n_parts; part++) {
#pragma unroll
            for (int k = 0; k < P * NT * 4; k++) acc[k / (NT * 4)][k / 4 % NT][k % 4] = 0.0f;
            int n_left = a.l.group[part + 1] - a.l.group[part];
            while (n_left > 0) {
                const int n = n_left < f.left ? n_left : f.left; /* of one part what is read, of one what is fed */
#pragma unroll 1
                for (int group = 0; group < n; group++) {
                    if (has_bulk_copies())
                        barrier_wait(stage + s::barrier, parity);
                    else
                        copies_wait<s::n - 2>();
                    __syncthreads();
                    if (feeds) feed_wide<TYPE, NT, P>(f, behind, warp, lane);
                    if (!has_bulk_copies()) copies_close_group();
                    if (works)
                        chain<TYPE, NT, P, WIDE_TILES>(acc, stage + warp % s::high * s::weights,
                                                       stage + s::x + tile * WARP * 16 + lane_bytes, lane, lane_bytes);
                    behind = stage;
                    stage += s::stride;
                    if (stage == end) stage = begin, parity ^= 1;
                }
                n_left -= n;
                f.left -= n;
                if (f.left == 0) feeds = feed_goes_on<TYPE, NT, P>(f, a, unit_end, warp, first_block);
            }
            tree_add(sums, &acc[0][0][0], a.l.n_parts, part);
        }
        wide_store<NT, P>(a, acc, first_row, panel, lane);
    }
}

#endif
