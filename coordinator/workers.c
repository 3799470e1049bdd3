#include "coordinator/workers.h"

#include <stdlib.h>
#include <string.h>

#include "proto/launcher.h"
#include "proto/show.h"

int workers_init(struct workers *w, const struct layout *l, const char *(*host_of)(int rank), struct err *err)
{
    *w = (struct workers){.layout = *l, .n = l->n_peers - 1};
    w->seen = calloc((size_t)l->n_peers, sizeof *w->seen);
    if (!w->seen) return err_set(err, E_FAIL, "out of memory");
    for (int p = PEER_COORDINATOR + 1; p < l->n_peers && host_of; p++) {
        const char *host = host_of(layout_rank(l, p));
        show_text(w->seen[p].host, sizeof w->seen[p].host, host, strlen(host));
    }
    return OK;
}

void workers_free(struct workers *w)
{
    free(w->seen);
    *w = (struct workers){0};
}

/* ---- messages ---- */

int workers_hello(struct workers *w, int from, const struct hello *h, struct err *err)
{
    struct worker_seen *seen = &w->seen[from];
    if (h->version != WIRE_VERSION)
        return err_set(err, E_PEER, "host %s has version %u of the protocol, this is %d. Do: scp %s %s:%s", h->host,
                       h->version, WIRE_VERSION, launcher_program(), h->host, launcher_program());
    if (h->peer != from) return err_set(err, E_PEER, "peer %d says Hello as peer %d", from, h->peer);
    if (seen->hello) return err_set(err, E_PEER, "peer %d says Hello twice", from);
    seen->h = *h;
    show_text(seen->host, sizeof seen->host, h->host, strlen(h->host));
    show_text(seen->path, sizeof seen->path, h->path, strlen(h->path));
    show_text(seen->cpu, sizeof seen->cpu, h->cpu, strlen(h->cpu));
    show_text(seen->device, sizeof seen->device, h->device ? h->device : "", h->device ? strlen(h->device) : 0);
    seen->h.host = seen->host;
    seen->h.path = seen->path;
    seen->h.cpu = seen->cpu;
    seen->h.device = seen->device;
    seen->hello = true;
    w->n_hello++;
    return OK;
}

void workers_expect_again(struct workers *w, int group)
{
    const struct group *g = layout_verifier(&w->layout, group);
    for (int i = 0; i < group_n_peers(g); i++) w->seen[g->first_peer + i].hello = false;
    w->n_hello -= group_n_peers(g);
}

int workers_loading(struct workers *w, int from, uint64_t n_bytes, struct err *err)
{
    struct worker_seen *seen = &w->seen[from];
    if (!seen->hello && !n_bytes) return OK; /* it has begun */
    if (!seen->hello || seen->ready || n_bytes > seen->h.weights_bytes)
        return err_set(err, E_PEER, "peer %d has loaded %llu bytes, which it was not asked for", from,
                       (unsigned long long)n_bytes);
    seen->loaded_bytes = n_bytes;
    return OK;
}

int workers_ready(struct workers *w, int from, const struct ready *r, struct err *err)
{
    struct worker_seen *seen = &w->seen[from];
    if (!w->n_ctx || !seen->hello || seen->ready || r->epoch != EPOCH)
        return err_set(err, E_PEER, "peer %d is ready for epoch %u %s", from, r->epoch,
                       seen->ready ? "twice" : "and was not welcomed to it");
    seen->ready = true;
    w->n_ready++;
    return OK;
}

/* ---- facts ---- */

static const struct worker_seen *leader(const struct workers *w, int group)
{
    return &w->seen[group_leader(layout_verifier(&w->layout, group))];
}

static const struct worker_seen *drafter(const struct workers *w)
{
    static const struct worker_seen nobody;
    const struct group *g = layout_drafter(&w->layout, 0);
    return g ? &w->seen[group_leader(g)] : &nobody;
}

const char *workers_computes_by(const struct worker_seen *seen)
{
    return *seen->device ? seen->device : seen->cpu;
}

bool workers_same_memory(const struct worker_seen *a, const struct worker_seen *b)
{
    if (strcmp(a->host, b->host) || !a->h.device_bytes != !b->h.device_bytes) return false;
    return !a->h.device_bytes || !strcmp(a->device, b->device);
}

