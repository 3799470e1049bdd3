/* A file that is cut off under its mapping ends the process with one line and exit 3; what is nobody's model does
 * not. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cut_off.h"
#include "proto/files/gguf_open.h"
#include "tests/lib/tiny.h"

static char folder[] = "/tmp/pilotfish-cut-XXXXXX", path[64];

static void read_cut_model(void)
{
    struct gguf g;
    uint8_t seen = 0;
    if (gguf_open(&g, path, NULL) != OK || truncate(path, 4096) != 0) _exit(99);
    struct gguf_str name;
    if (!gguf_get_str(&g, "general.architecture", &name) || !gguf_str_is(name, "qwen2")) _exit(98); /* a copy */
    const struct gguf_tensor *t = gguf_tensor(&g, "output_norm.weight");
    for (size_t i = 0; t && i < t->n_bytes; i++) seen |= ((const volatile uint8_t *)t->data)[i];
    _exit(seen ? 97 : 96);
}

static void read_cut_memory(void)
{
    FILE *f = tmpfile();
    if (!f || ftruncate(fileno(f), 8192) != 0) _exit(99);
    volatile uint8_t *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
    if (ftruncate(fileno(f), 0) != 0) _exit(98);
    at[0] = 1;
    _exit(97);
}

/* How the child ended, and what it wrote to standard error. */
static int end_of(void (*child)(void), char said[512])
{
    int pipes[2], status;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(pipes[1], STDERR_FILENO);
        signal(SIGBUS, SIG_DFL);
        cut_off_watch();
        child();
    }
    close(pipes[1]);
    ssize_t n = 0, got;
    while ((got = read(pipes[0], said + n, (size_t)(511 - n))) > 0) n += got;
    said[n] = 0;
    close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void a_model_cut_off_ends_with_one_line_and_exit_3(void **state)
{
    (void)state;
    char said[512], expected[256];
    struct tiny_spec spec = tiny_spec(QUANT_F32);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/toy.gguf", folder);
    assert_int_equal(tiny_write(path, &spec), 0);
    int status = end_of(read_cut_model, said);
    unlink(path);
    rmdir(folder);
    snprintf(expected, sizeof expected, "pilotfish: %s: the file was cut off while it was read: fetch it again\n",
             path);
    assert_string_equal(said, expected);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == E_MODEL);
}

static void other_memory_that_is_gone_ends_as_ever(void **state)
{
    (void)state;
    char said[512];
    int status = end_of(read_cut_memory, said);
    assert_string_equal(said, "");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_cut_off_ends_with_one_line_and_exit_3),
        cmocka_unit_test(other_memory_that_is_gone_ends_as_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
