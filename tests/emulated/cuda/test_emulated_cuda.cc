/* The emulated device itself: small kernels whose results are known, and the mistakes that it must name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

extern "C" {
#include <cmocka.h>
}

#include "cuda_fp16.h"
#include "cuda_runtime.h"
#include "mma.h"

#define LAUNCH(kernel, grid, block, n_shared, ...)                                                                     \
    emulated_launch(#kernel, kernel, grid, block, n_shared, emulated_how{stream, false}, __VA_ARGS__)
#define LAUNCH_CLUSTERS(kernel, n, grid, block, n_shared, ...)                                                         \
    emulated_launch(#kernel, kernel, grid, block, n_shared, emulated_how{stream, true, n}, __VA_ARGS__)
#define LAUNCH_BESIDE(kernel, grid, block, n_shared, ...)                                                              \
    emulated_launch(#kernel, kernel, grid, block, n_shared, emulated_how{stream, true}, __VA_ARGS__)

static cudaStream_t stream;

template <class T> static std::vector<T> host(const T *from, size_t n)
{
    std::vector<T> out(n);
    cudaStreamSynchronize(stream);
    cudaMemcpy(out.data(), from, n * sizeof(T), cudaMemcpyDeviceToHost);
    return out;
}

template <class T> static T *device(size_t n)
{
    T *p;
    assert_int_equal(cudaMalloc(&p, n * sizeof(T)), cudaSuccess);
    return p;
}

/* ---- kernels ---- */

static __global__ void sum_of_block(int *out, int skip)
{
    __shared__ int of[128];
    int i = (int)threadIdx.x;
    of[i] = i + (int)blockIdx.x * 1000;
    __syncthreads();
    for (int n = 64; n >= 1; n /= 2) {
        if (i < n) of[i] += of[i + n];
        if (!skip) __syncthreads();
    }
    if (i == 0) out[blockIdx.x] = of[0];
}

