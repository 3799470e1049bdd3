/* ring.cuh -- a warp's ring of copies from global to shared memory: while it reads a stage, those behind it are on
 * their way.
 *
 *   ring_open ─▶ ring_fill 0 .. STAGES - 1 ─▶ ring_wait i ─▶ (read it) ─▶ __syncwarp ─▶ ring_fill i + STAGES
 *                                                ▲──────────────────────────────────────┘
 *
 * All lanes call each function. From Hopper on a stage is one bulk copy, which an mbarrier counts; before, 16 bytes a
 * lane, in groups that a lane waits for. Bytes and addresses are multiples of 16.
 */
#ifndef KERNELS_CUDA_RING_CUH
#define KERNELS_CUDA_RING_CUH

#include "kernels/cuda/ptx.cuh"

enum { RING_COPY = 16, RING_LANES = 32 };

template <int STAGES> struct ring {
    uint8_t *stages; /* [STAGES, stage_bytes] in shared memory */
    int stage_bytes;
    uint64_t *full; /* [STAGES] likewise */
};

static PF_BOTH constexpr size_t ring_bytes(int n_stages, int stage_bytes)
{
    return (size_t)n_stages * ((size_t)stage_bytes + sizeof(uint64_t));
}

template <int STAGES> static __device__ __forceinline__ void ring_open(const ring<STAGES> &r, int lane)
{
    if (has_bulk_copies()) {
        if (lane < STAGES) barrier_open(&r.full[lane]);
        barriers_are_open();
    }
    __syncwarp();
}

/* Copy i, into a stage that no lane reads any more. n 0: there is none. */
template <int STAGES>
static __device__ __forceinline__ void ring_fill(const ring<STAGES> &r, int i, const uint8_t *from, int n, int lane)
{
    uint8_t *to = r.stages + i % STAGES * r.stage_bytes;
    if (has_bulk_copies()) {
        if (lane == 0 && n) bulk_copy(to, from, n, &r.full[i % STAGES]);
    } else {
        for (int at = lane * RING_COPY; at < n; at += RING_LANES * RING_COPY) copy_16(to + at, from + at);
        copies_close_group();
    }
}

/* The stage of copy i, which is there then. */
template <int STAGES> static __device__ __forceinline__ const uint8_t *ring_wait(const ring<STAGES> &r, int i)
{
    if (has_bulk_copies()) {
        barrier_wait(&r.full[i % STAGES], i / STAGES % 2);
    } else {
        copies_wait<STAGES - 1>();
        __syncwarp();
    }
    return r.stages + i % STAGES * r.stage_bytes;
}

#endif
