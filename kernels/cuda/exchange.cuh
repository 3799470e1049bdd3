/* exchange.cuh -- what shards and stages exchange without the host, by NCCL, on the stream that computes.
 *
 *   GATHER:  own columns ─ pack ─▶ parts ─ NCCL ─▶ parts of all ─ spread ─▶ all columns
 *
 * `parts` has one shard's part after the other, each [n_rows, its width]. Nothing is added up, so the bits are those of
 * one device. pack and spread count in pinned memory: so the host sees whether the stream waits for others. */
#ifndef KERNELS_CUDA_EXCHANGE_CUH
#define KERNELS_CUDA_EXCHANGE_CUH

#include "kernels/cuda/glue.cuh"
#include "kernels/cuda/nccl.cuh"

enum { SHARDS_AT_ONCE = 64 }; /* of a communicator */

struct gather_args {
    float *rows; /* [n_rows, ld] */
    size_t ld;
    float *parts;
    int n_rows, self;
    int from[SHARDS_AT_ONCE + 1];
    unsigned *count;
};

static __device__ void count_one(unsigned *count)
{
    volatile unsigned *at = count;
    if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) *at = *at + 1;
}

/* A block: a row, and ROW_THREADS of its columns. */
static __global__ void __launch_bounds__(ROW_THREADS) pack(gather_args a)
{
    const int column = (int)(blockIdx.y * ROW_THREADS + threadIdx.x), width = a.from[a.self + 1] - a.from[a.self];
    const size_t row = blockIdx.x, at = (size_t)(a.from[a.self] - a.from[0]) * (size_t)a.n_rows;
    if (column < width) a.parts[at + row * (size_t)width + (size_t)column] = a.rows[row * a.ld + (size_t)column];
    count_one(a.count);
}

static __global__ void __launch_bounds__(ROW_THREADS) spread(gather_args a, int n_shards)
{
    const int column = a.from[0] + (int)(blockIdx.y * ROW_THREADS + threadIdx.x);
    const size_t row = blockIdx.x;
    if (column < a.from[n_shards]) {
        int i = 0;
        while (a.from[i + 1] <= column) i++;
        const size_t width = (size_t)(a.from[i + 1] - a.from[i]), at = (size_t)(a.from[i] - a.from[0]);
        a.rows[row * a.ld + (size_t)column] =
            a.parts[at * (size_t)a.n_rows + row * width + (size_t)(column - a.from[i])];
    }
    count_one(a.count);
}

static __global__ void count_exchange(unsigned *count)
{
    count_one(count);
}

struct exchanges { /* of a device */
    const nccl *lib;
    struct {
        ncclComm *comm; /* owns; NULL: none */
        int n, self;
    } of[N_DEVICE_COMMS];
    float *parts;     /* of one gather */
    unsigned *counts; /* pinned: exchanges begun, done */
    const char *error;
};

/* Every call that goes wrong ends them. */
static bool went_well(exchanges *x, enum device_comm which, int rc)
{
    static const uint64_t most_ns = 10000000000; /* connections were made when it was opened */
    if (x->error) return false;
    if (rc == NCCL_IN_PROGRESS) x->error = nccl_wait(x->lib, x->of[which].comm, (uint64_t)now_ns() + most_ns);
    bool busy;
    if (!nccl_goes_on(rc)) x->error = nccl_error(x->lib, x->of[which].comm, &busy); /* which may be why */
    if (!nccl_goes_on(rc) && !x->error) x->error = x->lib->GetErrorString(rc);
    return !x->error;
}

/* rc: of the calls since GroupStart. */
static bool group_went_well(exchanges *x, enum device_comm which, int rc)
{
    const int ended = x->lib->GroupEnd();
    return went_well(x, which, nccl_goes_on(rc) ? ended : rc);
}

/* Parts of one size are gathered at once; others come by a broadcast each. */
static bool exchange_parts(exchanges *x, const gather_args *a, cudaStream_t s)
{
    ncclComm *comm = x->of[DEVICE_SHARDS].comm;
    const int n = x->of[DEVICE_SHARDS].n, width = a->from[1] - a->from[0];
    const size_t rows = (size_t)a->n_rows;
    bool even = true;
    for (int i = 0; i < n; i++) even = even && a->from[i + 1] - a->from[i] == width;
    if (even) {
        const float *own = a->parts + (size_t)(a->self * width) * rows;
        return went_well(x, DEVICE_SHARDS, x->lib->AllGather(own, a->parts, (size_t)width * rows, NCCL_FLOAT, comm, s));
    }
    int rc = x->lib->GroupStart();
    for (int i = 0; i < n && nccl_goes_on(rc); i++) {
        float *part = a->parts + (size_t)(a->from[i] - a->from[0]) * rows;
        const size_t n_part = (size_t)(a->from[i + 1] - a->from[i]) * rows;
        if (n_part) rc = x->lib->Broadcast(part, part, n_part, NCCL_FLOAT, i, comm, s);
    }
    return group_went_well(x, DEVICE_SHARDS, rc);
}

/* What each neighbour is connected by, before anything is timed. */
static bool connect(exchanges *x, enum device_comm which, float *room, cudaStream_t s)
{
    ncclComm *comm = x->of[which].comm;
    const int n = x->of[which].n, self = x->of[which].self;
    if (which == DEVICE_SHARDS)
        return went_well(x, which, x->lib->AllGather(room + self, room, 1, NCCL_FLOAT, comm, s)) &&
               went_well(x, which, x->lib->Broadcast(room, room, 1, NCCL_FLOAT, 0, comm, s));
    int rc = x->lib->GroupStart();
    if (nccl_goes_on(rc) && self + 1 < n) rc = x->lib->Send(room, 1, NCCL_FLOAT, self + 1, comm, s);
    if (nccl_goes_on(rc) && self > 0) rc = x->lib->Recv(room + 1, 1, NCCL_FLOAT, self - 1, comm, s);
    return group_went_well(x, which, rc);
}

/* What a communicator met by itself. */
static bool exchanges_go_on(exchanges *x)
{
    bool busy;
    for (auto &c : x->of)
        if (c.comm && !x->error) x->error = nccl_error(x->lib, c.comm, &busy);
    return !x->error;
}

static void exchanges_abort(exchanges *x)
{
    for (auto &c : x->of) {
        if (c.comm) x->lib->CommAbort(c.comm);
        c.comm = nullptr;
    }
}

#endif