uint64_t workers_memory_bytes(const struct worker_seen *seen)
{
    return seen->h.device_bytes ? seen->h.device_bytes : seen->h.memory_bytes;
}

int workers_n_slots(const struct workers *w, int peer)
{
    const struct layout *l = &w->layout;
    if (layout_i_drafter(l, peer) < 0) return w->n_slots;
    return layout_drafter_slots(layout_n_drafters(l), layout_n_verifiers(l), w->n_slots);
}

void workers_set_context(struct workers *w, const struct workers_need *need)
{
    int n_ctx = (int)leader(w, 0)->h.n_ctx_max;
    w->n_ctx = n_ctx && n_ctx < need->n_ctx ? n_ctx : need->n_ctx;
    w->n_slots = need->n_slots;
}

const struct hello *workers_leader(const struct workers *w, int group)
{
    return &leader(w, group)->h;
}

const struct hello *workers_drafter(const struct workers *w)
{
    return &drafter(w)->h;
}

uint64_t workers_weights_bytes(const struct workers *w)
{
    uint64_t sum = 0;
    for (int p = 1; p < w->layout.n_peers; p++) sum += w->seen[p].h.weights_bytes;
    return sum;
}

uint64_t workers_loaded_bytes(const struct workers *w)
{
    uint64_t sum = 0;
    for (int p = 1; p < w->layout.n_peers; p++) sum += w->seen[p].loaded_bytes;
    return sum;
}

uint64_t workers_worker_kv_bytes(const struct workers *w, int peer)
{
    return w->seen[peer].h.kv_position_bytes * (uint64_t)w->n_ctx * (uint64_t)workers_n_slots(w, peer);
}

uint64_t workers_kv_bytes(const struct workers *w)
{
    uint64_t sum = 0;
    for (int p = 1; p < w->layout.n_peers; p++) sum += workers_worker_kv_bytes(w, p);
    return sum;
}

static struct rank_bytes bytes_of(const struct worker_seen *seen, int stage)
{
    return (struct rank_bytes){seen->host, stage, (double)seen->h.body_bytes, (double)seen->h.head_bytes};
}

struct cost_prior workers_cost_prior(const struct workers *w, int n_proposed)
{
    const struct group *g = layout_verifier(&w->layout, 0);
    struct rank_bytes shards[MAX_PEERS], little = bytes_of(drafter(w), 0);
    uint32_t n_vocab = drafter(w)->h.n_vocab;
    if (n_vocab) little.head *= (double)n_proposed / n_vocab; /* a draft is one of the proposed ids */
    int n = group_n_peers(g);
    for (int i = 0; i < n; i++) shards[i] = bytes_of(&w->seen[g->first_peer + i], group_stage(g, g->first_peer + i));
    return draft_policy_prior(&little, shards, n);
}

/* The drafter and a leader. */
static bool shares_cores(const struct workers *w, const struct worker_seen *drafter)
{
    const char *host = drafter->host;
    uint32_t n_threads = 0;
    bool beside = false;
    for (int i = 0; i < layout_n_verifiers(&w->layout); i++) beside |= !strcmp(leader(w, i)->host, host);
    if (!beside) return false;
    for (int p = 1; p < w->layout.n_peers; p++)
        if (!strcmp(w->seen[p].host, host)) n_threads += w->seen[p].h.threads;
    return n_threads > drafter->h.cores;
}

bool workers_share_cores(const struct workers *w)
{
    for (int i = 0; i < layout_n_drafters(&w->layout); i++)
        if (shares_cores(w, &w->seen[group_leader(layout_drafter(&w->layout, i))])) return true;
    return false;
}

struct place {
    char text[64];
};

/* Where there are several groups its own, counted from 1; where it has several workers its stage and shard. */
static struct place place_in(const struct workers *w, int peer)
{
    const struct group *g = layout_group(&w->layout, peer);
    struct place place = {""};
    int n = 0;
    if (g->role == ROLE_VERIFIER && layout_n_verifiers(&w->layout) > 1)
        n = snprintf(place.text, sizeof place.text, ", group %d", layout_i_verifier(&w->layout, peer) + 1);
    if (group_n_peers(g) > 1)
        snprintf(place.text + n, sizeof place.text - (size_t)n, ", stage %d, shard %d", group_stage(g, peer),
                 group_shard(g, peer));
    return place;
}

