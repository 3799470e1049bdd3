/* launch_mm.cuh -- which form of mm.cuh a matrix and a number of rows take. */
#ifndef KERNELS_CUDA_LAUNCH_MM_CUH
#define KERNELS_CUDA_LAUNCH_MM_CUH

#include "kernels/cuda/mm.cuh"

struct matrix {
    enum quant type;
    int n_in, n_out;
    layout l;
    uint8_t *panels; /* [ceil(n_out/16), l.n_bytes] on the device */
};

static mm_args mm_args_of(const matrix *m)
{
    const layout_format f = layout_format_of(m->type);
    mm_args a = {};
    a.panels = m->panels;
    a.l = m->l;
    a.n_in = m->n_in;
    a.unit = f.unit;
    a.n_scale = f.n_scale;
    a.offset = f.offset;
    return a;
}

template <int BITS, bool FLAG, int NT> static int launch_tiles(const mm_args &a, int n_panels, cudaStream_t stream)
{
    auto kernel = mm<BITS, FLAG, NT>;
    const size_t n_shared = (size_t)layout_n_parts(layout_n_units(a.n_in, a.unit)) * NT * 4 * WARP * sizeof(float);
    const dim3 grid((unsigned)n_panels, (unsigned)(a.n_rows + NT * TILE - 1) / (NT * TILE));
    return PF_LAUNCH(kernel, grid, MM_THREADS, n_shared, stream, a);
}

template <int BITS, bool FLAG> static int launch_rows(const mm_args &a, int n_panels, cudaStream_t stream)
{
    if (a.n_rows <= TILE) return launch_tiles<BITS, FLAG, 1>(a, n_panels, stream);
    if (a.n_rows <= 2 * TILE) return launch_tiles<BITS, FLAG, 2>(a, n_panels, stream);
    if (a.n_rows <= 4 * TILE) return launch_tiles<BITS, FLAG, 4>(a, n_panels, stream);
    return launch_tiles<BITS, FLAG, MM_MOST_TILES>(a, n_panels, stream);
}

static int launch_mm(enum quant type, const mm_args &a, int n_panels, cudaStream_t stream)
{
    switch (type) {
    case QUANT_F32: {
        const dim3 grid((unsigned)n_panels, (unsigned)(a.n_rows + TILE - 1) / TILE);
        return PF_LAUNCH(mm_f32, grid, PANEL * TILE, 0, stream, a);
    }
    case QUANT_F16: return launch_rows<16, false>(a, n_panels, stream);
    case QUANT_BF16: return launch_rows<16, true>(a, n_panels, stream);
    case QUANT_Q4_0:
    case QUANT_Q3_K: return launch_rows<4, false>(a, n_panels, stream);
    case QUANT_Q4_1:
    case QUANT_Q2_K:
    case QUANT_Q4_K: return launch_rows<4, true>(a, n_panels, stream);
    case QUANT_Q5_0: return launch_rows<5, false>(a, n_panels, stream);
    case QUANT_Q5_1:
    case QUANT_Q5_K: return launch_rows<5, true>(a, n_panels, stream);
    case QUANT_Q6_K: return launch_rows<6, false>(a, n_panels, stream);
    case QUANT_Q8_0: return launch_rows<8, false>(a, n_panels, stream);
    }
    return cudaErrorInvalidValue;
}

template <int BITS, bool FLAG> static int launch_one_row(const mm_args &a, int i_row, cudaStream_t stream)
{
    auto kernel = mm_row<BITS, FLAG>;
    return PF_LAUNCH(kernel, 1, MM_THREADS, 0, stream, a, i_row);
}

static int launch_mm_row(enum quant type, const mm_args &a, int i_row, cudaStream_t stream)
{
    switch (type) {
    case QUANT_F32: return launch_one_row<32, false>(a, i_row, stream);
    case QUANT_F16: return launch_one_row<16, false>(a, i_row, stream);
    case QUANT_BF16: return launch_one_row<16, true>(a, i_row, stream);
    case QUANT_Q4_0:
    case QUANT_Q3_K: return launch_one_row<4, false>(a, i_row, stream);
    case QUANT_Q4_1:
    case QUANT_Q2_K:
    case QUANT_Q4_K: return launch_one_row<4, true>(a, i_row, stream);
    case QUANT_Q5_0: return launch_one_row<5, false>(a, i_row, stream);
    case QUANT_Q5_1:
    case QUANT_Q5_K: return launch_one_row<5, true>(a, i_row, stream);
    case QUANT_Q6_K: return launch_one_row<6, false>(a, i_row, stream);
    case QUANT_Q8_0: return launch_one_row<8, false>(a, i_row, stream);
    }
    return cudaErrorInvalidValue;
}

#endif
