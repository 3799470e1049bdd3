/* ring.cuh -- a warp's ring of copies from global to shared memory: while it reads a stage, those behind it are on
 * their way.
 *
 *   ring_open ─▶ ring_fill, STAGES times ─▶ ring_begin ─▶ ring_wait ─▶ (read it) ─▶ __syncwarp ─▶ ring_fill
 *                                                              ▲──────────────────────────────────────┘
 *
 * All lanes call each function. From Hopper on a stage is one bulk copy, which an mbarrier counts; before, 16 bytes a
 * lane, in groups that a lane waits for. BYTES, of a copy, and addresses are multiples of 16.
 */
#ifndef KERNELS_CUDA_RING_CUH
#define KERNELS_CUDA_RING_CUH

#include "kernels/cuda/ptx.cuh"

enum { RING_COPY = 16, RING_LANES = 32 };

template <int STAGES, int BYTES> struct ring {
    static constexpr int stride = BYTES + 16;                /* a stage, then its barrier */
    static constexpr int n_ahead = STAGES <= 3 ? STAGES : 1; /* few stages take turns in registers: no arithmetic */
    shared_at first, at[n_ahead], full[n_ahead]; /* [STAGES, stride]; the stages that are read next, their barriers */
    int parity[n_ahead];                         /* of the rounds before */
    int kept_bytes;                              /* BYTES */

    static PF_BOTH constexpr int n_bytes() { return STAGES * stride; }
};

/* From the first stage on. */
template <int STAGES, int BYTES> static __device__ __forceinline__ void ring_begin(ring<STAGES, BYTES> &r)
{
#pragma unroll
    for (int i = 0; i < r.n_ahead; i++) {
        r.at[i] = r.first + i * r.stride;
        r.full[i] = r.at[i] + BYTES;
        r.parity[i] = 0;
    }
}

template <int STAGES, int BYTES>
static __device__ __forceinline__ void ring_open(ring<STAGES, BYTES> &r, shared_at memory, int n_bytes, int lane)
{
    r.first = memory;
    r.kept_bytes = kept(n_bytes + lane) - lane; /* of the same number in all lanes kept would do nothing */
    ring_begin(r);
    if (has_bulk_copies()) {
        if (lane < STAGES) barrier_open(memory + lane * r.stride + BYTES, 1);
        barriers_are_open();
    }
    __syncwarp();
}

template <int STAGES, int BYTES> static __device__ __forceinline__ void ring_next(ring<STAGES, BYTES> &r)
{
    if constexpr (ring<STAGES, BYTES>::n_ahead > 1) {
        const shared_at at = r.at[0], full = r.full[0];
        const int parity = r.parity[0] ^ 1;
#pragma unroll
        for (int i = 1; i < STAGES; i++) {
            r.at[i - 1] = r.at[i];
            r.full[i - 1] = r.full[i];
            r.parity[i - 1] = r.parity[i];
        }
        r.at[STAGES - 1] = at;
        r.full[STAGES - 1] = full;
        r.parity[STAGES - 1] = parity;
    } else {
        r.at[0] += r.stride;
        if (r.at[0] == r.first + STAGES * r.stride) r.at[0] = r.first, r.parity[0] ^= 1;
        r.full[0] = r.at[0] + BYTES;
    }
}

/* A copy into the stage `at`, which no lane reads any more; on to the next. */
template <int STAGES, int BYTES>
static __device__ __forceinline__ void ring_fill(ring<STAGES, BYTES> &r, const uint8_t *from, int lane)
{
    if (has_bulk_copies()) {
        bulk_copy(r.at[0], from, BYTES, r.kept_bytes, r.full[0], lane);
    } else {
        for (int at = lane * RING_COPY; at < BYTES; at += RING_LANES * RING_COPY) copy_16(r.at[0] + at, from + at);
        copies_close_group();
    }
    ring_next(r);
}

/* There is no copy left. */
template <int STAGES, int BYTES> static __device__ __forceinline__ void ring_fill_none(ring<STAGES, BYTES> &r)
{
    if (!has_bulk_copies()) copies_close_group();
    ring_next(r);
}

/* The stage `at`, once its copy is there. */
template <int STAGES, int BYTES> static __device__ __forceinline__ shared_at ring_wait(const ring<STAGES, BYTES> &r)
{
    if (has_bulk_copies()) {
        barrier_wait(r.full[0], r.parity[0]);
    } else {
        copies_wait<STAGES - 1>();
        __syncwarp();
    }
    return r.at[0];
}

#endif