struct worker_name workers_name(const struct workers *w, int peer)
{
    const struct group *g = layout_group(&w->layout, peer);
    struct worker_name name;
    struct place place = place_in(w, peer);
    snprintf(name.text, sizeof name.text, "the %s on host %s (rank %d%s)",
             g->role == ROLE_DRAFTER ? "drafter" : "verifier", w->seen[peer].host, layout_rank(&w->layout, peer),
             place.text);
    return name;
}

/* Two verifiers of a host on one device take turns. */
static bool note_shared(const struct workers *w, char *line, size_t size)
{
    const struct worker_seen *end = w->seen + w->layout.n_peers;
    for (const struct worker_seen *a = leader(w, 0); a < end; a++)
        for (const struct worker_seen *b = a + 1; b < end && a->h.device_bytes; b++)
            if (workers_same_memory(a, b)) {
                snprintf(line, size, "host %s: several verifiers share the device %s, which is slower than one alone",
                         a->host, a->device);
                return true;
            }
    return false;
}

bool workers_device_note(const struct workers *w, int i, bool chosen, char *line, size_t size)
{
    const struct worker_seen *big = leader(w, 0), *little = drafter(w);
    bool differs = layout_n_drafters(&w->layout) && little->h.arithmetic != big->h.arithmetic;
    if (chosen && i-- == 0)
        snprintf(line, size, "--device auto: the big model computes by %s", workers_computes_by(big));
    else if (differs && i-- == 0)
        snprintf(line, size,
                 "the drafter on host %s (%s) and the verifier on host %s (%s) differ in arithmetic: the text is the "
                 "verifier's own",
                 little->host, workers_computes_by(little), big->host, workers_computes_by(big));
    else
        return i == 0 && note_shared(w, line, size);
    return true;
}

/* What a pass of one row streams: the head too, where it is, on the last stage. */
static uint64_t pass_bytes(const struct workers *w, int peer)
{
    const struct group *g = layout_group(&w->layout, peer);
    const struct hello *h = &w->seen[peer].h;
    bool last = group_stage(g, peer) == g->pp - 1;
    return h->body_bytes + (last ? h->head_bytes : 0);
}

static void list_share(const struct workers *w, int peer, FILE *to)
{
    const struct hello *h = &w->seen[peer].h;
    if (h->entry_to > h->entry_from) fprintf(to, ", blocks %u-%u", h->entry_from, h->entry_to - 1);
    if (h->n_heads) fprintf(to, ", %u head%s", h->n_heads, h->n_heads == 1 ? "" : "s");
    fprintf(to, ", %llu MiB of weights, %llu MiB of KV", (unsigned long long)(h->weights_bytes >> 20),
            (unsigned long long)(workers_worker_kv_bytes(w, peer) >> 20));
    if (h->gather_bytes)
        fprintf(to, ", gathers %.1f KiB a row (%.1f as floats)", (double)h->gather_bytes / 1024,
                (double)h->gather_float_bytes / 1024);
    if (h->read_bytes_per_s)
        fprintf(to, ", reads %.1f MiB a pass at %.1f GB/s", (double)pass_bytes(w, peer) / (1 << 20),
                (double)h->read_bytes_per_s * 1e-9);
    fputc('\n', to);
}

void workers_list(const struct workers *w, FILE *to)
{
    for (int p = 1; p < w->layout.n_peers; p++) {
        const struct worker_seen *seen = &w->seen[p];
        struct place place = place_in(w, p);
        fprintf(to, "%s on host %s%s: %u thread%s, %s; rank %d",
                layout_group(&w->layout, p)->role == ROLE_DRAFTER ? "drafter" : "verifier", seen->host,
                layout_n_verifiers(&w->layout) > 1 ? place.text : "", seen->h.threads, seen->h.threads == 1 ? "" : "s",
                workers_computes_by(seen), layout_rank(&w->layout, p));
        list_share(w, p, to);
    }
}
