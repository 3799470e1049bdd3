/* attend.cuh -- attention over the cache on mma, in chunks of 256 absolute positions (ARITHMETIC.md, arithmetic id 2).
 *
 *   unit = rows of one slot that follow each other, and chunks;  block = a unit and a KV head, whose query heads times
 *   rows are the 16-row side: K and V are read once for all of them;  warp w = positions 32 w and on of the chunk
 *
 *   scores ─▶ maximum, p, sum ─▶ P.V of 32 positions a warp ─▶ the eight warps by halves ─▶ this chunk's (m, l, o)
 *                                    all chunks in one block: merged as they come ─▶ out ◀─ attend_merge: a block a row
 *                                    a chunk a block: to `work` ────────────────────────────┘ and head merges them
 *
 * Both ways merge chunks in increasing order: the same bits. Which one is taken is a matter of how many blocks there
 * are to fill the card. Rows of the 16-row side never meet, so their company does not show either.
 *
 * Fragments come from memory as they lie: a lane's 16 bytes of K are 8 elements of a position, those of V two positions
 * of 4 elements (layout of the cache: glue.cuh). Which elements meet in a step of mma follows from it:
 * in step i of 32 elements those of which j mod 8 / 4 = i.
 */
#ifndef KERNELS_CUDA_ATTEND_CUH
#define KERNELS_CUDA_ATTEND_CUH

#include "kernels/cuda/glue.cuh"

enum { ATTEND_MOST = 256, ATTEND_DEEP = 32, ATTEND_SPLIT_BELOW = 264, WARP_POSITIONS = ATTN_CHUNK / ROW_WARPS };
static_assert((int)WARP_POSITIONS == (int)WARP, "four columns of 8 positions a warp");

struct attend_unit {
    int row, n;   /* rows of the pass; n 0: an empty unit */
    int from, to; /* chunks */
    bool whole;   /* all that its rows see */
};

struct attend_row {    /* where a row's chunks are in `work` */
    int unit, n_units; /* n_units 0: nowhere, its unit is whole */
};

struct attend_args {
    const float *q; /* [n_rows, ld_q] scaled already */
    float *out;     /* [n_rows, ld_out] */
    size_t ld_q, ld_out;
    cache_args cache;
    int n_window;
    int n_head, group, head_at; /* of this shard; that share a KV head; place of the first one among these */
    int heads;                  /* of a KV head that a block takes */
    const attend_unit *units;
    const attend_row *of_row; /* [n_rows] */
    float *work;              /* [units, KV heads, gridDim.z, tile rows, d + 2]: o, m, l */
    int n_tile;               /* 16 or 32 rows */
};

struct attend_heads { /* of a block */
    int first, n;
};

static __device__ attend_heads attend_heads_of(const attend_args &a, int head_kv, int z)
{
    int from = head_kv * a.group - a.head_at, to = from + a.group;
    if (from < 0) from = 0;
    if (to > a.n_head) to = a.n_head;
    from += z * a.heads;
    return {from, to - from < a.heads ? to - from : a.heads};
}

/* o, then m and l, of row j of the tile. */
static __device__ float *attend_work(const attend_args &a, int unit, int head_kv, int z, int n_z, int j)
{
    const size_t block = ((size_t)unit * (size_t)a.cache.n_head_kv + (size_t)head_kv) * (size_t)n_z + (size_t)z;
    return a.work + (block * (size_t)a.n_tile + (size_t)j) * (size_t)(a.cache.d + 2);
}

struct seen { /* positions that a row sees */
    int from, to;
};

static __device__ seen seen_of(const attend_args &a, int row)
{
    const int to = a.cache.rows[row].pos + 1;
    return {a.n_window && to > a.n_window ? to - a.n_window : 0, to};
}

/* How a chunk joins those before it: o = how == UP ? fmaf(o, by, o_c) : fmaf(o_c, by, o). */
enum attend_how { ATTEND_FIRST, ATTEND_UP, ATTEND_DOWN };
struct attend_sum {
    float m, l, by;
    int how;
};

static __device__ void attend_join(attend_sum &s, bool first, float m, float l)
{
    if (first) {
        s = {m, l, 0.0f, ATTEND_FIRST};
    } else if (m > s.m) {
        s.by = expf_of(s.m - m);
        s.l = fmaf(s.l, s.by, l), s.m = m, s.how = ATTEND_UP;
    } else {
        s.by = expf_of(m - s.m);
        s.l = fmaf(l, s.by, s.l), s.how = ATTEND_DOWN;
    }
}

