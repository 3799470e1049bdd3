/* blocks.cc -- grids, clusters, blocks, threads as fibers, and where threads meet. Fibers switch by a few instructions
 * of x86-64, because ucontext asks the kernel each time, and a block of 256 threads switches thousands of times. */
#include "blocks.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <map>
#include <memory>
#include <numeric>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK_BYTES = 256 << 10, MAX_THREADS = 1024 };

/* gcc's and clang's linkers name the ends of a section; without static shared arrays there is none. */
extern "C" __attribute__((weak, visibility("hidden"))) char __start_emulated_shared[], __stop_emulated_shared[];

emulated_place emulated_here;

namespace
{

enum state { READY, IN_WARP, IN_BARRIER, IN_CLUSTER, IN_INPUTS, ENDED };

struct copy {
    void *to;
    const void *from;
    unsigned n;
};

struct transfers {           /* of an mbarrier */
    unsigned count, missing; /* threads that arrive in a phase; that have not yet */
    int phase;
    size_t expected;
    std::vector<copy> copies;
};

struct fiber {
    void *stack_pointer;
    void *asan = nullptr;
    std::unique_ptr<char[]> stack;
    state now;
    bool waited;                           /* for its inputs */
    int n_arrived, n_met;                  /* at the cluster's barrier; and has waited for the others there */
    std::vector<copy> open;                /* copies of the next group */
    std::vector<std::vector<copy>> groups; /* under way, oldest first */
    dim3 thread;
};

struct warp {
    emulated_lane lanes[EMULATED_WARP];
    unsigned arrived, mask;
    const char *what;
};

struct block_state;

struct cluster_state {
    std::vector<block_state> blocks; /* one of them is `b` while it runs */
    bool apart = false;              /* other blocks run between: static shared memory is kept */
    int n_threads = 0, n_arrived = 0, n_met = 0;
};

struct block_state {
    cluster_state *cluster = nullptr;
    int rank = 0;
    bool ended = false;
    int read_at = -1; /* by others of the cluster: how often they had arrived at its barrier */
    const emulated_kernel *kernel = nullptr;
    emulated_place place;
    std::unique_ptr<char[]> shared; /* dynamic */
    std::vector<char> fixed;        /* static, while it is not the one that runs */
    bool early = false;             /* its inputs are not there yet */
    std::map<uint64_t *, transfers> barriers;
    int n_idle = 0; /* threads that looked in vain, one after another */
    std::vector<fiber> fibers;
    std::vector<warp> warps;
    std::vector<int> queue; /* threads that can run, last first */
    int n = 0, current = 0;
    int n_waiting = 0, n_yes = 0, yes = 0; /* at the barrier; what it gave last */
    const char *file = nullptr;
    int line = 0;
    void *host = nullptr; /* its stack pointer */
    const void *host_stack = nullptr;
    size_t host_stack_bytes = 0;
} b;

std::vector<block_state> spare; /* for their stacks */
uint64_t random_state = 1;
int generation = 9;

/* Keeps what a call keeps on this stack, and goes on with another, which is left the same way. */
__attribute__((naked, noinline)) void switch_stack(void **, void *)
{
    asm volatile("push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15;"
                 "mov %rsp, (%rdi); mov %rsi, %rsp;"
                 "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp; ret");
}

void to_host(bool ends)
{
    fiber *f = &b.fibers[(size_t)b.current];
    (void)ends;
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(ends ? nullptr : &f->asan, b.host_stack, b.host_stack_bytes);
#endif
    switch_stack(&f->stack_pointer, b.host);
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(f->asan, &b.host_stack, &b.host_stack_bytes);
#endif
}

void wait_in(state s)
{
    b.fibers[b.current].now = s;
    to_host(false);
}

void wake(int i)
{
    b.fibers[i].now = READY;
    b.queue.push_back(i);
}

void fiber_main()
{
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &b.host_stack, &b.host_stack_bytes);
#endif
    b.kernel->body();
    if (b.kernel->beside && !b.fibers[b.current].waited)
        emulated_fail("a thread ends and has not waited for its inputs");
    b.fibers[b.current].now = ENDED;
    to_host(true);
}

