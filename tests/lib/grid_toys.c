#include "tests/lib/grid_toys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/decode/spec.h"
#include "tests/lib/tiny.h"

char grid_folder[] = "/tmp/pilotfish-grid-XXXXXX";
const int grid_windows[GRID_WINDOWS] = {1, 4, 8, 16};

struct toy grid_write_toy(uint32_t type, const char *architecture, bool tied)
{
    struct toy t;
    struct tiny_spec spec = tiny_spec(type);
    spec.architecture = architecture;
    spec.tied = tied;
    if (strcmp(architecture, "qwen3moe") == 0) spec.n_experts = 5, spec.n_used = 2;
    snprintf(t.big, sizeof t.big, "%s/big-%u-%s-%d.gguf", grid_folder, type, architecture, tied);
    snprintf(t.little, sizeof t.little, "%s/little-%u-%s-%d.gguf", grid_folder, type, architecture, tied);
    assert_int_equal(tiny_write(t.big, &spec), 0);
    spec.left_out = 2;
    assert_int_equal(tiny_write(t.little, &spec), 0);
    return t;
}

const struct kernels *grid_fastest(void)
{
    const char *why;
    return kernels_pick(NULL, &why);
}

void grid_expect(struct grid *g)
{
    g->have_expected = 0;
    g->self_max = 0;
    grid_run(g, &(struct cell){GRID_NONE, 1, 1, 1, 1, 1});
    g->have_expected = 1;
    g->self_max = 64;
}

int grid_draft_ahead(int turn)
{
    static const int most[] = {0, 3, 16, 32};
    return most[turn % 4];
}

int grid_self_max(int turn)
{
    static const int most[] = {0, 5, SELF_MEASURED};
    return most[turn % 3];
}

enum company grid_company(int others, int turn)
{
    return !others ? ALONE : turn % 2 ? TOGETHER : COMING;
}

struct cell grid_cover(enum grid_drafter drafter, int draft_max, int i)
{
    return (struct cell){drafter,   draft_max,     1 + i % 2,
                         1 + i % 3, 1 + i / 3 % 3, grid_company(i % 2 ^ i / 4 % 2, i / 2)};
}

int grid_make_folder(void **state)
{
    (void)state;
    return mkdtemp(grid_folder) ? 0 : -1;
}

int grid_remove_folder(void **state)
{
    (void)state;
    return tiny_remove(grid_folder);
}