static __global__ void warp_ops(int *out)
{
    int i = (int)threadIdx.x, sum = i;
    for (int by = 16; by >= 1; by /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
    int odd = (int)__ballot_sync(0xffffffffu, i % 2), third = __shfl_sync(0xffffffffu, i, 3);
    int any = __any_sync(0xffffffffu, i == 37), all = __all_sync(0xffffffffu, i < 32);
    int down = __shfl_down_sync(0xffffffffu, i, 2), many = __syncthreads_count(i < 5);
    int *to = out + 7 * i;
    to[0] = sum, to[1] = odd, to[2] = third, to[3] = any, to[4] = all, to[5] = down, to[6] = many;
}

static __global__ void order(int *next, int *out)
{
    out[atomicAdd(next, 1)] = (int)blockIdx.x;
}

static __global__ void what_shared_memory_holds(uint32_t *out)
{
    __shared__ uint32_t fixed[4];
    uint32_t *dynamic = (uint32_t *)emulated_here.shared;
    out[2 * blockIdx.x] = fixed[3];
    out[2 * blockIdx.x + 1] = dynamic[1];
    fixed[3] = dynamic[1] = 7;
}

static __global__ void half_a_barrier(int *out)
{
    if (threadIdx.x < 40) __syncthreads();
    *out = 1;
}

static __global__ void two_barriers(int *out)
{
    if (threadIdx.x < 40)
        __syncthreads();
    else
        __syncthreads_or(1);
    *out = 1;
}

static __global__ void half_a_shuffle(int *out)
{
    if (threadIdx.x != 9) *out = __shfl_xor_sync(0xffffffffu, 1, 1);
}

static __global__ void not_of_the_mask(int *out)
{
    *out = __shfl_xor_sync(0xffffu, 1, 1);
}

static __global__ void two_operations(int *out)
{
    if (threadIdx.x < 16)
        *out = __shfl_xor_sync(0xffffffffu, 1, 1);
    else
        *out = __any_sync(0xffffffffu, 1);
}

static __global__ void store(int *out, int value)
{
    *out = value;
}

/* Adds up what its block's threads find, through shared memory; too_early: they look before they may. */
static __global__ void look_beside(const int *in, int *out, int too_early)
{
    __shared__ int of[64];
    int *dynamic = (int *)emulated_here.shared, i = (int)threadIdx.x, at = (int)blockIdx.x * 64 + i;
    of[i] = too_early ? in[at] : 0;
    __syncthreads();
    dynamic[i] = of[63 - i];
    emulated_wait_for_inputs();
    if (!too_early) dynamic[i] = in[at + 63 - 2 * i];
    __syncthreads();
    out[at] = dynamic[63 - i] + 1;
}

static __global__ void count_up(int *out, int from)
{
    emulated_wait_for_inputs();
    out[blockIdx.x * blockDim.x + threadIdx.x] = from + (int)(blockIdx.x * blockDim.x + threadIdx.x);
}

static __global__ void some_do_not_wait(int *out)
{
    if (threadIdx.x) emulated_wait_for_inputs();
    *out = 1;
}

/* A word of each copy before the wait that names it, and after. */
static __global__ void late_bulk_copies(const uint32_t *in, uint32_t *out, int n_bytes)
{
    char *shared = (char *)emulated_here.shared;
    uint64_t *barrier = (uint64_t *)(shared + 128);
    if (threadIdx.x == 0) emulated_barrier_open(barrier, 1);
    __syncwarp();
    for (int i = 0; i < 2; i++) {
        if (threadIdx.x == 0 && n_bytes) {
            emulated_barrier_expect(barrier, (unsigned)n_bytes);
            emulated_bulk_copy(shared, in + 16 * i, (unsigned)n_bytes, barrier);
        }
        __syncwarp();
        out[128 * i + 2 * threadIdx.x] = ((uint32_t *)shared)[threadIdx.x % 16];
        __syncwarp();
        emulated_barrier_wait(barrier, i);
        out[128 * i + 2 * threadIdx.x + 1] = ((uint32_t *)shared)[threadIdx.x % 16];
        __syncwarp();
    }
}

static __global__ void late_copies(const uint32_t *in, uint32_t *out)
{
    char *shared = (char *)emulated_here.shared;
    int i = (int)threadIdx.x;
    for (int group = 0; group < 2; group++) {
        if (i < 4) emulated_copy(shared + 64 * group + 16 * i, in + 16 * group + 4 * i, 16);
        emulated_copies_close_group();
    }
    for (int left = 1; left >= 0; left--) {
        emulated_copies_wait(left);
        __syncwarp();
        for (int group = 0; group < 2; group++)
            out[64 * left + 32 * group + i] = ((uint32_t *)shared)[16 * group + i % 16];
        __syncwarp();
    }
}

static __global__ void copies_that_nobody_waits_for(const uint32_t *in, int bulk)
{
    char *shared = (char *)emulated_here.shared;
    uint64_t *barrier = (uint64_t *)(shared + 16);
    if (bulk) {
        emulated_barrier_open(barrier, 1);
        emulated_bulk_copy(shared, in, 16, barrier);
    } else {
        emulated_copy(shared, in, 16);
        emulated_copies_close_group();
    }
}

static __global__ void matrix_step(float *out, int bf16)
{
    uint32_t a[4], b[2];
    float c[4], d[4];
    for (int i = 0; i < 4; i++) a[i] = 0x3c003c00u + threadIdx.x / 4 + i; /* a little over 1 */
    for (int i = 0; i < 2; i++) b[i] = 0x3c003c00u + threadIdx.x % 4 + i;
    for (int i = 0; i < 4; i++) c[i] = (float)threadIdx.x;
    emulated_warp_mma(d, a, b, c, bf16);
    for (int i = 0; i < 4; i++) out[4 * threadIdx.x + i] = d[i];
}

/* Each block's numbers go to the next one of its cluster, twice. */
static __global__ void pass_on(int *out, int skip)
{
    int *own = (int *)emulated_here.shared, i = (int)threadIdx.x, rank = emulated_cluster_rank(),
        n = (int)(gridDim.x / 2);
    emulated_wait_for_inputs();
    own[i] = (int)blockIdx.x * 100 + i;
    for (int turn = 0; turn < 2; turn++) {
        emulated_cluster_arrive();
        emulated_cluster_wait(); /* all have written */
        int got = *(int *)emulated_cluster_at(own + 63 - i, (rank + 1) % n);
        emulated_cluster_arrive();
        if (!skip) emulated_cluster_wait(); /* all have read */
        own[i] = got;
        if (skip) emulated_cluster_wait();
    }
    out[blockIdx.x * 64 + (unsigned)i] = own[i];
}

static __global__ void half_a_cluster(int *out)
{
    *out = 1;
    emulated_wait_for_inputs();
    if (blockIdx.x == 0 && threadIdx.x == 0) return;
    emulated_cluster_arrive();
    emulated_cluster_wait();
}

enum { TOO_EARLY, TOO_LATE, HALF, TWICE, NOWHERE };

static __global__ void wrong_in_a_cluster(int *out, int how)
{
    int *own = (int *)emulated_here.shared, rank = emulated_cluster_rank();
    emulated_wait_for_inputs();
    if (how == TOO_EARLY) *out = *(int *)emulated_cluster_at(own, 1 - rank);
    if (how != HALF || threadIdx.x) emulated_cluster_arrive();
    if (how == TWICE) emulated_cluster_arrive();
    emulated_cluster_wait();
    *out = *(int *)emulated_cluster_at(how == NOWHERE ? own + 64 : own, 1 - rank);
}

/* ---- tests ---- */

static void a_tree_in_shared_memory_needs_its_barriers(void **state)
{
    (void)state;
    int *out = device<int>(3), n_wrong = 0;
    for (int seed = 0; seed < 8; seed++) {
        emulated_seed((uint64_t)seed);
        LAUNCH(sum_of_block, 3, 128, 0, out, 0);
        std::vector<int> right = host(out, 3);
        for (int i = 0; i < 3; i++) assert_int_equal(right[i], 128 * 127 / 2 + 128000 * i);
        LAUNCH(sum_of_block, 3, 128, 0, out, 1);
        n_wrong += host(out, 3) != right;
    }
    assert_true(n_wrong > 4);
    cudaFree(out);
}

static void lanes_of_a_warp_exchange_and_vote(void **state)
{
    (void)state;
    int *out = device<int>(64 * 7);
    LAUNCH(warp_ops, 1, 64, 0, out);
    std::vector<int> got = host(out, 64 * 7);
    for (int i = 0; i < 64; i++) {
        int first = i / 32 * 32;
        const int expected[] = {first * 32 + 496, (int)0xaaaaaaaau,        first + 3, i >= 32,
                                i < 32,           i % 32 < 30 ? i + 2 : i, 5};
        assert_memory_equal(&got[7 * i], expected, sizeof expected);
    }
    cudaFree(out);
}

static void blocks_run_in_an_order_of_the_seed(void **state)
{
    (void)state;
    int *next = device<int>(1), *out = device<int>(64);
    std::vector<int> orders[3];
    for (int i = 0; i < 3; i++) {
        emulated_seed(i == 2 ? 9u : 8u);
        cudaMemsetAsync(next, 0, sizeof *next, stream);
        LAUNCH(order, dim3(4, 4, 4), 1, 0, next, out);
        orders[i] = host(out, 64);
    }
    assert_true(orders[0] == orders[1] && orders[0] != orders[2]);
    cudaFree(next);
    cudaFree(out);
}

static void nothing_is_done_before_the_host_waits(void **state)
{
    (void)state;
    int *at = device<int>(2), *pinned, plain = 5, value = 3;
    assert_int_equal(cudaMallocHost(&pinned, 2 * sizeof *pinned), cudaSuccess);
    pinned[0] = 1;
    LAUNCH(store, 1, 1, 0, at, value);
    value = 4; /* too late: arguments are copied */
    assert_int_equal(at[0], -1);
    assert_int_equal(cudaStreamQuery(stream), cudaSuccess);
    assert_int_equal(at[0], 3);
    cudaMemcpyAsync(at, &plain, sizeof plain, cudaMemcpyHostToDevice, stream);
    cudaMemcpyAsync(at + 1, pinned, sizeof *pinned, cudaMemcpyHostToDevice, stream);
    cudaMemcpyAsync(pinned + 1, at, sizeof *pinned, cudaMemcpyDeviceToHost, stream);
    plain = 6;
    pinned[0] = 2; /* in time: pinned memory is read when the stream comes to it */
    assert_int_equal(cudaStreamQuery(stream), cudaErrorNotReady);
    assert_int_equal(pinned[1], -1);
    cudaStreamSynchronize(stream);
    assert_int_equal(at[0], 5);
    assert_int_equal(at[1], 2);
    assert_int_equal(pinned[1], 5);
    cudaFreeHost(pinned);
    cudaFree(at);
}

static void blocks_begin_beside_the_kernel_before_and_see_its_work_once_they_wait(void **state)
{
    (void)state;
    enum { N = 4 * 64 };
    int *in = device<int>(N), *between = device<int>(N), *out = device<int>(N), n_wrong = 0;
    for (int seed = 0; seed < 16; seed++) {
        emulated_seed((uint64_t)seed);
        for (int too_early = 0; too_early < 2; too_early++) {
            const int from = 1000 * (2 * seed + too_early); /* another each time */
            LAUNCH_BESIDE(count_up, 4, 64, 0, in, from);
            LAUNCH_BESIDE(look_beside, 4, 64, 64 * sizeof(int), in, between, too_early);
            LAUNCH_BESIDE(look_beside, 4, 64, 64 * sizeof(int), between, out, 0);
            std::vector<int> got = host(out, N);
            bool right = true;
            for (int i = 0; i < N; i++) right = right && got[i] == from + i + 2;
            if (!too_early) assert_true(right);
            n_wrong += !right;
        }
    }
    assert_true(n_wrong > 8);
    for (int *p : {in, between, out}) cudaFree(p);
}

static void bytes_of_a_copy_are_there_at_the_wait_that_names_them(void **state)
{
    (void)state;
    uint32_t *in = device<uint32_t>(32), *out = device<uint32_t>(256), words[32];
    for (uint32_t i = 0; i < 32; i++) words[i] = 100 + i;
    cudaMemcpy(in, words, sizeof words, cudaMemcpyHostToDevice);
    for (int seed = 0; seed < 8; seed++) {
        emulated_seed((uint64_t)seed);
        LAUNCH(late_bulk_copies, 1, 32, 136, in, out, 64);
        std::vector<uint32_t> got = host(out, 256);
        for (uint32_t i = 0; i < 2; i++)
            for (uint32_t lane = 0; lane < 32; lane++) {
                assert_int_equal(got[128 * i + 2 * lane], 0xffffffffu);
                assert_int_equal(got[128 * i + 2 * lane + 1], 100 + 16 * i + lane % 16);
            }
        LAUNCH(late_copies, 1, 32, 128, in, out);
        got = host(out, 128);
        for (uint32_t lane = 0; lane < 32; lane++) {
            assert_int_equal(got[64 + lane], 100 + lane % 16); /* the older group; the other is on its way */
            assert_int_equal(got[96 + lane], 0xffffffffu);
            assert_int_equal(got[lane], 100 + lane % 16);
            assert_int_equal(got[32 + lane], 116 + lane % 16);
        }
    }
    cudaFree(in);
    cudaFree(out);
}

static void blocks_of_a_cluster_read_each_other_s_shared_memory_between_its_barriers(void **state)
{
    (void)state;
    enum { N = 3, BLOCKS = 2 * N };
    int *out = device<int>(BLOCKS * 64), n_wrong = 0;
    for (int seed = 0; seed < 16; seed++) {
        emulated_seed((uint64_t)seed);
        for (int skip = 0; skip < 2; skip++) {
            LAUNCH_CLUSTERS(pass_on, N, BLOCKS, 64, 64 * sizeof(int), out, skip);
            std::vector<int> got = host(out, BLOCKS * 64);
            bool right = true;
            for (int i = 0; i < BLOCKS * 64; i++)
                right = right && got[i] == (i / 64 / N * N + (i / 64 + 2) % N) * 100 + i % 64;
            if (!skip) assert_true(right);
            n_wrong += !right;
        }
    }
    assert_true(n_wrong > 8);
    cudaFree(out);
}

static void a_graph_is_the_same_work_again(void **state)
{
    (void)state;
    int *at = device<int>(64), *pinned;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    assert_int_equal(cudaMallocHost(&pinned, 2 * sizeof *pinned), cudaSuccess);
    assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    LAUNCH(count_up, 1, 64, 0, at, 7);
    cudaMemcpyAsync(at + 1, pinned, sizeof *pinned, cudaMemcpyHostToDevice, stream);
    LAUNCH(store, 1, 1, 0, at + 2, 5);
    cudaMemcpyAsync(pinned + 1, at, sizeof *pinned, cudaMemcpyDeviceToHost, stream);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    cudaGraphDestroy(graph);
    assert_int_equal(cudaStreamQuery(stream), cudaSuccess); /* nothing has begun */
    assert_int_equal(at[0], -1);
    for (int i = 0; i < 2; i++) {
        cudaMemsetAsync(at, 0xff, 64 * sizeof *at, stream);
        pinned[0] = 40 + i; /* as it is when the graph comes to it */
        assert_int_equal(cudaGraphLaunch(exec, stream), cudaSuccess);
        std::vector<int> got = host(at, 4);
        assert_true(got[0] == 7 && got[1] == 40 + i && got[2] == 5 && got[3] == 10 && pinned[1] == 7);
        pinned[1] = 0;
    }
    cudaGraphExecDestroy(exec);
    cudaFreeHost(pinned);
    cudaFree(at);
}

static void shared_memory_begins_as_nothing(void **state)
{
    (void)state;
    uint32_t *out = device<uint32_t>(8);
    LAUNCH(what_shared_memory_holds, 4, 1, 8, out);
    for (uint32_t word : host(out, 8)) assert_int_equal(word, 0xffffffffu);
    cudaFree(out);
}

static void halves_are_rounded_once_to_even(void **state)
{
    (void)state;
    static const struct {
        float from;
        uint16_t to;
    } rows[] = {{1, 0x3c00},          {-2, 0xc000},         {65504, 0x7bff},       {65519.996f, 0x7bff},
                {65520, 0x7c00},      {0x1p-24f, 1},        {0x1p-25f, 0},         {0x1.8p-24f, 2},
                {0x1.002p0f, 0x3c00}, {0x1.006p0f, 0x3c02}, {0x1.ff8p-15f, 0x3ff}, {0x1.fffp-15f, 0x400},
                {-0.0f, 0x8000},      {INFINITY, 0x7c00}};
    for (auto &row : rows) assert_int_equal(__half_as_ushort(__float2half_rn(row.from)), row.to);
    for (unsigned h = 0; h < 0x10000; h++)
        if ((h & 0x7c00) != 0x7c00)
            assert_int_equal(__half_as_ushort(__float2half_rn(__half2float(__ushort_as_half((uint16_t)h)))), h);
    /* 1.5 * (1 + 2^-10) - 2^-24: exactly below the tie 1.5 + 3 * 2^-11, which would be rounded up */
    assert_int_equal(emulated_hfma(0x3e00, 0x3c01, 0x8001), 0x3e01);
    assert_int_equal(emulated_hfma(0x3e00, 0x3c01, 0), 0x3e02);
}

/* Row 0 and column 0 of a step: one product of `first`, fifteen of `others`. */
static void a_step_of_the_tensor_core_cuts_as_published(void **state)
{
    (void)state;
    static const struct {
        uint16_t first[2], others[2];
        float c, d;
    } rows[] = {
        {{0x3c00, 0x3c00}, {0, 0x3c00}, 0, 1},
        {{0x3c00, 0x3c00}, {0x3c00, 0x4000}, 0.5f, 31.5f},
        {{0x3c00, 0x3c00}, {0x0800, 0x0800}, 0, 1},                    /* 2^-26: cut one by one */
        {{0x3c00, 0x3c00}, {0x0800, 0x0c00}, 0, 1 + 3 * 0x1p-23f},     /* 15 * 2^-25 */
        {{0xbc00, 0x3c00}, {0x8800, 0x0c00}, 0, -1 - 3 * 0x1p-23f},    /* toward zero */
        {{0x3c00, 0x3c00}, {0x8800, 0x0c00}, 0, 1 - 0x1p-21f},         /* 1 - 15 * 2^-25, cut to 24 bits */
        {{0x3c00, 0x3c00}, {0, 0}, 0x1p25f, 0x1p25f},                  /* kept in the sum, cut from fp32 */
        {{0x3c00, 0x3c00}, {0x3c00, 0x3c00}, -0x1p25f, -0x1p25f + 16}, /* exact */
        {{0x0001, 0x3c00}, {0x0001, 0x0001}, 0, 0x1p-24f},             /* denormals have exponent -14 */
        {{0x0001, 0x0001}, {0, 0x7bff}, 0, 0x1p-48f},                  /* zero has no say in the exponent */
        {{0x3c00, 0x7c00}, {0, 0}, 0, INFINITY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint16_t a[16 * 16] = {0}, b[16 * 8] = {0};
        float c[16 * 8] = {rows[i].c}, d[16 * 8];
        for (int k = 0; k < 16; k++) {
            const uint16_t *pair = k == 5 ? rows[i].first : rows[i].others;
            a[k] = pair[0], b[k * 8] = pair[1];
        }
        emulated_mma(d, a, b, c, false);
        if (memcmp(d, &rows[i].d, sizeof *d)) fail_msg("row %zu: %a, not %a", i, (double)d[0], (double)rows[i].d);
        assert_true(d[1] == 0 && (d[8] == 0 || isinf(d[0])));
    }
}

static void a_warp_s_step_is_the_matrix_s(void **state)
{
    (void)state;
    float *out = device<float>(128);
    for (int bf16 = 0; bf16 < 2; bf16++) {
        LAUNCH(matrix_step, 1, 32, 0, out, bf16);
        std::vector<float> got = host(out, 128);
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < 4; i++) {
                double sum = lane; /* 16 products, a[g(+8)][k] b[k][2t(+1)] */
                int row = lane / 4 + i / 2 * 8, column = 2 * (lane % 4) + i % 2;
                for (int k = 0; k < 16; k++) {
                    uint32_t wa = 0x3c003c00u + (uint32_t)(row % 8 + row / 8 + k / 8 * 2);
                    uint32_t wb = 0x3c003c00u + (uint32_t)(k % 8 / 2 + k / 8);
                    uint16_t ha = (uint16_t)(k % 2 ? wa >> 16 : wa), hb = (uint16_t)(k % 2 ? wb >> 16 : wb);
                    (void)column;
                    sum += bf16 ? (double)__uint_as_float((uint32_t)ha << 16) * __uint_as_float((uint32_t)hb << 16)
                                : (double)emulated_f32_of_f16(ha) * emulated_f32_of_f16(hb);
                }
                assert_true(fabs(got[4 * lane + i] - sum) <= 0x1p-18 * sum + 1e-9);
            }
    }
    cudaFree(out);
}

/* What a child that runs it writes before it ends; "" if it ends well. */
static std::string line_of(const std::function<void()> &run)
{
    int ends[2];
    char text[4096];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], 2);
        close(ends[0]);
        run();
        cudaStreamSynchronize(stream);
        _exit(0);
    }
    close(ends[1]);
    std::string all;
    for (ssize_t n; (n = read(ends[0], text, sizeof text)) > 0;) all.append(text, (size_t)n);
    close(ends[0]);
    int status;
    waitpid(child, &status, 0);
    return status == 0 ? "" : all;
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static int *out;
    static uint32_t *in;
    out = device<int>(1);
    in = device<uint32_t>(256);
    const struct {
        std::function<void()> run;
        const char *text;
    } rows[] = {
        {[] { LAUNCH(half_a_barrier, 1, 64, 0, out); }, "is reached by 40 of 64 threads; 24 have ended"},
        {[] { LAUNCH(two_barriers, 1, 64, 0, out); }, "threads wait at two barriers at once"},
        {[] { LAUNCH(half_a_shuffle, 2, 32, 0, out); },
         "__shfl_xor_sync of lanes ffffffff is reached by lanes fffffdff"},
        {[] { LAUNCH(not_of_the_mask, 1, 32, 0, out); }, "__shfl_xor_sync of lanes 0000ffff is run by lane"},
        {[] { LAUNCH(two_operations, 1, 32, 0, out); }, "lanes of a warp meet in different operations"},
        {[] { LAUNCH(store, 1, 1, 49 << 10, out, 1); }, "with 50176 bytes of shared memory, it may have 49152"},
        {[] { LAUNCH(store, 1, 2048, 0, out, 1); }, "store is launched with blocks of 2048 threads"},
        {[] { LAUNCH(store, dim3(1, 0), 1, 0, out, 1); }, "with a grid of (1, 0, 1)"},
        {[] { LAUNCH_BESIDE(some_do_not_wait, 1, 32, 0, out); }, "a thread ends and has not waited for its inputs"},
        {[] {
             cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
             cudaStreamQuery(stream);
         },
         "the host waits for a stream that captures"},
        {[] {
             int there = 1;
             cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
             cudaMemcpyAsync(out, &there, sizeof there, cudaMemcpyHostToDevice, stream);
         },
         "a copy is captured whose host memory is not pinned"},
        {[] { LAUNCH(late_bulk_copies, 1, 32, 136, in, in, 0); }, "a wait for an mbarrier's phase that nothing ends"},
        {[] { LAUNCH(late_bulk_copies, 1, 32, 136, in, in, 24); }, "a copy of 24 bytes"},
        {[] { LAUNCH(copies_that_nobody_waits_for, 1, 1, 24, in, 1); }, "the block ends with bulk copies under way"},
        {[] { LAUNCH(copies_that_nobody_waits_for, 1, 1, 24, in, 0); }, "thread 0 ends with copies under way"},
        {[] { LAUNCH_CLUSTERS(wrong_in_a_cluster, 2, 3, 32, 64, out, 0); }, "in clusters of 2, a grid of 3"},
        {[] { LAUNCH_CLUSTERS(wrong_in_a_cluster, 2, 2, 32, 64, out, TOO_EARLY); },
         "of the cluster may not have begun"},
        {[] { LAUNCH_CLUSTERS(wrong_in_a_cluster, 2, 2, 32, 64, out, TOO_LATE); },
         "of its cluster may read its shared"},
        {[] { LAUNCH_CLUSTERS(wrong_in_a_cluster, 2, 2, 32, 64, out, HALF); },
         "waits at the cluster's barrier and has"},
        {[] { LAUNCH_CLUSTERS(wrong_in_a_cluster, 2, 2, 32, 64, out, TWICE); }, "arrives at the cluster's barrier and"},
        {[] { LAUNCH_CLUSTERS(wrong_in_a_cluster, 2, 2, 32, 64, out, NOWHERE); }, "not in dynamic shared memory"},
        {[] { LAUNCH_CLUSTERS(half_a_cluster, 2, 2, 32, 64, out); }, "barrier is reached by 63 of 64 threads"},
        {[] { cudaFree(out + 1); }, "cudaFree of what cudaMalloc did not give"},
#ifdef __SANITIZE_ADDRESS__
        {[] { LAUNCH(store, 1, 1, 0, out + 1, 1); }, "heap-buffer-overflow"},
#endif
    };
    for (auto &row : rows) {
        std::string line = line_of(row.run);
        if (line.find(row.text) == std::string::npos) fail_msg("\"%s\" is not in \"%s\"", row.text, line.c_str());
    }
    assert_string_equal(line_of([] { LAUNCH(store, 1, 1, 0, out, 1); }).c_str(), "");
    cudaFree(out);
    cudaFree(in);
}

