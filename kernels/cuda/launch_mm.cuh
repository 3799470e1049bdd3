/* launch_mm.cuh -- which form of mm.cuh, or of mm_wide.cuh, a matrix and a number of rows take. */
#ifndef KERNELS_CUDA_LAUNCH_MM_CUH
#define KERNELS_CUDA_LAUNCH_MM_CUH

#include "kernels/cuda/mm_wide.cuh"

enum { SHARED_PLAIN = 48 << 10, /* more is asked for */ SHARED_TWO = 113 << 10 /* of which two blocks fit */ };

struct matrix {
    enum quant type;
    int n_in, n_out;
    layout l;
    uint8_t *weights; /* [l.n_bytes] on the device */
};

static mm_args mm_args_of(const matrix *m)
{
    mm_args a = {};
    a.weights = m->weights;
    a.l = m->l;
    a.n_in = m->n_in;
    return a;
}

struct mm_card {
    int blocks; /* that fill it; each walks over panels */
    int shared; /* bytes that a block may ask for */
};

/* A kernel of MM_THREADS. */
static int launch_shared(void (*kernel)(mm_args), dim3 grid, size_t n_shared, const mm_args &a, launch_on on)
{
    if (n_shared > SHARED_PLAIN) {
        const int rc = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)n_shared);
        if (rc) return rc;
    }
    return PF_LAUNCH(kernel, grid, MM_THREADS, n_shared, on, a);
}

/* Tiles of n panels, and blocks of `height` token rows, that a product touches. */
static int units_of(const mm_args &a, int n)
{
    return (a.first_panel + a.n_panels - 1) / n - a.first_panel / n + 1;
}

static int blocks_of(const mm_args &a, int height)
{
    return (a.row + a.n_rows - 1) / height - a.row / height + 1;
}

template <enum quant TYPE, int NT, int P> static int launch_tiles(mm_args a, const mm_card &card, launch_on on)
{
    constexpr size_t n_shared = mm_n_shared<TYPE, NT, P>();
    static_assert(n_shared <= SHARED_TWO && (P > 1 || n_shared <= SHARED_LEAST), "two kernels live side by side");
    const int n_units = units_of(a, P);
    const dim3 grid((unsigned)(n_units < card.blocks ? n_units : card.blocks), (unsigned)blocks_of(a, NT * TILE));
    a.copy_bytes = P * layout_group_of(TYPE).n_bytes;
    return launch_shared(mm<TYPE, NT, P>, grid, n_shared, a, on);
}

/* Two panels a warp, or where a card has no room for that, one: the same bits. */
template <enum quant TYPE, int NT> static int launch_two(const mm_args &a, const mm_card &card, launch_on on)
{
    constexpr int n_shared = (int)mm_n_shared<TYPE, NT, PAIR>();
    if constexpr (n_shared > SHARED_LEAST)
        if (n_shared > card.shared) return launch_tiles<TYPE, NT, 1>(a, card, on);
    return launch_tiles<TYPE, NT, PAIR>(a, card, on);
}

/* ---- many token rows ---- */

/* Blocks beside each other for as many token rows as there are, which fill the card once. */
static int wide_blocks(const mm_args &a, const mm_card &card, int n_units)
{
    const int n = card.blocks / ((blocks_of(a, MM_MOST_TILES * TILE) + WIDE_BLOCKS - 1) / WIDE_BLOCKS);
    return n_units < n ? n_units : n > 0 ? n : 1;
}

template <enum quant TYPE, int NT, int P>
static int launch_wide_tiles(const mm_args &a, const mm_card &card, launch_on on)
{
    typedef wide_stage<TYPE, NT, P> s;
    const int n_rows = (blocks_of(a, MM_MOST_TILES * TILE) + WIDE_BLOCKS - 1) / WIDE_BLOCKS;
    const dim3 grid((unsigned)wide_blocks(a, card, units_of(a, s::high * P)), (unsigned)n_rows);
    return launch_shared(mm_wide<TYPE, NT, P>, grid, (size_t)(s::n * s::stride), a, on);
}

