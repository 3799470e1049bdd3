#include "worker/memory.h"

#include <ctype.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 4096, MAX_CPUS = 8192 };

/* The first line of a file, without its end; false: no such file, or nothing in it. */
static bool line_read(const char *path, char *line, size_t size)
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    bool got = fgets(line, (int)size, f) != NULL;
    fclose(f);
    if (got) line[strcspn(line, "\n")] = 0;
    return got;
}

/* A file of "key value" or "key: value" lines: adds up the values of the keys that are named (NULL ends them). */
static bool keys_sum(const char *path, const char *const keys[], uint64_t *sum)
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    char line[512], key[128];
    uint64_t value;
    bool found = false;
    *sum = 0;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%127[^ :]%*[ :]%" SCNu64, key, &value) != 2) continue;
        for (int i = 0; keys[i]; i++) {
            if (strcmp(key, keys[i]) != 0) continue;
            *sum += value;
            found = true;
        }
    }
    fclose(f);
    return found;
}

/* One folder of a group. v1 and v2 differ in names only. */
struct controller {
    const char *limit, *used;
    const char *const *cache; /* keys of memory.stat that count as used and are given back when asked for */
};

static const char *const cache_v1[] = {"total_inactive_file", "total_active_file", NULL};
static const char *const cache_v2[] = {"inactive_file", "active_file", NULL};
static const struct controller memory_v1 = {"memory.limit_in_bytes", "memory.usage_in_bytes", cache_v1};
static const struct controller memory_v2 = {"memory.max", "memory.current", cache_v2};

static bool number_read(const char *folder, const char *name, uint64_t *out)
{
    char path[PATH_ROOM], line[64];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return false;
    if (!line_read(path, line, sizeof line) || !isdigit((unsigned char)line[0])) return false; /* "max", "-1" */
    *out = strtoull(line, NULL, 10);
    return true;
}

/* Pages of files count as used, a mapped model's first of all, but they are given back: not counting them as free would
 * refuse a model that has just been read. */
static void memory_limit(const char *folder, const struct controller *c, struct memory *m)
{
    uint64_t limit, used, cache;
    char path[PATH_ROOM];
    if (!number_read(folder, c->limit, &limit) || !number_read(folder, c->used, &used)) return;
    if (snprintf(path, sizeof path, "%s/memory.stat", folder) >= (int)sizeof path || !keys_sum(path, c->cache, &cache))
        cache = 0;
    used -= cache < used ? cache : used;
    uint64_t left = limit > used ? limit - used : 0;
    if (limit >> 62 == 0 && left < m->cgroup_bytes) m->cgroup_bytes = left; /* v1 says 2^63 - 4096: no limit */
}

static void cores_limit(double quota, double period, struct memory *m)
{
    if (quota <= 0 || period <= 0) return;
    if (m->cgroup_cores == 0 || quota / period < m->cgroup_cores) m->cgroup_cores = quota / period;
}

static void limits_v1_memory(const char *folder, struct memory *m)
{
    memory_limit(folder, &memory_v1, m);
}

static void limits_v1_cpu(const char *folder, struct memory *m)
{
    uint64_t quota, period;
    if (number_read(folder, "cpu.cfs_quota_us", &quota) && number_read(folder, "cpu.cfs_period_us", &period))
        cores_limit((double)quota, (double)period, m);
}

static void limits_v2(const char *folder, struct memory *m)
{
    char path[PATH_ROOM], line[64];
    double quota, period;
    memory_limit(folder, &memory_v2, m);
    if (snprintf(path, sizeof path, "%s/cpu.max", folder) >= (int)sizeof path) return;
    if (line_read(path, line, sizeof line) && sscanf(line, "%lf %lf", &quota, &period) == 2)
        cores_limit(quota, period, m);
}

/* The group's folder and all above it: a limit of a parent holds as well. A container often sees its own group as the
 * root while /proc names it in full; then the deeper folders are missing and the root is the one that counts. */
static void groups_climb(const char *root, const char *mount, const char *group,
                         void (*limits)(const char *folder, struct memory *m), struct memory *m)
{
    char folder[PATH_ROOM];
    int n = snprintf(folder, sizeof folder, "%s/sys/fs/cgroup%s", root, mount);
    if (n < 0 || n + strlen(group) >= sizeof folder) return;
    strcpy(folder + n, group);
    for (;;) {
        limits(folder, m);
        char *slash = strrchr(folder + n, '/');
        if (!slash) return;
        *slash = 0;
    }
}

static bool list_has(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *s = list; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
        if (strncmp(s, name, n) == 0 && (s[n] == 0 || s[n] == ',')) return true;
    return false;
}

/* A line of /proc/self/cgroup: "number:controllers:group"; v2 has number 0 and no controllers. */
static void group_limits(const char *root, char *line, struct memory *m)
{
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) return;
    *controllers++ = 0;
    *group++ = 0;
    group[strcspn(group, "\n")] = 0;
    char mount[256];
    snprintf(mount, sizeof mount, "/%s", controllers);
    if (strcmp(line, "0") == 0 && !*controllers) {
        groups_climb(root, "", group, limits_v2, m);
        groups_climb(root, "/unified", group, limits_v2, m);
    } else if (list_has(controllers, "memory")) {
        groups_climb(root, mount, group, limits_v1_memory, m);
    } else if (list_has(controllers, "cpu")) {
        groups_climb(root, mount, group, limits_v1_cpu, m);
    }
}

static void groups_read(const char *root, struct memory *m)
{
    char path[PATH_ROOM], line[PATH_ROOM];
    if (snprintf(path, sizeof path, "%s/proc/self/cgroup", root) >= (int)sizeof path) return;
    FILE *f = fopen(path, "re");
    if (!f) return;
    while (fgets(line, sizeof line, f)) group_limits(root, line, m);
    fclose(f);
}

static int affinity_cores(void)
{
    cpu_set_t set[MAX_CPUS / (8 * sizeof(cpu_set_t))];
    if (sched_getaffinity(0, sizeof set, set) != 0) return 1;
    return CPU_COUNT_S(sizeof set, set);
}

void memory_read(struct memory *m, const char *root)
{
    static const char *const available[] = {"MemAvailable", NULL};
    char path[PATH_ROOM];
    uint64_t kib;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    *m = (struct memory){.host_bytes = UINT64_MAX, .cgroup_bytes = UINT64_MAX};
    m->affinity_cores = affinity_cores();
    m->host_cores = online > 0 ? (int)online : 1;
    if (snprintf(path, sizeof path, "%s/proc/meminfo", root) < (int)sizeof path && keys_sum(path, available, &kib))
        m->host_bytes = kib * 1024;
    groups_read(root, m);
}

uint64_t memory_bytes_of(const struct memory *m)
{
    return m->cgroup_bytes < m->host_bytes ? m->cgroup_bytes : m->host_bytes;
}

int memory_cores_of(const struct memory *m)
{
    int cores = m->affinity_cores > 0 ? m->affinity_cores : 1;
    int quota = (int)m->cgroup_cores + (m->cgroup_cores > (int)m->cgroup_cores);
    return quota > 0 && quota < cores ? quota : cores;
}

uint64_t memory_available(void)
{
    struct memory m;
    memory_read(&m, "");
    return memory_bytes_of(&m);
}

int memory_cores(void)
{
    struct memory m;
    memory_read(&m, "");
    return memory_cores_of(&m);
}
