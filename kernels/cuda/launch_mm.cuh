/* launch_mm.cuh -- which form of mm.cuh a matrix and a number of rows take. */
#ifndef KERNELS_CUDA_LAUNCH_MM_CUH
#define KERNELS_CUDA_LAUNCH_MM_CUH

#include "kernels/cuda/mm.cuh"

enum { SHARED_PLAIN = 48 << 10, /* more is asked for */ SHARED_TWO = 113 << 10 /* of which two blocks fit */ };
static_assert(mm_n_shared(16, layout_of(QUANT_BF16, GROUP).group_bytes, MM_MOST_TILES) <= SHARED_TWO, "the largest");

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

/* most: blocks that fill the card; each walks over panels. */
template <int BITS, bool FLAG, int NT> static int launch_tiles(const mm_args &a, int most, launch_on on)
{
    auto kernel = mm<BITS, FLAG, NT>;
    const size_t n_shared = mm_n_shared(BITS, a.l.group_bytes, NT);
    const dim3 grid((unsigned)(a.n_panels < most ? a.n_panels : most),
                    (unsigned)(a.n_rows + NT * TILE - 1) / (NT * TILE));
    if (n_shared > SHARED_PLAIN) {
        const int rc = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)n_shared);
        if (rc) return rc;
    }
    return PF_LAUNCH(kernel, grid, MM_THREADS, n_shared, on, a);
}

template <int BITS, bool FLAG> static int launch_rows(const mm_args &a, int most, launch_on on)
{
    if (a.n_rows <= TILE) return launch_tiles<BITS, FLAG, 1>(a, most, on);
    if (a.n_rows <= 2 * TILE) return launch_tiles<BITS, FLAG, 2>(a, most, on);
    if (a.n_rows <= 4 * TILE) return launch_tiles<BITS, FLAG, 4>(a, most, on);
    return launch_tiles<BITS, FLAG, MM_MOST_TILES>(a, most, on);
}

/* BITS, and FLAG: bf16 of floats of 16 bits, minima of integers. */
template <int BITS, bool FLAG> struct mm_form {
    static constexpr int bits = BITS;
    static constexpr bool flag = FLAG;
};

/* call(mm_form of the format); F32 has kernels of its own. */
template <class CALL> static int with_form(enum quant type, CALL call)
{
    switch (type) {
    case QUANT_F32: break;
    case QUANT_F16: return call(mm_form<16, false>{});
    case QUANT_BF16: return call(mm_form<16, true>{});
    case QUANT_Q4_0:
    case QUANT_Q3_K: return call(mm_form<4, false>{});
    case QUANT_Q4_1:
    case QUANT_Q2_K:
    case QUANT_Q4_K: return call(mm_form<4, true>{});
    case QUANT_Q5_0: return call(mm_form<5, false>{});
    case QUANT_Q5_1:
    case QUANT_Q5_K: return call(mm_form<5, true>{});
    case QUANT_Q6_K: return call(mm_form<6, false>{});
    case QUANT_Q8_0: return call(mm_form<8, false>{});
    }
    return cudaErrorInvalidValue;
}

static int launch_mm(enum quant type, const mm_args &a, int most, launch_on on)
{
    const dim3 grid((unsigned)a.n_panels, (unsigned)(a.n_rows + TILE - 1) / TILE);
    if (type == QUANT_F32) return PF_LAUNCH(mm_f32, grid, PANEL * TILE, 0, on, a);
    return with_form(type, [&](auto form) { return launch_rows<form.bits, form.flag>(a, most, on); });
}

template <int BITS, bool FLAG> static int launch_one_row(const mm_args &a, int i_row, launch_on on)
{
    auto kernel = mm_row<BITS, FLAG>;
    return PF_LAUNCH(kernel, 1, MM_THREADS, 0, on, a, i_row);
}

static int launch_mm_row(enum quant type, const mm_args &a, int i_row, launch_on on)
{
    if (type == QUANT_F32) return launch_one_row<32, false>(a, i_row, on);
    return with_form(type, [&](auto form) { return launch_one_row<form.bits, form.flag>(a, i_row, on); });
}

#endif