/* Panels that a block computes, one tile after another. */
static int wide_time(const mm_args &a, const mm_card &card, int n_panels)
{
    const int n_units = units_of(a, n_panels), n = wide_blocks(a, card, n_units);
    return (n_units + n - 1) / n * n_panels;
}

/* The highest tile of those that take no longer than others, if the card has room for it. */
template <enum quant TYPE> static int launch_wide(const mm_args &a, const mm_card &card, launch_on on)
{
    typedef wide_stage<TYPE, 16, 2> most;
    const int high = wide_time(a, card, 16), low = wide_time(a, card, 8), lowest = wide_time(a, card, 4);
    if (card.shared >= most::n * most::stride && high <= low && high <= lowest)
        return launch_wide_tiles<TYPE, 16, 2>(a, card, on);
    return low <= lowest ? launch_wide_tiles<TYPE, 8, 2>(a, card, on) : launch_wide_tiles<TYPE, 8, 1>(a, card, on);
}

/* tiles: as x lies (layout_x). One panel a warp where two would leave multiprocessors without work. */
template <enum quant TYPE> static int launch_rows(const mm_args &a, int tiles, const mm_card &card, launch_on on)
{
    switch (tiles) {
    case 1: return a.n_panels <= card.blocks ? launch_tiles<TYPE, 1, 1>(a, card, on) : launch_two<TYPE, 1>(a, card, on);
    case 2: return launch_two<TYPE, 2>(a, card, on);
    case 4: return launch_two<TYPE, 4>(a, card, on);
    default:
        return blocks_of(a, MM_MOST_TILES * TILE) > 1 ? launch_wide<TYPE>(a, card, on)
                                                      : launch_tiles<TYPE, MM_MOST_TILES, 1>(a, card, on);
    }
}

template <enum quant TYPE> struct mm_form {
    static constexpr enum quant type = TYPE;
};

/* call(mm_form of a type that lies as this one does); F32 has kernels of its own. */
template <class CALL> static int with_form(enum quant type, CALL call)
{
    switch (type) {
    case QUANT_F32: break;
    case QUANT_F16: return call(mm_form<QUANT_F16>{});
    case QUANT_BF16: return call(mm_form<QUANT_BF16>{});
    case QUANT_Q4_0: return call(mm_form<QUANT_Q4_0>{});
    case QUANT_Q5_0: return call(mm_form<QUANT_Q5_0>{});
    case QUANT_Q8_0: return call(mm_form<QUANT_Q8_0>{});
    case QUANT_Q2_K: return call(mm_form<QUANT_Q2_K>{});
    case QUANT_Q3_K: return call(mm_form<QUANT_Q3_K>{});
    case QUANT_Q4_1:
    case QUANT_Q4_K: return call(mm_form<QUANT_Q4_K>{});
    case QUANT_Q5_1:
    case QUANT_Q5_K: return call(mm_form<QUANT_Q5_K>{});
    case QUANT_Q6_K: return call(mm_form<QUANT_Q6_K>{});
    }
    return cudaErrorInvalidValue;
}

static int launch_mm(enum quant type, const mm_args &a, int tiles, const mm_card &card, launch_on on)
{
    const dim3 grid((unsigned)a.n_panels, (unsigned)(a.n_rows + TILE - 1) / TILE);
    if (type == QUANT_F32) return PF_LAUNCH(mm_f32, grid, PANEL * TILE, 0, on, a);
    return with_form(type, [&](auto form) { return launch_rows<form.type>(a, tiles, card, on); });
}

template <enum quant TYPE> static int launch_one_row(const mm_args &a, int i_row, launch_on on)
{
    auto kernel = mm_row<TYPE>;
    return PF_LAUNCH(kernel, 1, MM_THREADS, 0, on, a, i_row);
}

static int launch_mm_row(enum quant type, const mm_args &a, int i_row, launch_on on)
{
    if (type == QUANT_F32) return launch_one_row<QUANT_F32>(a, i_row, on);
    return with_form(type, [&](auto form) { return launch_one_row<form.type>(a, i_row, on); });
}

#endif
