/* card.cuh -- what the devices of both modules (module.cu, cpu_module.cu) are: a card, a stream, and what they take of
 * its memory. A call that the driver refuses marks the card as lost; one for which there is no memory does not. */
#ifndef KERNELS_CUDA_CARD_CUH
#define KERNELS_CUDA_CARD_CUH

#include "kernels/cuda/pf_cuda.h"
#include "kernels/cuda/ptx.cuh"

#include <stdio.h>

#include <vector>

struct card {
    device_shape s;
    cudaStream_t stream;
    bool lost;
    std::vector<void *> memory; /* owns */
};

static bool check(card *c, int rc)
{
    if (rc != cudaSuccess) c->lost = true;
    return rc == cudaSuccess;
}

/* The card is a property of the calling thread. False: it is lost. */
static bool enter(card *c)
{
    return !c->lost && check(c, cudaSetDevice(c->s.device));
}

/* As check, but out of memory is no lost card. */
static bool has_room(card *c, int rc)
{
    if (rc == cudaErrorMemoryAllocation) (void)cudaGetLastError();
    return rc != cudaErrorMemoryAllocation && check(c, rc);
}

template <class T> static bool take(card *c, T **p, size_t n)
{
    void *got = nullptr;
    if (!has_room(c, cudaMalloc(&got, n * sizeof(T) + (n == 0)))) return false;
    *p = static_cast<T *>(got);
    c->memory.push_back(got);
    return true;
}

/* Why it was not opened. */
static const char *card_why(const card *c)
{
    return c->lost ? "it is lost: its driver may say why (dmesg)" : "out of memory";
}

/* As device_table.probe; selftest() is called with the card set. */
template <class SELFTEST> static int card_probe(int i, device_about *about, const char **why, SELFTEST selftest)
{
    int n = 0;
    cudaError_t rc = cudaGetDeviceCount(&n);
    size_t free_bytes = 0, all_bytes = 0;
    cudaDeviceProp p;
    char place[32] = "";
    *why = "";
    if (rc == cudaSuccess && about && i >= 0 && i < n) {
        if ((rc = cudaSetDevice(i)) == cudaSuccess && (rc = cudaGetDeviceProperties(&p, i)) == cudaSuccess &&
            (rc = cudaDeviceGetPCIBusId(place, sizeof place, i)) == cudaSuccess)
            rc = cudaMemGetInfo(&free_bytes, &all_bytes);
        if (rc == cudaSuccess) {
            *about = {};
            snprintf(about->name, sizeof about->name, "%.60s at %s", p.name, place);
            about->memory_bytes = free_bytes;
            about->selftest = selftest();
        }
    }
    if (rc == cudaSuccess) return n;
    *why = cudaGetErrorString(rc);
    return -1;
}

#endif
