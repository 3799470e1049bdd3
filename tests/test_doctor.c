/* The doctor: its verdicts on layouts, files and memory, and that every "warn" says what to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tiny.h"
#include "worker/tools/doctor.h"

enum { ROOM = 8192 };

static int of_one_family(const char *big, const char *little, struct err *err)
{
    (void)big, (void)little, (void)err;
    return OK;
}

static int of_two_families(const char *big, const char *little, struct err *err)
{
    return err_set(err, E_MODEL, "%s and %s differ", big, little);
}

static struct doctor_input plain_input(void)
{
    const char *why;
    return (struct doctor_input){.drafters = 1,
                                 .check_vocabularies = of_one_family,
                                 .groups = 1,
                                 .tp = 1,
                                 .pp = 1,
                                 .ctx = 64,
                                 .parallel = 1,
                                 .threads = 1,
                                 .kernels = kernels_pick(NULL, &why)};
}

static int doctor_says(const struct doctor_input *in, char text[ROOM])
{
    struct err err = {0};
    FILE *out = fmemopen(text, ROOM, "w");
    assert_non_null(out);
    int rc = doctor_run(in, out, &err);
    fclose(out);
    assert_int_equal(rc, err.code);
    return rc;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("no \"%s\" in:\n%s", part, text);
}

static void without_a_launcher_all_is_one_process_and_every_warning_says_what_to_do(void **state)
{
    (void)state;
    char text[ROOM] = "";
    struct doctor_input in = plain_input();
    assert_int_equal(doctor_says(&in, text), OK);
    static const char *const parts[] = {"ok    ranks      no launcher",
                                        "mpi ",
                                        "launcher ",
                                        "binding ",
                                        "threads ",
                                        "cpu ",
                                        "ref    self-test",
                                        "this one runs",
                                        "memory ",
                                        "huge pages",
                                        "read loop "};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_has(text, parts[i]);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, "warn", 4) == 0) assert_has(line, "Do: ");
    in.groups = 2;
    assert_int_equal(doctor_says(&in, text), OK);
    assert_has(text, "2 workers at once");
}

static void ranks_that_do_not_fit_the_layout_are_named_with_the_right_number(void **state)
{
    (void)state;
    char text[ROOM] = "";
    struct doctor_input in = plain_input();
    struct mpi_world world = {.rank = 0, .size = 3, .library = "An MPI 1.0"};
    in.world = &world;
    in.big = "absent.gguf";
    in.tp = 4;
    assert_int_equal(doctor_says(&in, text), E_LAYOUT);
    assert_has(text, "bad   ranks");
    assert_has(text, "-n 5 ");
    assert_has(text, "An MPI 1.0");
}

static void each_rank_has_a_line(void **state)
{
    (void)state;
    char text[ROOM] = "";
    struct doctor_input in = plain_input();
    const struct mpi_world world = {.rank = 0, .size = 3, .library = "An MPI 1.0"};
    const struct mpi_rank ranks[] = {{.host = "a", .cores = 2, .host_cores = 4, .threads = 2},
                                     {"b", 64, 64, 32, "TCP", .round_trip_us = 20250, .bytes_per_s = 12.5e6},
                                     {"b", 1, 64, 1, "TCP", .round_trip_us = 40000, .bytes_per_s = 12.5e6}};
    in.world = &world;
    in.ranks = ranks;
    assert_int_equal(doctor_says(&in, text), OK);
    assert_has(text, "ok    rank 0     host a, 2 of its 4 cores\n");
    assert_has(text,
               "ok    rank 1     host b, 64 of its 64 cores, 32 threads; to rank 0: TCP, round trip 20.250 ms, 12 "
               "MB/s\n");
    assert_has(text, "ok    rank 2     host b, 1 of its 64 cores, 1 thread; to rank 0: TCP, round trip 40.000 ms, 12 "
                     "MB/s\n");
}

static void a_file_that_is_no_model_is_bad(void **state)
{
    (void)state;
    char text[ROOM] = "";
    struct doctor_input in = plain_input();
    in.big = "CMakeLists.txt";
    assert_int_equal(doctor_says(&in, text), E_MODEL);
    assert_has(text, "bad   big ");
}

/* MiB of KV in the first line of such a worker. */
static int kv_mib(const char *text, const char *worker)
{
    const char *line = strstr(text, worker), *kv = line ? strstr(line, "MiB of weights, ") : NULL;
    int mib = -1;
    if (!kv || sscanf(kv, "MiB of weights, %d MiB of KV", &mib) != 1) fail_msg("no KV of a %s in:\n%s", worker, text);
    return mib;
}

