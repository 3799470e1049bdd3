/* main.c -- one executable: a command line becomes a coordinator with its workers, or one worker of a job.
 *
 * The only file, with cluster.c, that sees both sides. Not under a launcher MPI is never started: every peer is a thread.
 * Only main exits, and it prints an error once: by rank 0, to which every worker reports.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "coordinator/commands.h"
#include "coordinator/generate.h"
#include "coordinator/options.h"
#include "worker/doctor.h"
#include "worker/engine/engine.h"

struct program {
    struct options o;
    int argc;
    char **argv;
    const struct kernels *kernels;
    struct cluster_config config;
    struct office *office;
    struct cluster *cluster;
};

static int complain(const struct err *err)
{
    fprintf(stderr, "pilotfish: %s\n", err->text);
    return err->code;
}

/* ---- what a command needs ---- */

static int pick_kernels(struct program *p, struct err *err)
{
    const char *forced = getenv("PILOTFISH_CPU"), *why = "";
    p->kernels = kernels_pick(forced, &why);
    if (!p->kernels) return err_set(err, E_USAGE, "PILOTFISH_CPU=%s: %s", forced, why);
    if (p->kernels == &kernels_ref && !(forced && *forced))
        fprintf(stderr, "pilotfish: this CPU lacks AVX2, FMA or F16C: only the slow reference runs\n");
    return OK;
}

static void describe_cluster(struct program *p)
{
    p->config.big = p->o.big;
    p->config.little = p->o.little;
    p->config.kernels = p->kernels;
    p->config.n_threads = p->o.threads;
}

static int start_workers(void *arg, struct err *err)
{
    struct program *p = arg;
    return cluster_start(&p->cluster, &p->config, p->office, err);
}

/* ---- generate ---- */

/* Over an office that reaches every peer. */
static int generate(struct program *p, struct err *err)
{
    struct generate_host host = {p->config.layout, p->office, start_workers, p};
    int rc = command_generate(&p->o, &host, err);
    cluster_join(p->cluster);
    return rc;
}

static int generate_alone(struct program *p, struct err *err)
{
    int rc = layout_make(&p->config.layout, 1, p->o.tp, p->o.pp, p->o.drafter, err);
    if (rc != OK) return rc;
    p->office = office_open(p->config.layout.n_peers);
    if (!p->office) return err_set(err, E_FAIL, "out of memory");
    rc = generate(p, err);
    office_close(p->office);
    return rc;
}

static int run_generate(struct program *p, struct err *err)
{
    int rc = pick_kernels(p, err);
    if (rc != OK) return rc;
    describe_cluster(p);
    return generate_alone(p, err);
}

/* ---- the other commands ---- */

static int model_runs(const char *path, struct err *err)
{
    struct engine *e = NULL;
    struct engine_config c = {
        .path = path, .share = {.n_stages = 1, .n_shards = 1}, .kernels = &kernels_ref, .n_threads = 1, .max_rows = 1};
    int rc = engine_open(&e, &c, err);
    if (rc == OK) engine_close(e);
    return rc;
}

static int run_doctor(struct program *p, struct err *err)
{
    const char *why;
    struct doctor_input in = {.big = p->o.big,
                              .little = p->o.little,
                              .tp = p->o.tp,
                              .pp = p->o.pp,
                              .ctx = p->o.ctx,
                              .parallel = p->o.parallel,
                              .threads = p->o.threads,
                              .kernels = kernels_pick(getenv("PILOTFISH_CPU"), &why)};
    return doctor_run(&in, stdout, err);
}

static int run(struct program *p, struct err *err)
{
    switch (p->o.command) {
    case CMD_HELP: return options_help(p->o.help_topic) ? OK : err_set(err, E_USAGE, "no command %s", p->o.help_topic);
    case CMD_VERSION: printf("pilotfish %s\n", PILOTFISH_VERSION); return OK;
    case CMD_TOKENIZE: return command_tokenize(&p->o, err);
    case CMD_INSPECT: return command_inspect(&p->o, model_runs, err);
    case CMD_DOCTOR: return run_doctor(p, err);
    case CMD_GENERATE: return run_generate(p, err);
    }
    return err_set(err, E_FAIL, "no such command");
}

int main(int argc, char **argv)
{
    struct program p = {.argc = argc, .argv = argv};
    struct err err = {0};
    int rc = options_parse(&p.o, argc, argv, &err);
    if (rc == OK) rc = run(&p, &err);
    return rc == OK ? OK : complain(&err);
}
