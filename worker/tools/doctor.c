#include "worker/tools/doctor.h"

#include <inttypes.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/hosts.h"
#include "worker/tools/limits.h"
#include "worker/engine/engine.h"
#include "worker/tools/doctor_ranks.h"

/* ---- this machine ---- */

/* The text after "key<tab>: " in /proc/cpuinfo, of the first CPU. */
static bool cpuinfo(const char *key, char *out, size_t size)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (!f) return false;
    bool found = false;
    size_t n = strlen(key);
    while (!found && fgets(out, (int)size, f)) {
        const char *value = strchr(out, ':');
        found = value && strncmp(out, key, n) == 0 && strchr("\t :", out[n]);
        if (found) memmove(out, value + 2, strlen(value + 2) + 1);
    }
    fclose(f);
    out[strcspn(out, "\n")] = 0;
    return found;
}

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *s = words; (s = strstr(s, word)); s += n)
        if ((s == words || s[-1] == ' ') && (s[n] == ' ' || s[n] == 0)) return true;
    return false;
}

static void say_cpu(struct report *r)
{
    static const char *const wanted[] = {"avx2",        "fma",      "f16c",        "avx512f",  "avx512bw", "avx512vl",
                                         "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8"};
    char model[256], flags[8192], listed[256] = "";
    if (!cpuinfo("model name", model, sizeof model)) strcpy(model, "unknown CPU");
    if (!cpuinfo("flags", flags, sizeof flags)) *flags = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (has_word(flags, wanted[i])) {
            strcat(listed, " ");
            strcat(listed, wanted[i]);
        }
    if (has_word(flags, "avx2") && has_word(flags, "fma") && has_word(flags, "f16c"))
        report_ok(r, "cpu", "%s:%s", model, listed);
    else
        report_warn(r, "cpu", "%s has no AVX2, FMA and F16C: only the slow reference runs. Do: use another machine",
                    model);
}

static void say_kernels(struct report *r)
{
    const struct kernels *k;
    for (int i = 0; (k = kernels_path(i)); i++) {
        double began = clock_now_s();
        uint64_t hash = kernels_selftest(k);
        double took_ms = (clock_now_s() - began) * 1e3;
        if (hash != KERNELS_SELFTEST)
            report_bad(r, E_CHECK, "kernels", "%s gives %016" PRIx64 ", not %016" PRIx64 ": a broken CPU or compiler",
                       k->name, hash, (uint64_t)KERNELS_SELFTEST);
        else
            report_ok(r, "kernels", "%-6s self-test %016" PRIx64 ", %.1f ms%s", k->name, hash, took_ms,
                      k == r->in->kernels ? ", this one runs" : "");
    }
    if (r->in->kernels && r->in->kernels->calibrate)
        report_ok(r, "kernels", "%-6s %s, as timed at start", r->in->kernels->name, r->in->kernels->calibrate());
    if (!r->in->kernels) report_bad(r, E_USAGE, "kernels", "%s", r->in->why);
}

static void say_bandwidth(struct report *r)
{
    double one = limits_read(1, 0.15);
    double two = memory_cores_of(&r->memory) > 1 ? limits_read(2, 0.15) : 0;
    if (one == 0)
        report_warn(r, "read loop", "no memory to time one. Do: free some");
    else if (two == 0)
        report_ok(r, "read loop", "1 thread %.1f GB/s, now", one / 1e9);
    else
        report_ok(r, "read loop", "1 thread %.1f GB/s, 2 threads %.1f GB/s, now", one / 1e9, two / 1e9);
    r->read_bps = one > two ? one : two;
}

static void say_huge_pages(struct report *r)
{
    char text[128] = "";
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    if (f) {
        if (!fgets(text, sizeof text, f)) *text = 0;
        fclose(f);
    }
    text[strcspn(text, "\n")] = 0;
    if (strstr(text, "[always]") || strstr(text, "[madvise]"))
        report_ok(r, "huge pages", "%s", text);
    else
        report_warn(r, "huge pages",
                    "%s: passes are 5 to 8 %% slower. Do: echo madvise > "
                    "/sys/kernel/mm/transparent_hugepage/enabled",
                    *text ? text : "not in this kernel");
}

static void say_limits(struct report *r)
{
    const struct memory *m = &r->memory;
    if (m->host_bytes == UINT64_MAX)
        report_warn(r, "memory",
                    "/proc/meminfo does not say what is available. Do: check that the models fit yourself");
    else if (m->cgroup_bytes == UINT64_MAX)
        report_ok(r, "memory", "%.1f GiB available; no limit by a control group", (double)m->host_bytes / GIB);
    else
        report_ok(r, "memory", "%.1f GiB available; %.1f GiB left below the control group's limit",
                  (double)m->host_bytes / GIB, (double)m->cgroup_bytes / GIB);
}

