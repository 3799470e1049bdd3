/* nccl_header.cc -- what kernels/cuda/nccl.cuh repeats of NCCL's public API, against nccl.h itself: it builds, or
 * not. */
#include <nccl.h>

#include <type_traits>

extern "C" { /* kernels/kernels.h is C */
#define _Alignas alignas
#include "kernels/device.h"
}
#include "kernels/cuda/nccl.cuh"

static_assert(NCCL_SUCCESS == (int)ncclSuccess && NCCL_IN_PROGRESS == (int)ncclInProgress, "results");
static_assert(NCCL_FLOAT == (int)ncclFloat32, "types");
static_assert(sizeof(nccl_id) == sizeof(ncclUniqueId) && DEVICE_ID_BYTES == NCCL_UNIQUE_ID_BYTES, "ids");
static_assert(NCCL_LEAST == NCCL_VERSION(2, 18, 0), "versions");

#define SAME_PLACE(own, of_header) static_assert(offsetof(nccl_config, own) == offsetof(ncclConfig_t, of_header), #own)
SAME_PLACE(size, size);
SAME_PLACE(magic, magic);
SAME_PLACE(version, version);
SAME_PLACE(blocking, blocking);
SAME_PLACE(cga_cluster_size, cgaClusterSize);
SAME_PLACE(min_ctas, minCTAs);
SAME_PLACE(max_ctas, maxCTAs);
SAME_PLACE(net_name, netName);
SAME_PLACE(split_share, splitShare);
#undef SAME_PLACE

/* An enum is an int on its way. */
template <class T> struct plain {
    using type = T;
};
template <> struct plain<ncclResult_t> {
    using type = int;
};
template <> struct plain<ncclDataType_t> {
    using type = int;
};
template <> struct plain<ncclUniqueId> {
    using type = nccl_id;
};
template <> struct plain<ncclConfig_t *> {
    using type = nccl_config *;
};
template <> struct plain<ncclUniqueId *> {
    using type = nccl_id *;
};
template <> struct plain<ncclResult_t *> {
    using type = int *;
};
template <class R, class... A> typename plain<R>::type (*plain_of(R (*)(A...)))(typename plain<A>::type...);

#define SAME_CALL(name) static_assert(std::is_same<decltype(nccl::name), decltype(plain_of(&nccl##name))>::value, #name)
SAME_CALL(GetVersion);
SAME_CALL(GetUniqueId);
SAME_CALL(CommInitRankConfig);
SAME_CALL(CommGetAsyncError);
SAME_CALL(CommAbort);
SAME_CALL(GroupStart);
SAME_CALL(GroupEnd);
SAME_CALL(AllGather);
SAME_CALL(Broadcast);
SAME_CALL(Send);
SAME_CALL(Recv);
SAME_CALL(GetErrorString);
