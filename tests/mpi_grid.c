/* Ranks: 1 + groups * tp * pp, and one more with `little`, two with `drafters`. One hash over a layout of real ranks:
 *   mpi_grid [GROUPSx]TP PP little|drafters|suffix|uneven|plan|device|cuda|side|plans|swift|copies FOLDER
 *            [CELL SELF_MAX]
 *
 * One launch runs a cover of all pairs of (drafter, draft-max, threads, company) over the same ranks: workers come and
 * go with each cell, MPI stays; in every other cell they drop nothing. With CELL it runs one of them, over an emulated
 * network, which ends with its job. FOLDER has big.gguf and little.gguf, toys, side.gguf, a side file of big, and
 * idle.gguf, a toy with blocks that do nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"
#include "proto/launcher.h"
#include "proto/mpi_bridge.h"
#include "tests/lib/grid.h"

enum { N_WINDOWS = 4, AXES = 4, MOST_CELLS = 100, CUDA_CELLS = 3, HOLD_US = 1000 };
static const int windows[N_WINDOWS] = {1, 4, 8, 16}, self_most[] = {0, 5, 64};
static const struct net_path path = {.delay_ns = 2000000, .jitter_ns = 4000000};
static const enum grid_drafter with_little[] = {GRID_NONE, GRID_LITTLE, GRID_ITSELF, GRID_WRONG},
                               with_suffix[] = {GRID_SUFFIX}, with_plan[] = {GRID_PLAN};

struct launch {
    int groups, tp, pp, n_drafters, n_cells; /* n_drafters: kinds of them */
    int n_little;                            /* drafters of the layout */
    const enum grid_drafter *drafters;
    struct cell cells[MOST_CELLS];
    struct layout layout;
    char big[256], little[256], side[256];
    const char *stage_share, *shard_share; /* NULL: by bytes, equal */
    enum device_kind device; /* of the ranks; what is expected comes from the CPU, or from one whole cuda device */
    struct grid grid;
    struct router *router;
    bool copies;               /* its prompts begin alike */
    bool has_network;          /* and one cell */
    int self_max, draft_ahead; /* then */
};

static struct launch launch;

/* Greedy: the combination that covers most pairs of values not seen together yet, until none is left. */
static void cover_pairs(struct launch *l)
{
    int sizes[AXES] = {l->n_drafters, N_WINDOWS, 2, N_COMPANIES};
    static char seen[AXES][AXES][8][8];
    for (;;) {
        int best = 0, best_at[AXES] = {0}, at[AXES] = {0};
        for (;;) {
            int fresh = 0;
            for (int a = 0; a < AXES; a++)
                for (int b = a + 1; b < AXES; b++) fresh += !seen[a][b][at[a]][at[b]];
            if (fresh > best) {
                best = fresh;
                memcpy(best_at, at, sizeof at);
            }
            int i = 0;
            while (i < AXES && ++at[i] == sizes[i]) at[i++] = 0;
            if (i == AXES) break;
        }
        if (!best || l->n_cells == MOST_CELLS) return;
        for (int a = 0; a < AXES; a++)
            for (int b = a + 1; b < AXES; b++) seen[a][b][best_at[a]][best_at[b]] = 1;
        l->cells[l->n_cells++] =
            (struct cell){l->drafters[best_at[0]], windows[best_at[1]], 1 + best_at[2], l->tp, l->pp, best_at[3]};
    }
}

static void choose_cell(struct launch *l, int i, int self_max)
{
    l->cells[0] = l->cells[i % l->n_cells];
    l->n_cells = 1;
    l->self_max = self_max;
    l->draft_ahead = i % 2 * 14;
    l->has_network = true;
}

static struct cluster_config config_of(const struct launch *l, const struct cell *c)
{
    return (struct cluster_config){.launch.layout = l->layout,
                                   .big = l->big,
                                   .little = c->drafter == GRID_ITSELF ? l->big : l->little,
                                   .kernels = l->grid.kernels,
                                   .device = {.kind = l->device, .number = -1},
                                   .n_threads = c->threads,
                                   .drops_nothing = (c - l->cells) % 2,
                                   .hold_us = l->has_network ? HOLD_US : 0};
}

