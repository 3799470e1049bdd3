/* mm.cuh -- products: weights as the 16-row side of mma, token rows as its 8 columns. One family for every number of
 * rows; the bits are ARITHMETIC.md's, arithmetic id 2.
 *
 *   block = P panels of 16 output rows at a time, one P after another, x 8 NT token rows;  warp w = part w of K of each
 *   warp: ring of copies of its weights, across panels ─▶ a chain of mma for each panel and tile, a step after another
 *   └▶ sums of the parts in shared memory ─▶ fixed tree ─▶ times the row's undo and the site's ─▶ out
 *
 * A warp fills and reads a ring of its own (ring.cuh), so that no warp waits for another but where parts meet. The ring
 * is filled before the kernel waits for its inputs: weights do not change. The loop over groups has no bounds but its
 * end: parts are whole groups, and columns past the rows are whatever lies there, as no two columns of a mma meet.
 *
 * The ladder, of the same bits: this rung has two panels a warp, which share what is read of x. For at most 64 token rows
 * the next is mm_cluster.cuh: a block a part, whose warps share x; this one is for cards without clusters, and for
 * slices of x that have no room. For more rows there is mm_wide.cuh: tiles that read weights once for 128.
 */
#ifndef KERNELS_CUDA_MM_CUH
#define KERNELS_CUDA_MM_CUH

#include "kernels/cuda/layout.h"
#include "kernels/cuda/math.cuh"
#include "kernels/cuda/ring.cuh"

enum { MM_THREADS = MAX_PARTS * WARP, MM_MOST_TILES = 8 };
/* What a card gives a block which asks for it: those before Hopper but sm_80, and that. */
enum { SHARED_LEAST = 99 << 10, SHARED_80 = 163 << 10 };

struct mm_args {
    const uint8_t *weights;
    layout l;
    int first_panel, n_panels;
    int n_in, copy_bytes;     /* of P groups */
    const uint16_t *x;        /* f16 or bf16, as layout_x */
    const float *x32;         /* [.., width_x] as they are: for F32 */
    int width_x, row, n_rows; /* of x: rows from `row` on */
    float *out;               /* [n_rows, ld_out] */
    size_t ld_out;
    float undo; /* of the site's power of two */
};

/* ---- decoding ---- */

static __device__ __forceinline__ __half2 half2_of(uint32_t word)
{
    __half2 h;
    memcpy(&h, &word, sizeof h);
    return h;
}

static __device__ __forceinline__ uint32_t word_of(__half2 h)
{
    uint32_t word;
    memcpy(&word, &h, sizeof word);
    return word;
}

static __device__ __forceinline__ __half2 both_halves(int bits)
{
    return half2_of((uint32_t)bits * 0x10001u);
}

/* What a mask leaves of both halves of a word, as 1024 + that in f16. */
static __device__ __forceinline__ uint32_t above_1024(uint32_t word, uint32_t mask)
{
    return and_or(word, mask * 0x10001u, 0x64006400u);
}

/* 1024 + q 2^field_shift of a pair, from where layout_place has it. */
template <int BITS> static __device__ __forceinline__ uint32_t field_of(const uint32_t words[BITS], int step, int pair)
{
    const int of_group = step * 4 + pair, of_two = of_group % 8;
    if constexpr (BITS == 4) {
        return above_1024(words[step] >> pair / 2 * 8, pair % 2 ? 0x00f0 : 0x000f);
    } else if constexpr (BITS == 5) {
        if (of_group == 15)
            return and_or(words[4] >> 6, 0x02000200u,
                          and_or(words[3] >> 7, 0x01000100u,
                                 and_or(words[2] >> 8, 0x00800080u,
                                        and_or(words[1] >> 9, 0x00400040u, above_1024(words[0] >> 10, 0x20)))));
        const uint32_t word = words[of_group / 3];
        return above_1024(of_group % 3 == 2 ? word >> 10 : word, of_group % 3 == 1 ? 0x3e0 : 0x1f);
    } else if constexpr (BITS == 6) {
        const uint32_t *of = words + step / 2 * 3;
        if (of_two < 6) return above_1024(of[of_two / 2] >> of_two % 2 * 6, 0x3f);
        return and_or(of[2] >> (2 * of_two - 4), 0x00300030u, above_1024(of[of_two - 6] >> 6, 0x3c0));
    } else {
        static_assert(BITS == 8, "bytes");
        return __byte_perm(words[2 * step + pair / 2], 0x64646464u, pair % 2 ? 0x4342 : 0x4140);
    }
}