/* ---- the fake NCCL: its calls, as kernels/cuda/nccl.cuh has them ---- */

struct nccl_id {
    char bytes[128];
};
struct nccl_config {
    size_t size;
    unsigned magic, version;
    int blocking;
};
struct ncclComm;
extern "C" int ncclGetUniqueId(nccl_id *id);
extern "C" int ncclCommInitRankConfig(ncclComm **comm, int n, nccl_id id, int self, nccl_config *config);
extern "C" int ncclCommGetAsyncError(ncclComm *comm, int *result);
extern "C" int ncclCommAbort(ncclComm *comm);
extern "C" int ncclAllGather(const void *from, void *to, size_t n, int type, ncclComm *comm, cudaStream_t s);
extern "C" int ncclSend(const void *from, size_t n, int type, int to, ncclComm *comm, cudaStream_t s);
extern "C" int ncclRecv(void *to, size_t n, int type, int from, ncclComm *comm, cudaStream_t s);
enum { NCCL_OK = 0, NCCL_INVALID_USAGE = 5, NCCL_IN_PROGRESS = 7, NCCL_FLOAT = 7 };

static int goes_on(ncclComm *comm)
{
    int result = NCCL_IN_PROGRESS;
    while (result == NCCL_IN_PROGRESS) assert_int_equal(ncclCommGetAsyncError(comm, &result), NCCL_OK);
    return result;
}

