/* read_loop -- what a card's memory gives to a plain read loop: the most that a pass can have, in the same minutes.
 * Prints a line of JSON. Compiled by nvcc, and for the emulated device, where its numbers mean nothing.
 *   read_loop [MIB]: of that size; 2048, beyond all caches */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/ptx.cuh"
#include "kernels/now.h"

enum { THREADS = 256, UNROLLED = 8, ROUNDS = 5 };

/* Words that no compression of memory can be good at. */
static __global__ void fill(uint32_t *at, size_t n)
{
    const size_t stride = (size_t)gridDim.x * THREADS;
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += stride) {
        uint32_t h = (uint32_t)i * 0x9e3779b1u;
        h = (h ^ h >> 15) * 0x85ebca77u;
        at[i] = h ^ h >> 13;
    }
}

/* n is a multiple of what the grid reads in a step. */
static __global__ void read_all(const uint4 *at, size_t n, uint32_t *out)
{
    const size_t stride = (size_t)gridDim.x * THREADS;
    uint32_t sum = 0;
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += UNROLLED * stride) {
        uint4 v[UNROLLED];
#pragma unroll
        for (int j = 0; j < UNROLLED; j++) v[j] = load_once(at + i + (size_t)j * stride);
#pragma unroll
        for (int j = 0; j < UNROLLED; j++) sum ^= v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
    }
    if (sum == 0x12345678u) *out = sum; /* so that the loads stay */
}

static bool fails(cudaError_t rc)
{
    if (rc != cudaSuccess) fprintf(stderr, "read_loop: %s\n", cudaGetErrorString(rc));
    return rc != cudaSuccess;
}

/* Bytes a second, the best of ROUNDS; 0: it failed. */
static double rate(const uint4 *at, size_t n, uint32_t *out, unsigned n_blocks, cudaStream_t stream)
{
    const size_t step = (size_t)n_blocks * THREADS * UNROLLED;
    double best = 0;
    n = n / step * step;
    for (int i = 0; i < ROUNDS; i++) {
        const double began = (double)now_ns();
        if (fails((cudaError_t)PF_LAUNCH(read_all, n_blocks, THREADS, 0, launch_on{stream}, at, n, out)) ||
            fails(cudaStreamSynchronize(stream)))
            return 0;
        const double got = (double)(n * sizeof *at) / ((double)now_ns() - began) * 1e9;
        best = got > best ? got : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    const size_t n_bytes = (argc > 1 ? strtoull(argv[1], nullptr, 10) : 2048) << 20;
    double best = 0;
    unsigned blocks = 0;
    uint32_t *at = nullptr, *out = nullptr;
    cudaStream_t stream;
    if (fails(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)) || fails(cudaMalloc(&at, n_bytes)) ||
        fails(cudaMalloc(&out, sizeof *out)))
        return 1;
    if (fails((cudaError_t)PF_LAUNCH(fill, 16, THREADS, 0, launch_on{stream}, at, n_bytes / sizeof *at))) return 1;
    for (unsigned n = 66; n <= 2112; n *= 2) { /* 66: half of an H200's multiprocessors */
        if ((size_t)n * THREADS * UNROLLED * sizeof(uint4) > n_bytes) break;
        const double got = rate(reinterpret_cast<const uint4 *>(at), n_bytes / sizeof(uint4), out, n, stream);
        if (got == 0) return 1;
        if (got > best) best = got, blocks = n;
    }
    printf("{\"read_gbps\": %.1f, \"mib\": %zu, \"blocks\": %u}\n", best * 1e-9, n_bytes >> 20, blocks);
    return best > 0 ? 0 : 1;
}