static PF_BOTH constexpr int field_shift(int bits, int step, int pair)
{
    const int of_group = step * 4 + pair;
    switch (bits) {
    case 4: return pair % 2 * 4;
    case 5: return of_group == 15 || of_group % 3 == 1 ? 5 : 0;
    case 6: return of_group % 8 >= 6 ? 4 : 0;
    default: return 0;
    }
}

/* Two weights: q is exact (1024 + offset or its like is taken away, which f16 holds); then q scale + min, rounded once.
 * scale and min are of rows g and g + 8. */
template <enum quant TYPE>
static __device__ __forceinline__ uint32_t weights_of(const uint32_t *words, int step, int pair, uint32_t scale,
                                                      uint32_t min)
{
    constexpr layout_format f = layout_format_of(TYPE);
    const int shift = field_shift(f.bits, step, pair), zero = ((25 - shift) << 10) + (f.offset << shift);
    const __half2 field = half2_of(field_of<f.bits>(words, step, pair)), s = half2_of(scale), m = half2_of(min);
    const __half2 q = shift ? __hfma2(field, both_halves((15 - shift) << 10), both_halves(zero | 0x8000))
                            : __hsub2(field, both_halves(zero));
    return word_of(
        __hfma2(q, pair % 2 ? __high2half2(s) : __low2half2(s), pair % 2 ? __high2half2(m) : __low2half2(m)));
}

/* AT: shared_at, or a pointer. */
template <int N, class AT> static __device__ __forceinline__ void load_words(uint32_t *to, AT from)
{
    if constexpr (N == 1) {
        to[0] = load_1(from);
    } else if constexpr (N == 2) {
        const uint2 v = load_2(from);
        to[0] = v.x, to[1] = v.y;
    } else if constexpr (N >= 4) {
        const uint4 v = load_4(from);
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
        load_words<N - 4>(to + 4, from + 16);
    }
}

/* A lane's words of a group, in shared memory or elsewhere. Floats are read step by step. */
template <enum quant TYPE> struct lane_words {
    static constexpr layout_format f = layout_format_of(TYPE);
    static constexpr layout_group g = layout_group_of(TYPE);
    uint32_t words[f.bits < 16 ? f.bits : 1], scales[f.bits < 16 ? g.n_scale_words : 1];

    template <class AT> __device__ __forceinline__ void load(AT group, int lane, int lane_bytes)
    {
        if constexpr (f.bits < 16) {
            load_words<4>(words, group + lane_bytes);
            load_words<f.bits - 4>(words + 4, group + g.high + lane * (f.bits - 4) * 4);
            load_words<g.n_scale_words>(scales, group + g.scales + lane / 4 * g.n_scale_words * 4);
        }
    }

    /* The fragment of A of a step. */
    template <class AT> __device__ __forceinline__ void step_of(uint32_t w[4], AT group, int step, int lane_bytes) const
    {
        if constexpr (f.bits >= 16) {
            load_words<4>(w, group + layout_float(step, 0, 0) + lane_bytes);
        } else {
            const int i = step * STEP / f.n_scale * (1 + f.has_min);
#pragma unroll
            for (int p = 0; p < 4; p++)
                w[p] = weights_of<TYPE>(words, step, p, scales[i], f.has_min ? scales[i + 1] : 0);
        }
    }
};

/* ---- a part ---- */

/* Fragment i of those behind x, in global or shared memory. */
static __device__ __forceinline__ uint4 fragment(const uint4 *x, int i)
{
    return x[i];
}