/* ---- rank 0 ---- */

static void run_cell(const struct cell *c)
{
    struct err err = {0};
    struct cluster *cluster = NULL;
    struct cluster_config config = config_of(&launch, c); /* no worker is in this process */
    if (cluster_start(&cluster, &config, launch.router, &err) != OK) fail_msg("%s", err.text);
    grid_run_over(&launch.grid, c, &launch.layout, launch.router);
    cluster_join(cluster);
}

/* The text to compare with comes from one process: one shard, one stage, one thread. */
static void ranks_give_the_hash_of_one_process(void **state)
{
    (void)state;
    bool copies = launch.copies;
    struct device_pick whole = {0};
    struct err err;
    const struct device_wish wish = {.kind = launch.device};
    if (launch.device == DEVICE_KIND_CUDA && device_pick(&whole, &wish, &err) != OK) fail_msg("%s", err.text);
    launch.grid.device = whole.table;
    launch.grid.fresh = copies;
    grid_run(&launch.grid, &(struct cell){GRID_NONE, 1, 1, 1, 1, 1});
    assert_int_equal(launch.grid.n_copied, 0);
    launch.grid.have_expected = 1;
    launch.grid.fresh = false;
    launch.grid.groups = launch.groups;
    if (launch.device == DEVICE_KIND_REFERENCE) launch.grid.device = &device_ref;
    if (launch.has_network) {
        launch.grid.path = path;
        grid_emulate(&launch.grid, &launch.layout, launch.router);
    }
    for (int i = 0; i < launch.n_cells; i++) {
        launch.grid.draft_ahead = launch.has_network ? launch.draft_ahead : i / 2 % 3 * 7;
        launch.grid.self_max = launch.has_network ? launch.self_max : self_most[i % 3];
        run_cell(&launch.cells[i]);
    }
    if (copies) assert_true(launch.grid.n_copied > 100);
    print_message("%d cells over %d ranks\n", launch.n_cells, launch.layout.n_ranks);
}

static int lead(struct mpi_bridge *bridge)
{
    struct err err = {0};
    struct launch_config config = {.layout = launch.layout,
                                   .plan = launch.grid.plan,
                                   .stage_share = launch.stage_share,
                                   .shard_share = launch.shard_share};
    memcpy(config.draft_plans, launch.grid.draft_plans, sizeof config.draft_plans);
    launch.router = router_open(launch.layout.n_peers);
    if (!launch.router || mpi_bridge_run(bridge, launch.router, &config, &err) != OK) {
        fprintf(stderr, "%s\n", err.text);
        mpi_abort(1);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranks_give_the_hash_of_one_process)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed) mpi_abort(1); /* workers wait for a Quit that will not come */
    int rc = mpi_bridge_close(bridge, &err);
    router_close(launch.router);
    return rc;
}

/* ---- the others ---- */

/* The drafter that is always wrong learns big's text by running big itself, in its own process. */
static int wrong_drafter(struct launch *l, int rank)
{
    struct mailbox *mailbox = mail_mpi_open(&l->layout, layout_peer(&l->layout, rank));
    struct proposer wrong = grid_wrong_proposer(&l->grid);
    int rc = mailbox ? proposer_run(&wrong, mailbox) : 1;
    mailbox_close(mailbox);
    return rc;
}