void resume(int i)
{
    fiber *f = &b.fibers[i];
    b.current = i;
    emulated_here.thread = f->thread;
#ifdef WITH_ASAN
    void *own;
    __sanitizer_start_switch_fiber(&own, f->stack.get(), STACK_BYTES);
#endif
    switch_stack(&b.host, f->stack_pointer);
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(own, nullptr, nullptr);
#endif
}

void shuffle(std::vector<int> &list)
{
    for (size_t i = list.size(); i > 1; i--) std::swap(list[i - 1], list[emulated_random((uint32_t)i)]);
}

void start_fiber(fiber *f)
{
    enum { KEPT = 6 }; /* registers */
    if (!f->stack) f->stack.reset(new char[STACK_BYTES]);
    uintptr_t top = (uintptr_t)(f->stack.get() + STACK_BYTES) & ~(uintptr_t)15;
    void **at = (void **)top;
    *--at = nullptr; /* where fiber_main would return to */
    *--at = (void *)fiber_main;
    for (int i = 0; i < KEPT; i++) *--at = nullptr;
    f->stack_pointer = at;
    f->now = READY;
    f->waited = false;
    f->n_arrived = f->n_met = 0;
    f->open.clear();
    f->groups.clear();
}

size_t n_fixed()
{
    return __start_emulated_shared ? (size_t)(__stop_emulated_shared - __start_emulated_shared) : 0;
}

void start_block(const emulated_kernel *k, int index)
{
    const dim3 size = k->block;
    const unsigned u = (unsigned)index;
    int i = 0;
    b.kernel = k;
    b.n = (int)(size.x * size.y * size.z);
    if (b.fibers.size() < (size_t)b.n) b.fibers.resize((size_t)b.n);
    b.warps.resize((size_t)(b.n + EMULATED_WARP - 1) / EMULATED_WARP);
    b.shared.reset(new char[k->n_shared + (k->n_shared == 0)]);
    emulated_here.grid_dim = k->grid;
    emulated_here.block_dim = size;
    emulated_here.block = dim3(u % k->grid.x, u / k->grid.x % k->grid.y, u / k->grid.x / k->grid.y);
    emulated_here.shared = b.shared.get();
    if (n_fixed()) memset(__start_emulated_shared, 0xff, n_fixed());
    memset(b.shared.get(), 0xff, k->n_shared);
    b.n_waiting = b.n_yes = b.n_idle = 0;
    b.barriers.clear();
    b.queue.resize((size_t)b.n);
    std::iota(b.queue.begin(), b.queue.end(), 0);
    shuffle(b.queue);
    for (warp &w : b.warps) w.arrived = 0;
    for (unsigned z = 0; z < size.z; z++)
        for (unsigned y = 0; y < size.y; y++)
            for (unsigned x = 0; x < size.x; x++, i++) {
                b.fibers[i].thread = dim3(x, y, z);
                start_fiber(&b.fibers[i]);
            }
}

void check_all_ended()
{
    int n_ended = 0, in_warp = -1;
    for (int i = 0; i < b.n; i++) {
        if (b.fibers[i].now == ENDED) n_ended++;
        if (b.fibers[i].now == IN_WARP) in_warp = i;
    }
    if (in_warp >= 0) {
        const warp *w = &b.warps[in_warp / EMULATED_WARP];
        emulated_fail("warp %d: %s of lanes %08x is reached by lanes %08x alone", in_warp / EMULATED_WARP, w->what,
                      w->mask, w->arrived);
    }
    if (b.cluster->n_arrived || (n_ended < b.n && !b.n_waiting))
        emulated_fail("the cluster's barrier is reached by %d of %d threads", b.cluster->n_arrived,
                      b.cluster->n_threads);
    if (b.n_waiting)
        emulated_fail("the barrier of %s:%d is reached by %d of %d threads; %d have ended", b.file, b.line, b.n_waiting,
                      b.n, n_ended);
    for (const auto &at : b.barriers)
        if (!at.second.copies.empty()) emulated_fail("the block ends with bulk copies under way");
    for (int i = 0; i < b.n; i++) {
        b.fibers[i].groups.push_back(b.fibers[i].open);
        for (const std::vector<copy> &group : b.fibers[i].groups)
            if (!group.empty()) emulated_fail("thread %d ends with copies under way", i);
    }
}