static __device__ __forceinline__ uint4 fragment(shared_at x, int i)
{
    return load_4(x + i * 16);
}

/* A group of P panels, the second's `group_bytes` behind the first's; x: the lane's of the first of NT tiles, of OF that
 * lie beside each other. */
template <enum quant TYPE, int NT, int P, int OF = NT, class X>
static __device__ __forceinline__ void chain(float acc[P][NT][4], shared_at group, X x, int lane, int lane_bytes)
{
    constexpr int group_bytes = layout_group_of(TYPE).n_bytes;
    lane_words<TYPE> of[P];
#pragma unroll
    for (int p = 0; p < P; p++) of[p].load(group + p * group_bytes, lane, lane_bytes);
#pragma unroll
    for (int two = 0; two < GROUP_STEPS / 2; two++) {
        uint32_t w[P][2][4];
#pragma unroll
        for (int i = 0; i < 2 * P; i++)
            of[i / 2].step_of(w[i / 2][i % 2], group + i / 2 * group_bytes, 2 * two + i % 2, lane_bytes);
#pragma unroll
        for (int j = 0; j < NT; j++) {
            const uint4 b = fragment(x, (two * OF + j) * WARP);
            const uint32_t of_step[2][2] = {{b.x, b.y}, {b.z, b.w}};
#pragma unroll
            for (int i = 0; i < 2 * P; i++) {
                if (TYPE == QUANT_BF16)
                    mma_bf16(acc[i % P][j], w[i % P][i / P], of_step[i / P]);
                else
                    mma_f16(acc[i % P][j], w[i % P][i / P], of_step[i / P]);
            }
        }
    }
}

/* ---- merging parts ---- */

/* N numbers, `stride` apart: halves, split at N / 2. */
template <int N> static __device__ __forceinline__ float tree(const float *x, int stride)
{
    if constexpr (N == 1)
        return *x;
    else
        return tree<N / 2>(x, stride) + tree<N - N / 2>(x + N / 2 * stride, stride);
}

static __device__ __forceinline__ float tree_of(int n, const float *x, int stride)
{
    switch (n) {
    case 1: return tree<1>(x, stride);
    case 2: return tree<2>(x, stride);
    case 3: return tree<3>(x, stride);
    case 4: return tree<4>(x, stride);
    case 5: return tree<5>(x, stride);
    case 6: return tree<6>(x, stride);
    case 7: return tree<7>(x, stride);
    default: return tree<8>(x, stride);
    }
}

/* Bytes of the sums of parts. */
static PF_BOTH constexpr int mm_n_sums(int n_tiles)
{
    return MAX_PARTS * n_tiles * 4 * WARP * (int)sizeof(float);
}

/* Stages of a ring: of 8 warps 50 to 100 KB, as many as must be under way for the memory's whole rate; of one panel
 * each as many as every card has room for. */
static PF_BOTH constexpr int mm_stages(enum quant type, int n_panels)
{
    const int bits = layout_format_of(type).bits,
              room = (SHARED_LEAST - mm_n_sums(MM_MOST_TILES)) / MAX_PARTS / (layout_group_of(type).n_bytes + 16),
              n = bits >= 16  ? 3
                  : bits == 4 ? 6
                  : bits == 5 ? 5
                              : 4;
    return n_panels > 1 ? n : 2 * n < room ? 2 * n : room;
}

template <enum quant TYPE, int P> using mm_ring = ring<mm_stages(TYPE, P), P * layout_group_of(TYPE).n_bytes>;

/* Rings [8], their barriers, sums of parts [8, 4 n_tiles, 32]. */
template <enum quant TYPE, int NT, int P> static constexpr size_t mm_n_shared()
{
    return (size_t)(MAX_PARTS * mm_ring<TYPE, P>::n_bytes() + mm_n_sums(NT));
}

