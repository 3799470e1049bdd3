/* launch_cluster.cuh -- which products go by clusters (mm_cluster.cuh), and in how many. */
#ifndef KERNELS_CUDA_LAUNCH_CLUSTER_CUH
#define KERNELS_CUDA_LAUNCH_CLUSTER_CUH

#include "kernels/cuda/launch_mm.cuh"
#include "kernels/cuda/mm_cluster.cuh"

#include <map>
#include <tuple>

/* How many clusters fill a card, by kernel, shared memory and blocks; 0: it has none, or too few. */
struct cluster_card {
    bool there;
    std::map<std::tuple<const void *, int, int>, int> known;
};

/* With a block a multiprocessor: the next kernel's find room beside them. Too few leave it idle. */
template <class KERNEL>
static int clusters_of(KERNEL kernel, int n_shared, int n_parts, const mm_card &card, cluster_card *c)
{
    if (!c->there || n_shared > card.shared) return 0;
    const auto key = std::make_tuple(reinterpret_cast<const void *>(kernel), n_shared, n_parts);
    const auto found = c->known.find(key);
    if (found != c->known.end()) return found->second;
    const int alone = n_shared > SHARED_TWO ? n_shared : SHARED_TWO + RING_COPY;
    int n = 0;
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, card.shared) == cudaSuccess)
        n = pf_clusters(kernel, (unsigned)n_parts, MM_THREADS, (size_t)alone);
    if (n * n_parts < card.blocks * 3 / 4) n = 0;
    return c->known[key] = n;
}

/* A cluster after another for the matrix whose clusters have most to do. */
static int deal_clusters(mm_cluster_args *a, int n_matrices, int n_clusters, int panels)
{
    int units[CLUSTER_MATRICES] = {}, n[CLUSTER_MATRICES] = {}, n_all = n_matrices;
    for (int i = 0; i < n_matrices; i++) {
        const mm_share *m = &a->of[i];
        units[i] = (m->first_panel + m->n_panels - 1) / panels - m->first_panel / panels + 1;
        n[i] = 1;
    }
    for (; n_all < n_clusters; n_all++) {
        int most = 0;
        for (int i = 1; i < n_matrices; i++)
            if (units[i] * n[most] > units[most] * n[i]) most = i;
        if (n[most] >= units[most]) break;
        n[most]++;
    }
    for (int i = 0; i < CLUSTER_MATRICES; i++) a->of[i].clusters_to = (i ? a->of[i - 1].clusters_to : 0) + n[i];
    return n_all;
}

template <enum quant TYPE, int NT, int P> struct cluster_form {
    static constexpr enum quant type = TYPE;
    static constexpr int n_tiles = NT, n_panels = P;
};

/* call(the form that a matrix and rows take). */
template <class CALL> static int with_cluster_form(enum quant type, int tiles, CALL call)
{
    return with_form(type, [&](auto form) {
        switch (tiles) {
        case 1: return call(cluster_form<form.type, 1, PAIR>{});
        case 2: return call(cluster_form<form.type, 2, PAIR>{});
        case 4: return call(cluster_form<form.type, 4, PAIR>{});
        default: return call(cluster_form<form.type, MM_MOST_TILES, 1>{});
        }
    });
}

/* How many clusters such products have; 0: they go another way. tiles: as x lies, of one block. */
static int mm_clusters(enum quant type, const layout &l, int tiles, const mm_card &card, cluster_card *c)
{
    if (type == QUANT_F32) return 0;
    return with_cluster_form(type, tiles, [&](auto f) {
        auto kernel = mm_cluster<f.type, f.n_tiles, f.n_panels>;
        const int n_shared = cluster_n_shared<f.type, f.n_tiles, f.n_panels>() + slice_bytes(l, tiles);
        return clusters_of(kernel, n_shared, l.n_parts, card, c);
    });
}

/* Matrices of one type and width, which mm_clusters lets go by clusters. */
static int launch_mm_clusters(enum quant type, mm_cluster_args a, int n_matrices, int tiles, const mm_card &card,
                              cluster_card *c, launch_on on)
{
    const int n_clusters = mm_clusters(type, a.l, tiles, card, c);
    return with_cluster_form(type, tiles, [&](auto f) {
        auto kernel = mm_cluster<f.type, f.n_tiles, f.n_panels>;
        const int n_shared = cluster_n_shared<f.type, f.n_tiles, f.n_panels>() + slice_bytes(a.l, tiles),
                  n = deal_clusters(&a, n_matrices, n_clusters, f.n_panels);
        a.copy_bytes = f.n_panels * layout_group_of(f.type).n_bytes;
        on.cluster = (unsigned)a.l.n_parts;
        return PF_LAUNCH(kernel, (unsigned)(n * a.l.n_parts), MM_THREADS, (size_t)n_shared, on, a);
    });
}

#endif