static void models_are_weighed_share_by_share(void **state)
{
    (void)state;
    char text[ROOM] = "", path[] = "/tmp/pilotfish-doctor-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct tiny_spec spec = tiny_spec(QUANT_Q8_0);
    assert_int_equal(tiny_write(path, &spec), 0);
    struct doctor_input in = plain_input();
    in.big = in.little = path;
    in.tp = 2;
    assert_int_equal(doctor_says(&in, text), OK);
    assert_has(text, "ok    big        qwen2");
    assert_has(text, "in 2 shares");
    assert_has(text, "rank 0, this host, verifier, stage 0, shard 1: blocks 0-3, 5 heads, ");
    assert_has(text, "rank 0, this host, drafter: blocks 0-3, 9 heads, ");
    assert_has(text, "ok    little     qwen2");
    assert_has(text, "ok    pair       the vocabularies go together");
    assert_has(text, "ok    fit ");
    in.shard_share = "7,2";
    assert_int_equal(doctor_says(&in, text), OK);
    assert_has(text, "shard 0: blocks 0-3, 7 heads, ");
    assert_has(text, "shard 1: blocks 0-3, 2 heads, ");
    in.shard_share = "70,2";
    assert_int_equal(doctor_says(&in, text), E_LAYOUT);
    assert_has(text, "bad   big        ");
    in.shard_share = NULL;
    in.check_vocabularies = of_two_families;
    assert_int_equal(doctor_says(&in, text), E_MODEL);
    assert_has(text, "bad   pair       /tmp/pilotfish-doctor-");
    in.check_vocabularies = of_one_family;
    in.tp = 1;
    in.ctx = 1 << 15;
    in.parallel = 4;
    doctor_says(&in, text);
    int all = kv_mib(text, "verifier");
    assert_true(all > 3);
    in.groups = 2; /* each has two of the four sequences, the drafter all */
    doctor_says(&in, text);
    assert_int_equal(kv_mib(text, "verifier"), all / 2);
    assert_int_equal(kv_mib(text, "drafter: "), all);
    in.groups = 1;
    in.tp = 2;
    in.ctx = 1 << 24;
    in.parallel = 1 << 14;
    assert_int_equal(doctor_says(&in, text), E_LAYOUT);
    assert_has(text, "bad   fit ");
    assert_has(text, "trained for");
    unlink(path);
}

/* Rank, host, role, blocks, heads, weights, KV, and what the host reads. */
static void the_layout_has_a_line_for_each_share(void **state)
{
    (void)state;
    char text[ROOM] = "", path[] = "/tmp/pilotfish-doctor-XXXXXX";
    const struct mpi_world world = {.rank = 0, .size = 3, .library = "An MPI 1.0"};
    const struct mpi_rank ranks[] = {
        {.host = "a", .read_bytes_per_s = 10e9}, {.host = "a"}, {.host = "b", .read_bytes_per_s = 20e9}};
    static const char *const lines[] = {"rank 1, host a, verifier, group 1: blocks 0-3, 9 heads, ",
                                        "rank 2, host b, verifier, group 2: blocks 0-3, 9 heads, "},
                             *const ends[] = {"MiB of KV, reads up to 10.0 GB/s\n",
                                              "MiB of KV, reads up to 20.0 GB/s\n"};
    close(mkstemp(path));
    struct tiny_spec spec = tiny_spec(QUANT_Q8_0);
    assert_int_equal(tiny_write(path, &spec), 0);
    struct doctor_input in = plain_input();
    in.big = path;
    in.groups = 2;
    in.world = &world;
    in.ranks = ranks;
    assert_int_equal(doctor_says(&in, text), OK);
    for (int i = 0; i < 2; i++) {
        assert_has(text, lines[i]);
        const char *line = strstr(text, lines[i]), *end = strchr(line, '\n') + 1;
        if (strncmp(end - strlen(ends[i]), ends[i], strlen(ends[i]))) fail_msg("no \"%s\" in %s", ends[i], line);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_launcher_all_is_one_process_and_every_warning_says_what_to_do),
        cmocka_unit_test(ranks_that_do_not_fit_the_layout_are_named_with_the_right_number),
        cmocka_unit_test(each_rank_has_a_line),
        cmocka_unit_test(a_file_that_is_no_model_is_bad),
        cmocka_unit_test(models_are_weighed_share_by_share),
        cmocka_unit_test(the_layout_has_a_line_for_each_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