/* What a warp fills its ring with: the groups of its part, of P panels after others. */
struct mm_feed {
    const uint8_t *at;
    int left, panel; /* of one panel alone: groups left of it */
};

/* One panel's groups are every second one of its pair; from its last one on to the next panel. */
template <enum quant TYPE, int P>
static __device__ __forceinline__ void feed(mm_feed &f, mm_ring<TYPE, P> &r, int n_groups, int lane)
{
    constexpr int group_bytes = layout_group_of(TYPE).n_bytes;
    ring_fill(r, f.at, lane);
    f.at += PAIR * group_bytes;
    if (P == PAIR || --f.left) return;
    f.left = n_groups;
    f.at += (f.panel++ % 2 ? -1 : 1 - 2 * n_groups) * group_bytes;
}

/* Warps past the parts only meet the others at barriers. A block has its share of the panels, P at a time. */
template <enum quant TYPE, int NT, int P> static __global__ void __launch_bounds__(MM_THREADS, PF_BESIDE) mm(mm_args a)
{
    PF_DYNAMIC_SHARED(uint8_t, shared);
    constexpr int group_bytes = layout_group_of(TYPE).n_bytes, size = NT * 4 * WARP;
    const int lane = (int)threadIdx.x % WARP, part = uniform((int)threadIdx.x / WARP),
              row_block = a.row / (NT * TILE) + (int)blockIdx.y, first = a.first_panel / P,
              n_units = (a.first_panel + a.n_panels - 1) / P - first + 1,
              unit = first + (int)blockIdx.x * n_units / (int)gridDim.x,
              unit_end = first + ((int)blockIdx.x + 1) * n_units / (int)gridDim.x;
    const int lane_bytes = kept(lane * 16); /* of 16 a lane */
    const bool works = part < a.l.n_parts;
    const int n_groups = works ? a.l.group[part + 1] - a.l.group[part] : 0;
    mm_ring<TYPE, P> r;
    float *parts = reinterpret_cast<float *>(shared + MAX_PARTS * mm_ring<TYPE, P>::n_bytes());
    mm_feed f = {works ? a.weights + layout_at(a.l, group_bytes, unit * P, part, 0) : nullptr, n_groups, unit};
    let_next_begin();
    ring_open(r, shared_at_of(shared + part * r.n_bytes()), a.copy_bytes, lane);
    int n = (unit_end - unit) * n_groups; /* copies left */
#pragma unroll 1
    for (int k = 0; k < mm_stages(TYPE, P); k++) {
        if (n > 0)
            feed<TYPE, P>(f, r, n_groups, lane);
        else
            ring_fill_none(r);
        n--;
    }
    ring_begin(r);
    wait_for_inputs();
    const uint4 *x = reinterpret_cast<const uint4 *>(a.x) + lane +
                     (row_block * (a.width_x / X_STEPS) + (works ? a.l.step[part] / 2 : 0)) * NT * WARP;
    for (int i = unit; i < unit_end; i++) {
        float acc[P][NT][4] = {};
        const uint4 *x_at = x;
        const int n_fed = n < 0 ? 0 : n < n_groups ? n : n_groups;
        n -= n_groups;
        /* Two rounds of stages that take turns in registers: then their parities are again as they were. */
#pragma unroll(mm_stages(TYPE, P) <= 3 ? 2 * mm_stages(TYPE, P) : 1)
        for (int group = 0; group < n_fed; group++) {
            chain<TYPE, NT, P>(acc, ring_wait(r), x_at, lane, lane_bytes);
            x_at += 2 * NT * WARP;
            __syncwarp();
            feed<TYPE, P>(f, r, n_groups, lane);
        }
#pragma unroll 1
        for (int group = n_fed; group < n_groups; group++) { /* the last ones of the block */
            chain<TYPE, NT, P>(acc, ring_wait(r), x_at, lane, lane_bytes);
            x_at += 2 * NT * WARP;
            __syncwarp();
            ring_fill_none(r);
        }
#pragma unroll
        for (int p = 0; p < P; p++) {
            const int panel = i * P + p, column = (panel - a.first_panel) * PANEL;
            const float *undo = reinterpret_cast<const float *>(a.weights + a.l.undo) + panel * PANEL;
            if (works)
#pragma unroll
                for (int k = 0; k < NT * 4; k++) parts[part * size + k * WARP + lane] = acc[p][k / 4][k % 4];
            __syncthreads();
            for (int e = (int)threadIdx.x; e < size; e += MM_THREADS) {
                const int l = e % WARP, k = e / WARP % 4, j = e / WARP / 4, row_out = l / 4 + k / 2 * 8,
                          row = (row_block * NT + j) * TILE + 2 * (l % 4) + k % 2 - a.row;
                if (row >= 0 && row < a.n_rows && panel >= a.first_panel && panel < a.first_panel + a.n_panels)
                    a.out[(size_t)row * a.ld_out + (size_t)(column + row_out)] =
                        tree_of(a.l.n_parts, parts + e, size) * (undo[row_out] * a.undo);
            }
            __syncthreads(); /* parts are read */
        }
    }
}

