/* next.cuh -- from a step of a pass to the next one: the ids that its head found become rows of X, without the host. */
#ifndef KERNELS_CUDA_NEXT_CUH
#define KERNELS_CUDA_NEXT_CUH

#include "kernels/cuda/glue.cuh"
#include "kernels/cuda/launch_mm.cuh"

struct next_args {
    const head_part *found; /* of row i at i * ld: its id */
    size_t ld;
    const device_row *rows;
    int n_ids; /* rows of the matrix: a bad row may have found any number */
    float scale;
};

/* A block a row: rounded as a row of the matrix is, then as the host scales it. */
template <enum quant TYPE> static __global__ void __launch_bounds__(MM_THREADS) mm_next(mm_args a, next_args n)
{
    let_next_begin();
    wait_for_inputs();
    const int row = (int)blockIdx.x, found = n.found[(size_t)row * n.ld].id;
    const int id = found < 0 ? 0 : found < n.n_ids ? found : n.n_ids - 1;
    if (!row_is_there(n.rows, row)) return;
    const float undo = reinterpret_cast<const float *>(a.weights + a.l.undo)[id];
    for (int k = (int)threadIdx.x; k < a.n_in; k += MM_THREADS)
        a.out[(size_t)row * a.ld_out + (size_t)k] = (value_at<TYPE>(a, id, k) * undo) * n.scale;
}

template <enum quant TYPE> static int launch_next_of(const mm_args &a, const next_args &n, launch_on on)
{
    auto kernel = mm_next<TYPE>;
    return PF_LAUNCH(kernel, a.n_rows, MM_THREADS, 0, on, a, n);
}

static int launch_next(enum quant type, const mm_args &a, const next_args &n, launch_on on)
{
    if (type == QUANT_F32) return launch_next_of<QUANT_F32>(a, n, on);
    return with_form(type, [&](auto form) { return launch_next_of<form.type>(a, n, on); });
}

#endif