/* Takes a block's place, or gives it back. */
void enter(block_state *of)
{
    std::swap(b, *of);
    emulated_here = b.place;
    if (b.cluster->apart && n_fixed()) memcpy(__start_emulated_shared, b.fixed.data(), n_fixed());
}

void leave(block_state *of)
{
    b.place = emulated_here;
    if (b.cluster->apart) b.fixed.assign(__start_emulated_shared, __start_emulated_shared + n_fixed());
    std::swap(b, *of);
}

void wake_all(state of)
{
    const size_t before = b.queue.size();
    for (int i = 0; i < b.n; i++)
        if (b.fibers[i].now == of && (of != IN_CLUSTER || b.fibers[i].n_met <= b.cluster->n_met)) wake(i);
    if (b.queue.size() != before) shuffle(b.queue);
}

/* As far as they come. */
void run_threads()
{
    bool ended = true;
    while (!b.queue.empty()) {
        int i = b.queue.back();
        b.queue.pop_back();
        resume(i);
    }
    for (int i = 0; i < b.n; i++) ended = ended && b.fibers[i].now == ENDED;
    if (ended && !b.ended && b.read_at >= b.cluster->n_met)
        emulated_fail("the block ends while others of its cluster may read its shared memory");
    b.ended = ended;
}

/* Blocks in turns, until none comes further. */
void run_cluster(cluster_state *c)
{
    std::vector<int> order(c->blocks.size());
    std::iota(order.begin(), order.end(), 0);
    for (bool goes = true; goes;) {
        goes = false;
        shuffle(order);
        for (int i : order) {
            enter(&c->blocks[(size_t)i]);
            wake_all(IN_CLUSTER);
            goes = goes || !b.queue.empty();
            run_threads();
            leave(&c->blocks[(size_t)i]);
        }
    }
}

} // namespace

uint32_t emulated_random(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 32) * n >> 32);
}

void emulated_seed(uint64_t seed)
{
    random_state = seed * 2 + 1;
    for (int i = 0; i < 4; i++) emulated_random(1);
}

void emulated_fail(const char *format, ...)
{
    const dim3 *i = &emulated_here.block;
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "emulated device: %s, block (%u, %u, %u): %s\n", b.kernel ? b.kernel->name : "no kernel", i->x,
            i->y, i->z, text);
    fflush(stderr);
    abort();
}

struct emulated_cluster : cluster_state {
    const emulated_kernel *kernel;
    int index;

    emulated_cluster(const emulated_kernel *k, int i, bool early) : kernel(k), index(i)
    {
        apart = early || k->cluster > 1;
        blocks.resize(k->cluster);
        for (size_t rank = 0; rank < blocks.size(); rank++) {
            block_state *of = &blocks[rank];
            if (!spare.empty()) {
                *of = std::move(spare.back());
                spare.pop_back();
            }
            std::swap(b, *of);
            b.cluster = this;
            b.rank = (int)rank;
            b.early = b.ended = false;
            b.read_at = -1;
            start_block(k, index * (int)k->cluster + (int)rank);
            n_threads += b.n;
            leave(of);
        }
    }

    void run(bool early)
    {
        for (block_state &of : blocks) {
            enter(&of);
            b.early = early;
            wake_all(IN_INPUTS);
            leave(&of);
        }
        run_cluster(this);
        if (early) return;
        for (block_state &of : blocks) {
            enter(&of);
            check_all_ended();
            leave(&of);
        }
    }

    ~emulated_cluster()
    {
        for (block_state &of : blocks) {
            of.kernel = nullptr;
            spare.push_back(std::move(of));
        }
    }
};

static int n_clusters(const emulated_kernel *k)
{
    return (int)(k->grid.x * k->grid.y * k->grid.z / k->cluster);
}

void emulated_begin(emulated_kernel *k)
{
    const int n = n_clusters(k), first = (int)emulated_random((uint32_t)n);
    for (int i = 0; i <= (int)emulated_random(2) && i < n; i++) {
        k->begun.push_back(std::make_shared<emulated_cluster>(k, (first + i) % n, true));
        k->begun.back()->run(true);
    }
}

