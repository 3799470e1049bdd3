/* What a process may use, read from made-up folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "worker/memory.h"

enum { MIB = 1 << 20, MAX_FILES = 12 };

struct file {
    const char *path, *text;
};

static void file_write(const char *root, const struct file *file)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, file->path);
    for (char *s = path + 1; (s = strchr(s, '/')); s++) {
        *s = 0;
        assert_true(mkdir(path, 0777) == 0 || errno == EEXIST);
        *s = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(file->text, f);
    assert_int_equal(fclose(f), 0);
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void machine_read(struct memory *m, const struct file *files)
{
    char root[] = "/tmp/pilotfish-memory-XXXXXX";
    assert_non_null(mkdtemp(root));
    for (int i = 0; i < MAX_FILES && files[i].path; i++) file_write(root, &files[i]);
    memory_read(m, root);
    nftw(root, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

#define MEMINFO                                                                                                        \
    {                                                                                                                  \
        "/proc/meminfo", "MemTotal:  4194304 kB\nMemFree:  10 kB\nMemAvailable:    1048576 kB\nCached: 5 kB\n"         \
    }
#define NO_LIMIT UINT64_MAX

static const struct {
    const char *why;
    struct file files[MAX_FILES];
    uint64_t host, cgroup;
    double cores;
} rows[] = {
    {"an empty machine limits nothing", {{0}}, NO_LIMIT, NO_LIMIT, 0},
    {"no control groups: MemAvailable counts", {MEMINFO}, 1024ull * MIB, NO_LIMIT, 0},
    {"v2: what is left below the limit, pages of files given back",
     {MEMINFO,
      {"/proc/self/cgroup", "0::/job\n"},
      {"/sys/fs/cgroup/job/memory.max", "536870912\n"},
      {"/sys/fs/cgroup/job/memory.current", "268435456\n"},
      {"/sys/fs/cgroup/job/memory.stat", "anon 5\ninactive_file 1048576\nactive_file 2097152\nshmem 9\n"}},
     1024ull * MIB,
     259ull * MIB,
     0},
    {"v2: a parent may be tighter, for bytes and for cores",
     {{"/proc/self/cgroup", "0::/a/b\n"},
      {"/sys/fs/cgroup/a/b/memory.max", "max\n"},
      {"/sys/fs/cgroup/a/b/memory.current", "1048576\n"},
      {"/sys/fs/cgroup/a/b/cpu.max", "400000 100000\n"},
      {"/sys/fs/cgroup/a/memory.max", "3145728\n"},
      {"/sys/fs/cgroup/a/memory.current", "1048576\n"},
      {"/sys/fs/cgroup/a/cpu.max", "150000 100000\n"}},
     NO_LIMIT,
     2 * MIB,
     1.5},
    {"v2: a container's group is named in full but mounted as the root",
     {{"/proc/self/cgroup", "0::/docker/0123\n"},
      {"/sys/fs/cgroup/memory.max", "2097152\n"},
      {"/sys/fs/cgroup/memory.current", "1048576\n"},
      {"/sys/fs/cgroup/cpu.max", "max 100000\n"}},
     NO_LIMIT,
     1 * MIB,
     0},
    {"v2: used up is nothing left, not a huge number",
     {{"/proc/self/cgroup", "0::/\n"},
      {"/sys/fs/cgroup/memory.max", "1048576\n"},
      {"/sys/fs/cgroup/memory.current", "2097152\n"}},
     NO_LIMIT,
     0,
     0},
    {"v1: memory and cpu are groups of their own",
     {{"/proc/self/cgroup", "9:name=systemd:/x\n4:memory:/m\n1:cpu,cpuacct:/c\n3:cpuset:/s\n0::/\n"},
      {"/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "4194304\n"},
      {"/sys/fs/cgroup/memory/m/memory.usage_in_bytes", "2097152\n"},
      {"/sys/fs/cgroup/memory/m/memory.stat", "inactive_file 7\ntotal_inactive_file 1048576\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "250000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us", "100000\n"}},
     NO_LIMIT,
     3 * MIB,
     2.5},
    {"v1: its words for no limit",
     {{"/proc/self/cgroup", "4:memory:/\n1:cpu:/\n"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"},
      {"/sys/fs/cgroup/memory/memory.usage_in_bytes", "1048576\n"},
      {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"},
      {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}},
     NO_LIMIT,
     NO_LIMIT,
     0},
    {"nonsense limits nothing",
     {{"/proc/self/cgroup", "hello\n:\n0:\n0::/\n"},
      {"/proc/meminfo", "MemAvailable kB\n"},
      {"/sys/fs/cgroup/memory.max", "\n"},
      {"/sys/fs/cgroup/memory.current", "x\n"},
      {"/sys/fs/cgroup/cpu.max", "0 0\n"}},
     NO_LIMIT,
     NO_LIMIT,
     0},
};

static void reads_the_tightest_limit_of_its_groups(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct memory m;
        machine_read(&m, rows[i].files);
        if (m.host_bytes != rows[i].host || m.cgroup_bytes != rows[i].cgroup || m.cgroup_cores != rows[i].cores)
            fail_msg("%s: host %llu, group %llu, cores %g", rows[i].why, (unsigned long long)m.host_bytes,
                     (unsigned long long)m.cgroup_bytes, m.cgroup_cores);
    }
}

static void the_quota_caps_cores_rounded_up_and_the_tighter_bytes_win(void **state)
{
    (void)state;
    static const struct {
        int affinity;
        double quota;
        int cores;
    } cases[] = {{8, 0, 8}, {8, 1.5, 2}, {8, 0.1, 1}, {8, 3, 3}, {2, 16, 2}, {0, 0, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct memory m = {.affinity_cores = cases[i].affinity, .cgroup_cores = cases[i].quota};
        assert_int_equal(memory_cores_of(&m), cases[i].cores);
    }
    assert_true(memory_bytes_of(&(struct memory){.host_bytes = 5, .cgroup_bytes = 3}) == 3);
    assert_true(memory_bytes_of(&(struct memory){.host_bytes = 5, .cgroup_bytes = NO_LIMIT}) == 5);
}

static void this_machine_has_cores_and_memory(void **state)
{
    (void)state;
    struct memory m;
    memory_read(&m, "");
    assert_true(m.host_bytes > MIB && m.host_bytes != NO_LIMIT);
    assert_in_range(m.affinity_cores, 1, m.host_cores);
    assert_in_range(memory_cores(), 1, m.affinity_cores);
    assert_true(memory_available() > MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_tightest_limit_of_its_groups),
        cmocka_unit_test(the_quota_caps_cores_rounded_up_and_the_tighter_bytes_win),
        cmocka_unit_test(this_machine_has_cores_and_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