static void what_members_exchange_comes_late_and_in_the_stream_s_order(void **state)
{
    (void)state;
    nccl_id id;
    ncclComm *comm[2];
    cudaStream_t streams[2];
    float *rows[2];
    int result;
    assert_int_equal(ncclGetUniqueId(&id), NCCL_OK);
    for (int i = 0; i < 2; i++) {
        nccl_config config = {sizeof config, 0xcafebeefu, 21400, 0};
        assert_int_equal(ncclCommInitRankConfig(&comm[i], 2, id, i, &config), NCCL_IN_PROGRESS);
        assert_int_equal(ncclCommGetAsyncError(comm[0], &result), NCCL_OK);
        assert_int_equal(result, NCCL_IN_PROGRESS); /* the other one, or what it has to do */
        cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking);
        rows[i] = device<float>(2);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(goes_on(comm[i]), NCCL_OK);
        rows[i][0] = rows[i][1] = 7;
        const float own = 1.0f + (float)i;
        cudaMemcpyAsync(rows[i] + i, &own, sizeof own, cudaMemcpyHostToDevice, streams[i]);
        assert_int_equal(ncclAllGather(rows[i] + i, rows[i], 1, NCCL_FLOAT, comm[i], streams[i]), NCCL_IN_PROGRESS);
        assert_true(rows[i][0] == 7 && rows[i][1] == 7); /* nothing is done before the host waits */
    }
    for (int i = 0; i < 2; i++) assert_int_equal(cudaStreamQuery(streams[0]), cudaErrorNotReady);
    assert_true(rows[0][0] == 1 && rows[0][1] != rows[0][1]); /* not there yet: no number */
    cudaStreamSynchronize(streams[1]);
    cudaStreamSynchronize(streams[0]);
    for (int i = 0; i < 2; i++) assert_true(rows[i][0] == 1 && rows[i][1] == 2);
    /* A call before the last one is done with, and two sizes, are errors. */
    assert_int_equal(ncclSend(rows[0], 2, NCCL_FLOAT, 1, comm[0], streams[0]), NCCL_INVALID_USAGE);
    for (int i = 0; i < 2; i++) assert_int_equal(goes_on(comm[i]), NCCL_OK);
    assert_int_equal(ncclSend(rows[0], 2, NCCL_FLOAT, 1, comm[0], streams[0]), NCCL_IN_PROGRESS);
    assert_int_equal(ncclRecv(rows[1], 1, NCCL_FLOAT, 0, comm[1], streams[1]), NCCL_IN_PROGRESS);
    cudaStreamSynchronize(streams[1]); /* streams[0] needs no wait: others wait for what is sent */
    assert_int_equal(goes_on(comm[1]), NCCL_INVALID_USAGE);
    for (int i = 0; i < 2; i++) {
        ncclCommAbort(comm[i]);
        cudaStreamDestroy(streams[i]);
        cudaFree(rows[i]);
    }
    assert_int_not_equal(access(id.bytes, F_OK), 0); /* nothing is left */
}

