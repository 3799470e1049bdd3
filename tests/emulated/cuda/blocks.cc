/* blocks.cc -- grids, blocks, threads as fibers, and where threads meet. Fibers switch by a few instructions of x86-64,
 * because ucontext asks the kernel each time, and a block of 256 threads switches thousands of times. */
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

enum state { READY, IN_WARP, IN_BARRIER, IN_INPUTS, ENDED };

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
    std::vector<copy> open;                /* copies of the next group */
    std::vector<std::vector<copy>> groups; /* under way, oldest first */
    dim3 thread;
};

struct warp {
    emulated_lane lanes[EMULATED_WARP];
    unsigned arrived, mask;
    const char *what;
};

struct block_state {
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

/* As far as they come. */
void run_threads()
{
    while (!b.queue.empty()) {
        int i = b.queue.back();
        b.queue.pop_back();
        resume(i);
    }
}

/* The block that waits takes its place again, and its inputs are there. */
void go_on(block_state *of)
{
    std::swap(b, *of);
    emulated_here = b.place;
    if (n_fixed()) memcpy(__start_emulated_shared, b.fixed.data(), n_fixed());
    b.early = false;
    for (int i = 0; i < b.n; i++)
        if (b.fibers[i].now == IN_INPUTS) wake(i);
    shuffle(b.queue);
    run_threads();
    check_all_ended();
    std::swap(b, *of);
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

struct emulated_block {
    int index;
    block_state state;
    ~emulated_block()
    {
        state.kernel = nullptr;
        spare.push_back(std::move(state));
    }
};

void emulated_begin(emulated_kernel *k)
{
    const int n = (int)(k->grid.x * k->grid.y * k->grid.z), first = (int)emulated_random((uint32_t)n);
    for (int i = 0; i <= (int)emulated_random(2) && i < n; i++) {
        std::shared_ptr<emulated_block> of(new emulated_block);
        of->index = (first + i) % n;
        if (!spare.empty()) {
            of->state = std::move(spare.back());
            spare.pop_back();
        }
        std::swap(b, of->state);
        b.early = true;
        start_block(k, of->index);
        run_threads();
        b.place = emulated_here;
        b.fixed.assign(__start_emulated_shared, __start_emulated_shared + n_fixed());
        std::swap(b, of->state);
        k->begun.push_back(of);
    }
}

void emulated_run(emulated_kernel *k)
{
    std::vector<int> blocks(k->grid.x * k->grid.y * k->grid.z);
    std::iota(blocks.begin(), blocks.end(), 0);
    shuffle(blocks);
    for (int i : blocks) {
        emulated_block *of = nullptr;
        for (auto &begun : k->begun)
            if (begun->index == i) of = begun.get();
        if (of) {
            go_on(&of->state);
            continue;
        }
        start_block(k, i);
        run_threads();
        check_all_ended();
    }
    k->begun.clear();
    b.kernel = nullptr;
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
