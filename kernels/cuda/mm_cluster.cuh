/* mm_cluster.cuh -- products of at most 64 rows by clusters of blocks: the bits of mm.cuh.
 *
 *   cluster = as many blocks as K has parts x 8 warps, P panels a warp;  block c = part c of K of all of them
 *   block: its slice of x, once ─▶ shared memory ◀─ every warp;  warp: ring of copies of its weights, as in mm.cuh
 *   └▶ sums of its part in shared memory ─▶ the cluster meets ─▶ block c takes a share of the outputs: the parts' sums,
 *      of all blocks, by the fixed tree ─▶ times undo ─▶ out ─▶ the next P panels of each warp
 *
 * So x comes from L2 once a cluster, not once for every two panels. The slice is what `ready` left, or what it would
 * leave (mm_cluster_args.from): then the rows need no kernel of their own. A launch takes up to three matrices that
 * read the same rows (q, k, v; gate, up), each by clusters of its own, so that a warp's panels lie one after another.
 */
#ifndef KERNELS_CUDA_MM_CLUSTER_CUH
#define KERNELS_CUDA_MM_CLUSTER_CUH

#include "kernels/cuda/glue.cuh"
#include "kernels/cuda/mm.cuh"

enum { CLUSTER_MATRICES = 3, CLUSTER_WARPS = MM_THREADS / WARP };

struct mm_share { /* a matrix of a launch */
    const uint8_t *weights;
    size_t undo; /* of its layout */
    int n_pairs, first_panel, n_panels;
    int clusters_to; /* its clusters end here; the next matrix's begin */
    float *out;      /* [n_rows, ld_out] */
    size_t ld_out;
};

struct mm_cluster_args {
    mm_share of[CLUSTER_MATRICES];
    layout l;          /* of all of them, but for n_pairs and undo */
    int copy_bytes;    /* of P groups */
    const uint16_t *x; /* f16 or bf16, as layout_x; NULL: as `from` makes it */
    ready_args from;
    int row, n_rows; /* of x: rows from `row` on */
    float undo;      /* of the site's power of two */
};

/* Of x that a part reads, with what pads it to whole groups. */
static PF_BOTH constexpr int slice_steps(const layout &l, int part)
{
    return (l.group[part + 1] - l.group[part]) * (GROUP / X_STEPS);
}

static PF_BOTH constexpr int slice_bytes(const layout &l, int n_tiles)
{
    int most = 0;
    for (int i = 0; i < l.n_parts; i++) most = slice_steps(l, i) > most ? slice_steps(l, i) : most;
    return most * n_tiles * WARP * 16;
}

/* Rings [8], their barriers; sums [8, P, 4 n_tiles, 32]; then the slice. */
template <enum quant TYPE, int NT, int P> static PF_BOTH constexpr int cluster_n_shared()
{
    return CLUSTER_WARPS * (mm_ring<TYPE, P>::n_bytes() + P * NT * 4 * WARP * (int)sizeof(float));
}

static __device__ __forceinline__ mm_share share_of(const mm_cluster_args &a, int cluster, int *first)
{
    *first = 0;
    if (cluster < a.of[0].clusters_to) return a.of[0];
    *first = a.of[0].clusters_to;
    if (cluster < a.of[1].clusters_to) return a.of[1];
    *first = a.of[1].clusters_to;
    return a.of[2];
}

/* What `ready` writes of these steps of x; block by block of 32 values, a word a lane. mark: rows that are bad. */
template <enum quant TYPE, int NT>
static __device__ __forceinline__ void make_slice(uint4 *to, const ready_args &r, int first, int n, bool mark)
{
    const int lane = (int)threadIdx.x % WARP, i_row = (int)threadIdx.x / WARP % NT * TILE + lane / 4;
    const int row = i_row >= r.n_rows ? -1 : r.which ? r.which[i_row] : i_row;
    const bool there = row_is_there(r.rows, row);
    const float *x = r.x + (size_t)(!there ? 0 : r.first ? i_row : row) * r.ld;
    const float scale = there && r.norm ? r.scales[row] : 1.0f;
    bool bad = false;
    for (int i = (int)threadIdx.x; i < n * NT * WARP; i += MM_THREADS) {
        uint32_t words[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            uint32_t bits[2];
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const int k = (first + i / WARP / NT) * X_STEPS + lane % 4 * 2 + 8 * j + e;
                const float v = there && k < r.n ? ready_value(r, x, scale, k) : 0.0f;
                const uint16_t half = f16_bits(v * r.down);
                bad = bad || is_bad(r, v, half);
                bits[e] = TYPE == QUANT_BF16 ? bf16_bits(v * r.down) : half;
            }
            words[j] = bits[0] | bits[1] << 16;
        }
        to[i] = {words[0], words[1], words[2], words[3]};
    }
    if (bad && mark && r.rows[row].bad < 0) r.rows[row].bad = r.entry;
}

template <enum quant TYPE, int NT>
static __device__ __forceinline__ void take_slice(uint8_t *to, const mm_cluster_args &a, int part, bool mark)
{
    const int first = a.l.step[part] / 2, n = slice_steps(a.l, part);
    if (a.x) {
        const uint8_t *x = reinterpret_cast<const uint8_t *>(a.x) + (size_t)(first * NT * WARP) * 16;
        const shared_at at = shared_at_of(to);
        for (int i = (int)threadIdx.x * 16; i < n * NT * WARP * 16; i += MM_THREADS * 16) copy_16(at + i, x + i);
        copies_close_group();
        copies_wait<0>();
    } else {
        make_slice<TYPE, NT>(reinterpret_cast<uint4 *>(to), a.from, first, n, mark);
    }
    __syncthreads();
}