static int follow(int rank)
{
    struct err err = {0};
    struct launch_config launch_config;
    void *comm;
    int rc = mpi_join(&launch_config, &comm, &err);
    bool drafts = layout_group(&launch.layout, layout_peer(&launch.layout, rank))->role == ROLE_DRAFTER;
    if (drafts) grid_run(&launch.grid, &(struct cell){GRID_NONE, 1, 1, 1, 1, 1});
    for (int i = 0; i < launch.n_cells && rc == OK; i++) {
        struct cluster_config config = config_of(&launch, &launch.cells[i]);
        config.launch.plan = launch_config.plan;
        memcpy(config.launch.draft_plans, launch_config.draft_plans, sizeof launch_config.draft_plans);
        config.launch.stage_share = launch_config.stage_share;
        config.launch.shard_share = launch_config.shard_share;
        rc = drafts && launch.cells[i].drafter == GRID_WRONG ? wrong_drafter(&launch, rank)
                                                             : cluster_run_rank(&config, rank, comm, &err);
    }
    if (rc != OK) {
        fprintf(stderr, "rank %d: %s\n", rank, err.text);
        mpi_abort(1);
    }
    mpi_finish();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 7) return 2;
    const char *why;
    struct err err = {0};
    struct mpi_world world;
    struct mpi_bridge *bridge = NULL;
    int rank, size;
    bool several = !strcmp(argv[3], "drafters"), little = several || !strcmp(argv[3], "little"),
         swift = !strcmp(argv[3], "swift"), plan = !strcmp(argv[3], "plan"), plans = !strcmp(argv[3], "plans"),
         side = plans || !strcmp(argv[3], "side");
    const char *times = strchr(argv[1], 'x');
    launch.groups = times ? atoi(argv[1]) : 1;
    launch.tp = atoi(times ? times + 1 : argv[1]);
    launch.pp = atoi(argv[2]);
    launch.drafters = little ? with_little : plan || side || swift ? with_plan : with_suffix;
    launch.n_drafters = little ? 4 : 1;
    launch.n_little = several ? 2 : 1;
    snprintf(launch.big, sizeof launch.big, "%s/%s.gguf", argv[4], swift ? "idle" : "big");
    snprintf(launch.little, sizeof launch.little, "%s/little.gguf", argv[4]);
    snprintf(launch.side, sizeof launch.side, "balcony:%s/side.gguf", argv[4]);
    grid_init(&launch.grid, launch.big, launch.little, kernels_pick(NULL, &why));
    if (!strcmp(argv[3], "uneven")) {
        static const char *const weights[] = {"2", "1,2", "3,1,2"};
        launch.stage_share = weights[launch.pp - 1];
        launch.shard_share = weights[launch.tp - 1];
    }
    if (!strcmp(argv[3], "device")) launch.device = DEVICE_KIND_REFERENCE;
    bool cuda = !strcmp(argv[3], "cuda"); /* the module is slow where it is emulated: short texts, few cells */
    if (cuda) {
        launch.device = DEVICE_KIND_CUDA;
        launch.grid.n_predict = 8;
        launch.grid.n_prompt[1] = 20;
        launch.grid.n_prompt[2] = 30;
    }
    if (plan) launch.grid.plan = "ode:0,1x2@.5,2-3";
    if (plan) launch.grid.draft_plans[0] = "layerskip:1";
    if (side) launch.grid.draft_plans[0] = launch.side;
    if (plans) launch.grid.draft_plans[1] = "layerskip:1";
    if (swift) launch.grid.draft_plans[0] = "swift:900";
    if (swift) launch.grid.n_predict = GRID_CTX - 91;
    launch.copies = !strcmp(argv[3], "copies");
    if (launch.copies) grid_share_prompts(&launch.grid);
    cover_pairs(&launch);
    if (cuda) launch.n_cells = CUDA_CELLS;
    if (argc == 7) choose_cell(&launch, atoi(argv[5]), atoi(argv[6]));
    launcher_is_there(&rank, &size);
    int rc = rank == 0 ? mpi_bridge_open(&bridge, &world, 0, &err) : mpi_start(&world, 0, &err);
    if (rc == OK)
        rc = layout_make(&launch.layout, world.size, launch.n_little, launch.groups, launch.tp, launch.pp,
                         grid_layout_drafter(launch.drafters[launch.n_drafters - 1]), &err);
    if (rc != OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return rank == 0 ? lead(bridge) : follow(rank);
}