/* Those of this host. */
static void say_devices(struct report *r)
{
    struct device_wish wish = r->in->device;
    struct device_pick pick;
    struct err err;
    int n = 1;
    for (int i = 0; i < n && device_wished(&wish); i++) {
        wish.n_before = i;
        int rc = device_pick(&pick, &wish, &err);
        if (rc != OK) {
            report_bad(r, rc, "device", "%s", err.text);
            return;
        }
        if (!pick.table) {
            report_ok(r, "device", "none answers: --device auto is the CPU");
            return;
        }
        uint64_t bytes = pick.about.memory_bytes;
        if (bytes)
            report_ok(r, "device", "%d, %s: %.1f GiB available, arithmetic %d, self-test %016" PRIx64, pick.number,
                      pick.name, (double)bytes / GIB, pick.table->arithmetic, pick.about.selftest);
        else
            report_ok(r, "device", "%s, in the host's memory", pick.name);
        r->device = pick.table;
        if (i == 0 || bytes < r->device_bytes) r->device_bytes = bytes;
        n = wish.number < 0 && bytes ? pick.n_devices : 1; /* in the host's memory all are alike */
        r->n_devices = n;
    }
}

/* ---- the models ---- */

struct need { /* bytes: of all shares together, and of the largest */
    uint64_t weights, all, largest;
};

/* Of a worker's sequences. */
static uint64_t kv_bytes(const struct report *r, enum role role, const struct engine_info *info)
{
    int groups = r->in->groups, n_slots = layout_group_slots(groups, r->in->parallel);
    if (role == ROLE_DRAFTER) n_slots = layout_drafter_slots(r->in->drafters, groups, n_slots);
    return info->kv_position_bytes * (uint64_t)r->in->ctx * (uint64_t)n_slots;
}

static int need_add(struct report *r, struct need *need, enum role role, const char *path, const struct share *share,
                    struct engine_info *info, struct err *err)
{
    struct engine *engine;
    struct engine_config config = {.path = path,
                                   .share = *share,
                                   .stage_share = share->n_stages > 1 ? r->in->stage_share : NULL,
                                   .shard_share = share->n_shards > 1 ? r->in->shard_share : NULL,
                                   .kernels = r->in->kernels,
                                   .device = role == ROLE_VERIFIER ? r->device : NULL,
                                   .n_threads = 1,
                                   .max_rows = 1};
    int rc = engine_open(&engine, &config, err);
    if (rc != OK) return rc;
    engine_info(engine, info);
    engine_close(engine);
    uint64_t bytes = info->weights_bytes + kv_bytes(r, role, info);
    need->weights += info->weights_bytes;
    need->all += bytes;
    if (bytes > need->largest) need->largest = bytes;
    return OK;
}

/* What the cores of a rank's host read together; 0: not known. */
static double read_of(const struct report *r, int rank)
{
    const struct doctor_input *in = r->in;
    double most = 0;
    if (!in->world || !in->ranks) return r->read_bps;
    for (int i = 0; i < in->world->size; i++)
        if (!strcmp(in->ranks[i].host, in->ranks[rank].host) && in->ranks[i].read_bytes_per_s > most)
            most = in->ranks[i].read_bytes_per_s;
    return most;
}

/* What a rank will have. No line where the ranks are not those of the layout, which is said already. */
static void say_share(struct report *r, enum role role, int group, const struct share *share,
                      const struct engine_info *info)
{
    const struct doctor_input *in = r->in;
    struct layout l;
    struct err ignored;
    char host[72] = "this host", in_group[24] = "", place[64] = "", reads[64] = "";
    if (doctor_layout(in, &l, &ignored) != OK) return;
    const struct group *g = role == ROLE_DRAFTER ? layout_drafter(&l, group) : layout_verifier(&l, group);
    int rank = layout_rank(&l, group_peer(g, share->stage, share->shard));
    double read_bps = read_of(r, rank);
    if (in->world && in->ranks) snprintf(host, sizeof host, "host %.60s", in->ranks[rank].host);
    if (role == ROLE_VERIFIER && in->groups > 1) snprintf(in_group, sizeof in_group, ", group %d", group + 1);
    if (group_n_peers(g) > 1) snprintf(place, sizeof place, ", stage %d, shard %d", share->stage, share->shard);
    if (read_bps > 0) snprintf(reads, sizeof reads, ", reads up to %.1f GB/s", read_bps / 1e9);
    report_ok(r, "layout", "rank %d, %s, %s%s%s: blocks %d-%d, %d head%s, %llu MiB of weights, %llu MiB of KV%s", rank,
              host, role == ROLE_DRAFTER ? "drafter" : "verifier", in_group, place, info->entry_from,
              info->entry_to - 1, info->n_heads, info->n_heads == 1 ? "" : "s",
              (unsigned long long)(info->weights_bytes >> 20), (unsigned long long)(kv_bytes(r, role, info) >> 20),
              reads);
}