/* Where panel `panel` of a part begins; as layout_at. */
static __device__ __forceinline__ size_t panel_at(const layout &l, int n_pairs, int group_bytes, int panel, int part)
{
    const int n = l.group[part + 1] - l.group[part];
    return ((size_t)(l.group[part] * n_pairs + panel / PAIR * n) * PAIR + (size_t)(panel % PAIR)) * (size_t)group_bytes;
}

/* The outputs of a round, of which each block finishes every n_parts-th 256. unit_of(w): of warp w; below 0: none. */
template <int NT, int P, class UNIT_OF>
static __device__ __forceinline__ void finish_round(const mm_cluster_args &a, const mm_share &m, const float *sums,
                                                    int rank, UNIT_OF unit_of)
{
    constexpr int size = NT * 4 * WARP;
    for (int e = rank * MM_THREADS + (int)threadIdx.x; e < CLUSTER_WARPS * P * size; e += a.l.n_parts * MM_THREADS) {
        const int unit = unit_of(e / (P * size)), panel = unit * P + e / size % P, l = e % WARP, k = e / WARP % 4,
                  j = e % size / WARP / 4, row_out = l / 4 + k / 2 * 8, row = j * TILE + 2 * (l % 4) + k % 2 - a.row;
        if (unit < 0 || row < 0 || row >= a.n_rows || panel < m.first_panel || panel >= m.first_panel + m.n_panels)
            continue;
        float parts[MAX_PARTS];
#pragma unroll
        for (int part = 0; part < MAX_PARTS; part++)
            parts[part] = part < a.l.n_parts ? load_of_rank(sums + e, part) : 0.0f;
        const float undo = reinterpret_cast<const float *>(m.weights + m.undo)[panel * PANEL + row_out];
        m.out[(size_t)row * m.ld_out + (size_t)((panel - m.first_panel) * PANEL + row_out)] =
            tree_of(a.l.n_parts, parts, 1) * (undo * a.undo);
    }
}

/* A cluster has its share of a matrix's units, P panels each, and a warp its share of these; they go in rounds. */
template <enum quant TYPE, int NT, int P>
static __global__ void __launch_bounds__(MM_THREADS, PF_BESIDE) mm_cluster(mm_cluster_args a)
{
    if (!has_clusters()) return;
    PF_DYNAMIC_SHARED(uint8_t, shared);
    constexpr int group_bytes = layout_group_of(TYPE).n_bytes, size = NT * 4 * WARP,
                  slice_at = cluster_n_shared<TYPE, NT, P>();
    const int lane = (int)threadIdx.x % WARP, warp = uniform((int)threadIdx.x / WARP), rank = uniform(cluster_rank()),
              cluster = (int)blockIdx.x / a.l.n_parts, lane_bytes = kept(lane * 16);
    int first_cluster;
    const mm_share m = share_of(a, cluster, &first_cluster);
    const int first = m.first_panel / P, n_all = (m.first_panel + m.n_panels - 1) / P - first + 1,
              n_clusters = m.clusters_to - first_cluster, from = first + (cluster - first_cluster) * n_all / n_clusters,
              n_units = first + (cluster - first_cluster + 1) * n_all / n_clusters - from,
              n_rounds = (n_units + CLUSTER_WARPS - 1) / CLUSTER_WARPS, unit = from + warp * n_units / CLUSTER_WARPS,
              unit_end = from + (warp + 1) * n_units / CLUSTER_WARPS, n_groups = a.l.group[rank + 1] - a.l.group[rank];
    mm_ring<TYPE, P> r;
    float *sums = reinterpret_cast<float *>(shared + CLUSTER_WARPS * r.n_bytes());
    uint8_t *slice = shared + slice_at;
    mm_feed f = {m.weights + panel_at(a.l, m.n_pairs, group_bytes, unit * P, rank), n_groups, unit};
    let_next_begin();
    ring_open(r, shared_at_of(shared + warp * r.n_bytes()), a.copy_bytes, lane);
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
    take_slice<TYPE, NT>(slice, a, rank, cluster == 0);
    for (int i = 0; i < n_rounds; i++) {
        const bool works = unit + i < unit_end;
        const int n_here = works ? n_groups : 0, n_fed = n < 0 ? 0 : n < n_here ? n : n_here;
        const uint4 *x = reinterpret_cast<const uint4 *>(slice) + lane;
        float acc[P][NT][4] = {};
        n -= n_here;
#pragma unroll(mm_stages(TYPE, P) <= 3 ? 2 * mm_stages(TYPE, P) : 1)
        for (int group = 0; group < n_fed; group++) {
            chain<TYPE, NT, P>(acc, ring_wait(r), x, lane, lane_bytes);
            x += 2 * NT * WARP;
            __syncwarp();
            feed<TYPE, P>(f, r, n_groups, lane);
        }
#pragma unroll 1
        for (int group = n_fed; group < n_here; group++) { /* the last ones of the warp */
            chain<TYPE, NT, P>(acc, ring_wait(r), x, lane, lane_bytes);
            x += 2 * NT * WARP;
            __syncwarp();
            ring_fill_none(r);
        }
        if (i) cluster_wait(); /* the sums before are read */
        if (works)
#pragma unroll
            for (int k = 0; k < P * NT * 4; k++)
                sums[warp * P * size + k * WARP + lane] = acc[k / (NT * 4)][k / 4 % NT][k % 4];
        cluster_arrive();
        cluster_wait();
        finish_round<NT, P>(a, m, sums, rank, [=](int w) {
            const int at = from + w * n_units / CLUSTER_WARPS + i;
            return at < from + (w + 1) * n_units / CLUSTER_WARPS ? at : -1;
        });
        cluster_arrive();
    }
    cluster_wait();
}

#endif