void emulated_run(emulated_kernel *k)
{
    std::vector<int> clusters((size_t)n_clusters(k));
    std::iota(clusters.begin(), clusters.end(), 0);
    shuffle(clusters);
    for (int i : clusters) {
        std::shared_ptr<emulated_cluster> of;
        for (auto &begun : k->begun)
            if (begun->index == i) of = begun;
        if (!of) of = std::make_shared<emulated_cluster>(k, i, false);
        of->run(false);
    }
    k->begun.clear();
}

/* ---- clusters ---- */

int emulated_cluster_rank()
{
    return b.rank;
}

void emulated_cluster_arrive()
{
    fiber *f = &b.fibers[b.current];
    cluster_state *c = b.cluster;
    if (f->n_arrived != f->n_met) emulated_fail("a thread arrives at the cluster's barrier and has not waited there");
    f->n_arrived++;
    if (++c->n_arrived < c->n_threads) return;
    c->n_arrived = 0;
    c->n_met++;
    wake_all(IN_CLUSTER);
}

void emulated_cluster_wait()
{
    fiber *f = &b.fibers[b.current];
    if (f->n_arrived == f->n_met) emulated_fail("a thread waits at the cluster's barrier and has not arrived there");
    if (b.cluster->n_met < ++f->n_met) wait_in(IN_CLUSTER);
}

void *emulated_cluster_at(void *p, int rank)
{
    const size_t at = (size_t)((char *)p - b.shared.get());
    cluster_state *c = b.cluster;
    if (rank < 0 || rank >= (int)c->blocks.size())
        emulated_fail("block %d of a cluster of %zu", rank, c->blocks.size());
    if (at >= b.kernel->n_shared) emulated_fail("an address of a cluster that is not in dynamic shared memory");
    if (rank == b.rank) return p;
    block_state *of = &c->blocks[(size_t)rank];
    if (c->n_met == 0) emulated_fail("block %d of the cluster may not have begun", rank);
    if (of->ended) emulated_fail("block %d has ended while others of its cluster may read its shared memory", rank);
    const int n = b.fibers[b.current].n_arrived;
    of->read_at = of->read_at > n ? of->read_at : n;
    return of->shared.get() + at;
}

void emulated_wait_for_inputs()
{
    b.fibers[b.current].waited = true;
    if (b.early) wait_in(IN_INPUTS);
}

int emulated_generation()
{
    return generation;
}

void emulated_set_generation(int of)
{
    generation = of;
}

static void begin_copy(std::vector<copy> *to, copy c)
{
    if (c.n == 0 || c.n % 16 || (uintptr_t)c.to % 16 || (uintptr_t)c.from % 16)
        emulated_fail("a copy of %u bytes from %p to %p: multiples of 16 are asked for", c.n, c.from, c.to);
    memset(c.to, 0xff, c.n);
    to->push_back(c);
}

static void end_copies(std::vector<copy> *of)
{
    for (const copy &c : *of) memcpy(c.to, c.from, c.n);
    of->clear();
}

static transfers *transfers_of(uint64_t *at)
{
    auto found = b.barriers.find(at);
    if (found == b.barriers.end()) emulated_fail("an mbarrier is used that is not open");
    return &found->second;
}

void emulated_barrier_open(uint64_t *at, unsigned count)
{
    b.barriers[at] = {count, count, 0, 0, {}};
}

void emulated_barrier_expect(uint64_t *at, unsigned n_bytes)
{
    transfers *t = transfers_of(at);
    if (t->missing == 0) emulated_fail("more threads arrive at an mbarrier than it counts");
    t->missing--;
    t->expected += n_bytes;
}

void emulated_bulk_copy(void *to, const void *from, unsigned n, uint64_t *at)
{
    if (generation < 9) emulated_fail("a bulk copy on a card that has none");
    begin_copy(&transfers_of(at)->copies, {to, from, n});
}

static bool phase_has_ended(transfers *t, int parity)
{
    size_t n = 0;
    if (t->phase % 2 != parity) return true;
    for (const copy &c : t->copies) n += c.n;
    if (t->missing || n != t->expected) return false;
    end_copies(&t->copies);
    t->missing = t->count;
    t->expected = 0;
    t->phase++;
    return true;
}