static void say_model(struct report *r, struct need *need, enum role role, const char *path, int groups, int tp, int pp)
{
    const char *name = role == ROLE_DRAFTER ? "little" : "big";
    struct engine_info info;
    struct need own = {0};
    struct err err;
    int n = groups * tp * pp;
    for (int i = 0; i < n; i++) {
        struct share share = {.stage = i / tp % pp, .n_stages = pp, .shard = i % tp, .n_shards = tp};
        int rc = need_add(r, &own, role, path, &share, &info, &err);
        if (rc != OK) {
            report_bad(r, rc, name, "%s", err.text);
            return;
        }
        say_share(r, role, i / (tp * pp), &share, &info);
    }
    const struct shape *s = &info.shape;
    report_ok(r, name, "%s, %d blocks of %d, %d ids: %.2f GiB of weights and %.2f GiB of KV in %d share%s", s->arch,
              s->n_blocks, s->n_embd, s->n_vocab, (double)own.weights / GIB, (double)(own.all - own.weights) / GIB, n,
              n == 1 ? "" : "s");
    if (r->read_bps > 0 && !(role == ROLE_VERIFIER && r->device))
        report_ok(r, name, "to read the weights once takes %.1f ms here", (double)own.weights / r->read_bps * 1e3);
    if (r->in->ctx > s->n_ctx) report_warn(r, name, "trained for %d positions. Do: --ctx %d", s->n_ctx, s->n_ctx);
    need->weights += own.weights;
    need->all += own.all;
    if (own.largest > need->largest) need->largest = own.largest;
}

static void say_pair(struct report *r)
{
    struct err err;
    int rc = r->in->check_vocabularies(r->in->big, r->in->little, &err);
    if (rc == OK)
        report_ok(r, "pair", "the vocabularies go together");
    else
        report_bad(r, rc, "pair", "%s", err.text);
}

static void say_fit(struct report *r, const char *where, uint64_t n_bytes, uint64_t there_are)
{
    const struct doctor_input *in = r->in;
    char text[160];
    snprintf(text, sizeof text, "%.2f GiB%s for %d sequence%s of %d positions, %.2f GiB available",
             (double)n_bytes / GIB, where, in->parallel, in->parallel == 1 ? "" : "s", in->ctx,
             (double)there_are / GIB);
    if (n_bytes > there_are)
        report_bad(r, E_LAYOUT, "fit", "%s. Do: a smaller --ctx or --parallel, or more %s (--tp, --pp)", text,
                   *where ? "devices" : "hosts");
    else
        report_ok(r, "fit", "%s", text);
}

/* Over several hosts it is not known here which shares are on one: each counts as the largest. */
static void say_models(struct report *r)
{
    const struct doctor_input *in = r->in;
    struct need big = {0}, little = {0};
    if (!in->kernels) return; /* said already */
    if (in->big) say_model(r, &big, ROLE_VERIFIER, in->big, in->groups, in->tp, in->pp);
    if (in->little) say_model(r, &little, ROLE_DRAFTER, in->little, in->drafters, 1, 1);
    if (big.all && little.all) say_pair(r);
    if (r->device_bytes && big.all) { /* which then take none of the host's */
        int n_shares = in->groups * in->tp * in->pp;
        if (n_shares > r->n_workers) n_shares = r->n_workers;
        int n_each = (n_shares + r->n_devices - 1) / r->n_devices;
        say_fit(r, n_each > 1 ? " on a device that several share" : " on a device", big.largest * (uint64_t)n_each,
                r->device_bytes);
        big = (struct need){0};
    }
    bool spread = in->world && r->n_local < in->world->size;
    uint64_t largest = big.largest > little.largest ? big.largest : little.largest;
    uint64_t here = spread ? largest * (uint64_t)r->n_workers : big.all + little.all;
    if (here) say_fit(r, "", here, memory_bytes_of(&r->memory));
}

/* A file for `plan --hosts`. */
static void put_hosts(const struct report *r)
{
    struct host hosts[HOSTS_MOST];
    if (!r->in->world || !r->in->ranks || !(r->in->ranks[0].read_bytes_per_s > 0)) return;
    int n = mpi_survey_hosts(hosts, r->in->ranks, r->in->world->size);
    fprintf(r->out, "\nhosts, as a file for pilotfish plan --hosts:\n");
    hosts_put_head(r->out);
    for (int i = 0; i < n; i++) hosts_put(&hosts[i], i == 0, r->out);
}

int doctor_run(const struct doctor_input *in, FILE *out, struct err *err)
{
    struct report r = {.in = in, .out = out};
    memory_read(&r.memory, "");
    doctor_ranks(&r);
    say_cpu(&r);
    say_kernels(&r);
    say_limits(&r);
    say_devices(&r);
    say_huge_pages(&r);
    say_bandwidth(&r);
    say_models(&r);
    put_hosts(&r);
    if (r.n_warnings) fprintf(out, "\n%d warning%s\n", r.n_warnings, r.n_warnings == 1 ? "" : "s");
    return r.bad.code == OK ? OK : err_set(err, r.bad.code, "%s", r.bad.text);
}