static __device__ float attend_joined(const attend_sum &s, float o, float o_c)
{
    if (s.how == ATTEND_FIRST) return o_c;
    return s.how == ATTEND_UP ? fmaf(o, s.by, o_c) : fmaf(o_c, s.by, o);
}

template <int MT> struct attend_shared {
    seen of[16 * MT];
    attend_sum sum[16 * MT];
    float max[ROW_WARPS][16 * MT], l[ROW_WARPS][16 * MT], chunk_max[16 * MT];
    float part[ROW_WARPS][MT * 16][WARP]; /* of 32 elements of o: fragments */
    alignas(16) uint16_t q[8];            /* [16 MT, ld] */
};

/* Halves between two rows of q: no two rows of 8 in the same banks. */
static PF_BOTH constexpr int attend_ld(int d)
{
    return (d + ATTEND_DEEP - 1) / ATTEND_DEEP * ATTEND_DEEP + 8;
}

template <int MT> static PF_BOTH constexpr size_t attend_n_shared(int d)
{
    return sizeof(attend_shared<MT>) + 16 * MT * (size_t)attend_ld(d) * sizeof(uint16_t);
}

static_assert(attend_n_shared<2>(128) <= 48 << 10 && attend_n_shared<1>(ATTEND_MOST) <= 48 << 10,
              "as a block may have");

/* Rows of a unit times heads, a warp each; what is past them is zero. */
template <int MT>
static __device__ __forceinline__ void attend_load_q(const attend_args &a, attend_shared<MT> *s, const attend_unit &u,
                                                     attend_heads heads)
{
    const int d = a.cache.d, ld = attend_ld(d), n = u.n * heads.n;
#pragma unroll 1
    for (int r = (int)threadIdx.x / WARP; r < 16 * MT; r += ROW_WARPS) {
        const float *q = a.q + (size_t)(u.row + r / heads.n) * a.ld_q + (heads.first + r % heads.n) * d;
#pragma unroll 1
        for (int k = (int)threadIdx.x % WARP; k < ld; k += WARP)
            s->q[r * ld + k] = r < n && k < d ? f16_bits(q[k]) : (uint16_t)0;
    }
}

/* acc[m][j]: scores of rows 16 m and on, positions 8 j and on of the warp's. */
template <int MT>
static __device__ __forceinline__ void attend_scores(float acc[MT][4][4], const attend_args &a, const uint16_t *q,
                                                     const uint16_t *keys, int lane)
{
    const int g = lane / 4, t = lane % 4, d = a.cache.d, ld = attend_ld(d);
#pragma unroll 1
    for (int k = t * 8; k < ld - 8; k += ATTEND_DEEP) {
        uint4 key[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            key[j] = uint4{0, 0, 0, 0};
            if (k < d) key[j] = *reinterpret_cast<const uint4 *>(keys + (size_t)(8 * j + g) * (size_t)d + k);
        }
#pragma unroll
        for (int m = 0; m < MT; m++) {
            const uint4 low = *reinterpret_cast<const uint4 *>(q + (16 * m + g) * ld + k);
            const uint4 high = *reinterpret_cast<const uint4 *>(q + (16 * m + g + 8) * ld + k);
            const uint32_t of_step[2][4] = {{low.x, high.x, low.y, high.y}, {low.z, high.z, low.w, high.w}};
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const uint32_t b[2][2] = {{key[j].x, key[j].y}, {key[j].z, key[j].w}};
                mma_f16(acc[m][j], of_step[0], b[0]);
                mma_f16(acc[m][j], of_step[1], b[1]);
            }
        }
    }
}

