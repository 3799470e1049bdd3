/* fuzz_side -- any bytes as a side file: refused with one line, or its keys are such as a plan can use. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/files/side.h"
#include "proto/plan.h"

static void require(bool holds)
{
    if (!holds) abort();
}

static void require_one_line(int rc, const struct err *err)
{
    require(rc == E_MODEL && err->code == rc && err->text[0] && !strchr(err->text, '\n') && strlen(err->text) < 500);
}

/* A plan of a small model that names it, and which exit: what one within the model gives, and any other is refused. */
static void check_plan(const char *path, int exit)
{
    enum { N_BLOCKS = 8 };
    char text[80];
    struct plan p = {0};
    struct err err = {0};
    int n = snprintf(text, sizeof text, "balcony:%s", path);
    if (exit) snprintf(text + n, sizeof text - (size_t)n, ":%d", exit);
    int rc = plan_read(&p, text, N_BLOCKS, &err);
    if (exit < 1 || exit > N_BLOCKS) {
        require_one_line(rc, &err);
        return;
    }
    require(rc == OK && p.n_entries == exit + 1 && p.entries[exit].block == N_BLOCKS && !strcmp(p.side, path));
    plan_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct side s = {0};
    struct err err = {0};
    char path[64];
    int fd = memfd_create("side", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, n_bytes) != (ssize_t)n_bytes) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int rc = side_open(&s, path, &err);
    if (rc == OK)
        require(side_is(&s.file) && s.n_exits >= 1 && s.exits[0] >= 1 && s.n_ids >= 0);
    else
        require_one_line(rc, &err);
    for (int i = 1; i < s.n_exits; i++) require(s.exits[i] > s.exits[i - 1]);
    for (int i = 0; s.ids && i < s.n_ids; i++) require(s.ids[i] > (i ? s.ids[i - 1] : -1));
    for (int i = 0; i < s.n_exits; i++) check_plan(path, s.exits[i]);
    if (s.n_exits != 1) check_plan(path, 0); /* none, or several */
    side_close(&s);
    close(fd);
    return 0;
}
