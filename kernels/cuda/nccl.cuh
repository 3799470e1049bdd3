/* nccl.cuh -- NCCL, opened at run time: what the module calls of its public API (nccl.h of 2.18 and later, whose
 * constants and structures are repeated here), so that neither header nor library is needed to build.
 *
 * A communicator is of one device, does not block, and is used by one thread. A call may answer that it goes on by
 * itself: nccl_wait comes before the next one. Abort, not destroy, closes one: it waits for no other member. */
#ifndef KERNELS_CUDA_NCCL_CUH
#define KERNELS_CUDA_NCCL_CUH

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <time.h>

#include "kernels/device.h"
#include "kernels/now.h"

#ifndef PF_NCCL_NAMES /* the emulated device has a library of its own */
#define PF_NCCL_NAMES "libnccl.so.2", "libnccl.so"
#endif

enum { NCCL_SUCCESS = 0, NCCL_IN_PROGRESS = 7 }; /* ncclResult_t */
enum { NCCL_FLOAT = 7 };                         /* ncclDataType_t */
enum { NCCL_LEAST = 21800 };                     /* 2.18.0 */
static constexpr unsigned NCCL_MAGIC = 0xcafebeefu;

static const char NCCL_LATE[] = "not all members came in time";

struct ncclComm;
struct nccl_id { /* ncclUniqueId */
    char bytes[DEVICE_ID_BYTES];
};
struct nccl_config { /* ncclConfig_t as of 2.18: later libraries take it, and choose what it has not */
    size_t size;
    unsigned magic, version;
    int blocking, cga_cluster_size, min_ctas, max_ctas;
    const char *net_name;
    int split_share;
};

struct nccl {
    int (*GetVersion)(int *version);
    int (*GetUniqueId)(nccl_id *id);
    int (*CommInitRankConfig)(ncclComm **comm, int n, nccl_id id, int self, nccl_config *config);
    int (*CommGetAsyncError)(ncclComm *comm, int *result);
    int (*CommAbort)(ncclComm *comm);
    int (*GroupStart)();
    int (*GroupEnd)();
    int (*AllGather)(const void *from, void *to, size_t n, int type, ncclComm *comm, cudaStream_t s);
    int (*Broadcast)(const void *from, void *to, size_t n, int type, int root, ncclComm *comm, cudaStream_t s);
    int (*Send)(const void *from, size_t n, int type, int to, ncclComm *comm, cudaStream_t s);
    int (*Recv)(void *to, size_t n, int type, int from, ncclComm *comm, cudaStream_t s);
    const char *(*GetErrorString)(int result);
};

static bool nccl_goes_on(int rc)
{
    return rc == NCCL_SUCCESS || rc == NCCL_IN_PROGRESS;
}

static const char *nccl_find(nccl *out)
{
    static const char *const names[] = {PF_NCCL_NAMES};
    void *library = nullptr;
    int version = 0;
    for (const char *name : names)
        if (!library) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) return "NCCL's library libnccl.so.2 is not found (LD_LIBRARY_PATH)";
    const struct {
        void *to;
        const char *name;
    } list[] = {
        {&out->GetVersion, "ncclGetVersion"},
        {&out->GetUniqueId, "ncclGetUniqueId"},
        {&out->CommInitRankConfig, "ncclCommInitRankConfig"},
        {&out->CommGetAsyncError, "ncclCommGetAsyncError"},
        {&out->CommAbort, "ncclCommAbort"},
        {&out->GroupStart, "ncclGroupStart"},
        {&out->GroupEnd, "ncclGroupEnd"},
        {&out->AllGather, "ncclAllGather"},
        {&out->Broadcast, "ncclBroadcast"},
        {&out->Send, "ncclSend"},
        {&out->Recv, "ncclRecv"},
        {&out->GetErrorString, "ncclGetErrorString"},
    };
    for (auto &row : list) {
        void *symbol = dlsym(library, row.name);
        if (!symbol) return "NCCL is older than 2.18";
        memcpy(row.to, &symbol, sizeof symbol);
    }
    if (out->GetVersion(&version) != NCCL_SUCCESS || version < NCCL_LEAST) return "NCCL is older than 2.18";
    return nullptr;
}

/* NULL: *why. It is looked for once, and stays. */
static const nccl *nccl_open(const char **why)
{
    static nccl library;
    static const char *const lacks = nccl_find(&library);
    *why = lacks;
    return lacks ? nullptr : &library;
}

/* What a communicator has met. NULL: nothing; *busy: a call goes on. */
static const char *nccl_error(const nccl *lib, ncclComm *comm, bool *busy)
{
    int result = NCCL_SUCCESS, rc = lib->CommGetAsyncError(comm, &result);
    *busy = rc == NCCL_SUCCESS && result == NCCL_IN_PROGRESS;
    if (rc == NCCL_SUCCESS && !*busy) rc = result;
    return rc == NCCL_SUCCESS ? nullptr : lib->GetErrorString(rc);
}

/* Until the call before is done with what it does by itself. NULL, or what went wrong. */
static const char *nccl_wait(const nccl *lib, ncclComm *comm, uint64_t until_ns)
{
    static const timespec pause = {0, 50000};
    bool busy = true;
    const char *error = nullptr;
    while (!error && busy) {
        error = nccl_error(lib, comm, &busy);
        if (!error && busy && (uint64_t)now_ns() >= until_ns) error = NCCL_LATE;
        if (!error && busy) nanosleep(&pause, nullptr);
    }
    return error;
}

static const char *nccl_join(const nccl *lib, ncclComm **comm, const uint8_t *id, int n, int self, uint64_t until_ns)
{
    nccl_id of_all;
    nccl_config config = {sizeof config, NCCL_MAGIC, NCCL_LEAST, 0, INT_MIN, INT_MIN, INT_MIN, nullptr, INT_MIN};
    memcpy(&of_all, id, sizeof of_all);
    *comm = nullptr;
    const int rc = lib->CommInitRankConfig(comm, n, of_all, self, &config);
    if (!nccl_goes_on(rc)) return lib->GetErrorString(rc);
    return nccl_wait(lib, *comm, until_ns);
}

#endif