/* Scores become p; the warp's maximum first, then the chunk's, then the sum of p. A barrier between. */
template <int MT>
static __device__ __forceinline__ void attend_softmax(float acc[MT][4][4], attend_shared<MT> *s, int at, int lane,
                                                      int warp)
{
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int r = 16 * m + g + 8 * h;
            const seen of = s->of[r];
            float most = -INFINITY;
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const int pos = at + 8 * (i / 2) + 2 * t + i % 2;
                float &score = acc[m][i / 2][2 * h + i % 2];
                if (pos < of.from || pos >= of.to) score = -INFINITY;
                most = fmaxf(most, score);
            }
            for (int by = 1; by <= 2; by *= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, by));
            if (t == 0) s->max[warp][r] = most;
        }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int r = 16 * m + g + 8 * h;
            float most = -INFINITY, sum = 0.0f;
            for (int w = 0; w < ROW_WARPS; w++) most = fmaxf(most, s->max[w][r]);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                float &score = acc[m][i / 2][2 * h + i % 2];
                score = score == -INFINITY ? 0.0f : expf_of(score - most);
                sum += score;
            }
            for (int by = 2; by >= 1; by /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
            if (t == 0) s->l[warp][r] = sum;
            if (t == 0 && warp == 0) s->chunk_max[r] = most;
        }
}

static __device__ float by_halves(const float *x, int ld)
{
    return ((x[0] + x[4 * ld]) + (x[2 * ld] + x[6 * ld])) + ((x[ld] + x[5 * ld]) + (x[3 * ld] + x[7 * ld]));
}

static __device__ __forceinline__ uint32_t f16_pair(float low, float high)
{
    return f16_bits(low) | (uint32_t)f16_bits(high) << 16;
}