/* F32 weights, for toys: the chain of a part is fmaf over k. A thread an output. */
static __global__ void __launch_bounds__(PANEL *TILE) mm_f32(mm_args a)
{
    constexpr int group_bytes = layout_group_of(QUANT_F32).n_bytes;
    const int r = (int)threadIdx.x % PANEL, row = (int)blockIdx.y * TILE + (int)threadIdx.x / PANEL,
              panel = a.first_panel + (int)blockIdx.x;
    const float *x = a.x32 + (size_t)(a.row + row) * (size_t)a.width_x;
    float parts[MAX_PARTS];
    let_next_begin();
    wait_for_inputs();
    if (row >= a.n_rows) return;
    for (int p = 0; p < MAX_PARTS; p++) {
        parts[p] = 0.0f;
        if (p >= a.l.n_parts) continue;
        for (int from = a.l.step[p] * STEP, k = from; k < a.l.step[p + 1] * STEP && k < a.n_in; k++) {
            const uint8_t *group = a.weights + layout_at(a.l, group_bytes, panel, p, (k - from) / GROUP);
            parts[p] = fmaf(reinterpret_cast<const float *>(group)[(k - from) % GROUP * PANEL + r], x[k], parts[p]);
        }
    }
    a.out[(size_t)row * a.ld_out + blockIdx.x * PANEL + r] = tree_of(a.l.n_parts, parts, 1);
}

/* Value k of a row, as the product reads it, but for undo. */
template <enum quant TYPE> static __device__ float value_at(const mm_args &a, int i_row, int k)
{
    const int part = layout_part(a.l, k / STEP), in_part = k - a.l.step[part] * STEP, r = i_row % PANEL,
              lane = layout_lane(r, k);
    const uint8_t *group =
        a.weights + layout_at(a.l, layout_group_of(TYPE).n_bytes, i_row / PANEL, part, in_part / GROUP);
    if constexpr (TYPE == QUANT_F32) {
        return reinterpret_cast<const float *>(group)[in_part % GROUP * PANEL + r];
    } else {
        lane_words<TYPE> of;
        uint32_t w[4];
        of.load(group, lane, lane * 16);
        of.step_of(w, group, in_part % GROUP / STEP, lane * 16);
        const uint32_t bits = w[layout_pair(r, k)] >> 16 * (k % 2) & 0xffff;
        return TYPE == QUANT_BF16 ? __uint_as_float(bits << 16) : f16_value((uint16_t)bits);
    }
}

/* out[n_in] = a row. One block. */
template <enum quant TYPE> static __global__ void __launch_bounds__(MM_THREADS) mm_row(mm_args a, int i_row)
{
    const float undo = reinterpret_cast<const float *>(a.weights + a.l.undo)[i_row];
    for (int k = (int)threadIdx.x; k < a.n_in; k += MM_THREADS) a.out[k] = value_at<TYPE>(a, i_row, k) * undo;
}

#endif