void emulated_barrier_wait(uint64_t *at, int parity)
{
    while (!phase_has_ended(transfers_of(at), parity)) {
        if (++b.n_idle > 4 * b.n) emulated_fail("a wait for an mbarrier's phase that nothing ends");
        b.fibers[b.current].now = READY;
        b.queue.insert(b.queue.begin(), b.current); /* behind all others */
        to_host(false);
    }
    b.n_idle = 0;
}

void emulated_copy(void *to, const void *from, unsigned n)
{
    begin_copy(&b.fibers[b.current].open, {to, from, n});
}

void emulated_copies_close_group()
{
    fiber *f = &b.fibers[b.current];
    f->groups.push_back(std::move(f->open));
    f->open.clear();
}

void emulated_copies_wait(int n_pending)
{
    std::vector<std::vector<copy>> *groups = &b.fibers[b.current].groups;
    while (groups->size() > (size_t)n_pending) {
        end_copies(&groups->front());
        groups->erase(groups->begin());
    }
}

int emulated_lane_index()
{
    return b.current % EMULATED_WARP;
}

int emulated_barrier(const char *file, int line, int value)
{
    if (b.n_waiting && (b.line != line || (b.file != file && strcmp(b.file, file))))
        emulated_fail("threads wait at two barriers at once: %s:%d and line %d", b.file, b.line, line);
    b.file = file;
    b.line = line;
    b.n_yes += value;
    if (++b.n_waiting < b.n) {
        wait_in(IN_BARRIER);
        return b.yes;
    }
    b.yes = b.n_yes;
    b.n_waiting = b.n_yes = 0;
    int yes = b.yes;
    for (int i = 0; i < b.n; i++)
        if (i != b.current) wake(i);
    shuffle(b.queue); /* all others, and nobody else */
    return yes;
}

void emulated_warp(const char *what, unsigned mask, const uint32_t *in, int n_in, uint32_t *out, int n_out,
                   void (*apply)(emulated_lane *lanes, unsigned mask, int arg), int arg)
{
    warp *w = &b.warps[b.current / EMULATED_WARP];
    int lane = b.current % EMULATED_WARP, first = b.current - lane, n = b.n - first;
    unsigned there = n < EMULATED_WARP ? (1u << n) - 1 : 0xffffffffu;
    if (mask & ~there) emulated_fail("%s of lanes %08x: the warp has %d", what, mask, n);
    if (!(mask >> lane & 1)) emulated_fail("%s of lanes %08x is run by lane %d", what, mask, lane);
    if (w->arrived && (w->mask != mask || (w->what != what && strcmp(w->what, what))))
        emulated_fail("lanes of a warp meet in different operations: %s of %08x, %s of %08x", w->what, w->mask, what,
                      mask);
    memcpy(w->lanes[lane].in, in, (size_t)n_in * sizeof *in);
    w->what = what;
    w->mask = mask;
    w->arrived |= 1u << lane;
    if (w->arrived != mask) {
        wait_in(IN_WARP);
    } else {
        apply(w->lanes, mask, arg);
        w->arrived = 0;
        for (int i = 0; i < EMULATED_WARP; i++)
            if ((mask >> i & 1) && i != lane) wake(first + i);
    }
    memcpy(out, w->lanes[lane].out, (size_t)n_out * sizeof *out);
}

void emulated_pick(emulated_lane *lanes, unsigned mask, int arg)
{
    (void)arg;
    for (int i = 0; i < EMULATED_WARP; i++) {
        if (!(mask >> i & 1)) continue;
        unsigned from = lanes[i].in[1];
        if (from >= EMULATED_WARP || !(mask >> from & 1))
            emulated_fail("a shuffle reads lane %u, which has none", from);
        lanes[i].out[0] = lanes[from].in[0];
    }
}

void emulated_vote(emulated_lane *lanes, unsigned mask, int arg)
{
    uint32_t votes = 0;
    (void)arg;
    for (int i = 0; i < EMULATED_WARP; i++)
        if ((mask >> i & 1) && lanes[i].in[0]) votes |= 1u << i;
    for (int i = 0; i < EMULATED_WARP; i++) lanes[i].out[0] = votes;
}