/* P.V of elements [k, k + 32) and the warp's positions: fragments to s->part. */
template <int MT>
static __device__ __forceinline__ void attend_values(attend_shared<MT> *s, const uint32_t p[MT][2][4],
                                                     const uint16_t *values, int d, int k, bool active, int lane,
                                                     int warp)
{
    const int g = lane / 4, t = lane % 4;
    float o[MT][4][4] = {};
#pragma unroll
    for (int step = 0; step < 2; step++) {
        uint4 v[2] = {uint4{0, 0, 0, 0}, uint4{0, 0, 0, 0}};
#pragma unroll
        for (int h = 0; h < 2; h++)
            if (active && k + 4 * g < d)
                v[h] = *reinterpret_cast<const uint4 *>(
                    values + ((size_t)(8 * step + 4 * h + t) * (size_t)d + (size_t)(k + 4 * g)) * 2);
        const uint32_t b[4][2] = {{v[0].x, v[1].x}, {v[0].y, v[1].y}, {v[0].z, v[1].z}, {v[0].w, v[1].w}};
#pragma unroll
        for (int m = 0; m < MT; m++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                if (active) mma_f16(o[m][j], p[m][step], b[j]);
    }
#pragma unroll
    for (int i = 0; i < MT * 16; i++) s->part[warp][i][lane] = o[i / 16][i / 4 % 4][i % 4];
}

/* What the warps have of 32 elements becomes the chunk's, and goes to `work` or to `out`. */
template <int MT>
static __device__ __forceinline__ void attend_store(const attend_args &a, attend_shared<MT> *s, const attend_unit &u,
                                                    attend_heads heads, int chunk, int k)
{
    const int n = u.n * heads.n, d = a.cache.d;
    for (int e = (int)threadIdx.x; e < MT * 16 * WARP; e += ROW_THREADS) {
        const int i = e / WARP, lane = e % WARP, r = i / 16 * 16 + lane / 4 + i % 4 / 2 * 8;
        const int element = k + 4 * (2 * (lane % 4) + i % 2) + i / 4 % 4, at = chunk * ATTN_CHUNK;
        if (r >= n || element >= d || s->of[r].from >= at + ATTN_CHUNK || s->of[r].to <= at) continue;
        const float o = by_halves(&s->part[0][i][lane], MT * 16 * WARP);
        if (u.whole) {
            float *out = a.out + (size_t)(u.row + r / heads.n) * a.ld_out + (heads.first + r % heads.n) * d + element;
            const float joined = attend_joined(s->sum[r], s->sum[r].how == ATTEND_FIRST ? 0.0f : *out, o);
            *out = s->of[r].to <= at + ATTN_CHUNK ? joined / s->sum[r].l : joined;
        } else {
            attend_work(a, (int)blockIdx.x, (int)blockIdx.y, (int)blockIdx.z, (int)gridDim.z, r)[element] = o;
        }
    }
}

/* MT: tiles of 16 rows. */
template <int MT> static __global__ void __launch_bounds__(ROW_THREADS, 2) attend(attend_args a)
{
    PF_DYNAMIC_SHARED(attend_shared<MT>, s);
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP, d = a.cache.d, head_kv = (int)blockIdx.y,
              z = (int)blockIdx.z;
    const attend_heads heads = attend_heads_of(a, head_kv, z);
    let_next_begin();
    wait_for_inputs();
    const attend_unit u = a.units[blockIdx.x];
    const int n = u.n * heads.n;
    if (n <= 0) return;
    attend_load_q<MT>(a, s, u, heads);
    for (int r = (int)threadIdx.x; r < 16 * MT; r += ROW_THREADS)
        s->of[r] = r < n ? seen_of(a, u.row + r / heads.n) : seen{0, 0};
    __syncthreads();
    const int first = s->of[0].from, last = s->of[n - 1].to; /* rows of a unit follow each other */
    for (int chunk = u.from; chunk < u.to; chunk++) {
        const int at = chunk * ATTN_CHUNK + warp * WARP;
        const bool active = at < last && at + WARP > first;
        if (chunk * ATTN_CHUNK >= last || (chunk + 1) * ATTN_CHUNK <= first) continue; /* all threads */
        float acc[MT][4][4] = {};
        if (active) attend_scores<MT>(acc, a, s->q, a.cache.keys + key_at(a.cache, u.row, head_kv, at), lane);
        attend_softmax<MT>(acc, s, at, lane, warp);
        uint32_t p[MT][2][4];
#pragma unroll
        for (int i = 0; i < MT * 8; i++) {
            const int m = i / 8, step = i / 4 % 2, j = i % 4;
            const float *of = &acc[m][2 * step + j / 2][j % 2 * 2];
            p[m][step][j] = f16_pair(of[0], of[1]);
        }
        __syncthreads();
        for (int r = (int)threadIdx.x; r < n; r += ROW_THREADS) {
            if (s->of[r].from >= (chunk + 1) * ATTN_CHUNK || s->of[r].to <= chunk * ATTN_CHUNK) continue;
            const float m = s->chunk_max[r], l = by_halves(&s->l[0][r], 16 * MT);
            attend_join(s->sum[r], !u.whole || s->of[r].from >= chunk * ATTN_CHUNK, m, l);
            if (u.whole) continue;
            float *to = attend_work(a, (int)blockIdx.x, head_kv, z, (int)gridDim.z, r) + d;
            to[0] = m, to[1] = l;
        }
#pragma unroll 1
        for (int k = 0; k < d; k += ATTEND_DEEP) {
            const uint16_t *values = a.cache.values + value_at(a.cache, u.row, head_kv, at);
            attend_values<MT>(s, p, values, d, k, active, lane, warp);
            __syncthreads();
            attend_store<MT>(a, s, u, heads, chunk, k);
            __syncthreads();
        }
    }
}

/* A block a head and a row, a thread an element. */
static __global__ void __launch_bounds__(ROW_THREADS) attend_merge(attend_args a, int n_z)
{
    let_next_begin();
    wait_for_inputs();
    const int row = (int)blockIdx.y, head = (int)blockIdx.x, d = a.cache.d, i = (int)threadIdx.x;
    if (!row_is_there(a.cache.rows, row) || a.of_row[row].n_units == 0 || i >= d) return;
    const attend_row of = a.of_row[row];
    const int head_kv = (head + a.head_at) / a.group, first_head = attend_heads_of(a, head_kv, 0).first,
              z = (head - first_head) / a.heads;
    const attend_heads heads = attend_heads_of(a, head_kv, z);
    const seen sees = seen_of(a, row);
    attend_sum s = {};
    float o = 0.0f;
    bool any = false;
    for (int k = 0; k < of.n_units; k++) {
        const attend_unit u = a.units[of.unit + k];
        if (sees.from >= u.to * ATTN_CHUNK || sees.to <= u.from * ATTN_CHUNK) continue;
        const float *c = attend_work(a, of.unit + k, head_kv, z, n_z, (row - u.row) * heads.n + head - heads.first);
        attend_join(s, !any, c[d], c[d + 1]);
        o = attend_joined(s, o, c[i]);
        any = true;
    }
    a.out[(size_t)row * a.ld_out + (size_t)(head * d + i)] = o / s.l;
}

#endif