static int open_stream(void **state)
{
    (void)state;
    return cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
}

static int close_stream(void **state)
{
    (void)state;
    return cudaStreamDestroy(stream);
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_in_shared_memory_needs_its_barriers),
        cmocka_unit_test(lanes_of_a_warp_exchange_and_vote),
        cmocka_unit_test(blocks_run_in_an_order_of_the_seed),
        cmocka_unit_test(nothing_is_done_before_the_host_waits),
        cmocka_unit_test(blocks_begin_beside_the_kernel_before_and_see_its_work_once_they_wait),
        cmocka_unit_test(bytes_of_a_copy_are_there_at_the_wait_that_names_them),
        cmocka_unit_test(blocks_of_a_cluster_read_each_other_s_shared_memory_between_its_barriers),
        cmocka_unit_test(a_graph_is_the_same_work_again),
        cmocka_unit_test(shared_memory_begins_as_nothing),
        cmocka_unit_test(halves_are_rounded_once_to_even),
        cmocka_unit_test(a_step_of_the_tensor_core_cuts_as_published),
        cmocka_unit_test(a_warp_s_step_is_the_matrix_s),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(what_members_exchange_comes_late_and_in_the_stream_s_order),
    };
    return cmocka_run_group_tests(tests, open_stream, close_stream);
}
