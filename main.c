/* main.c -- one executable: a command line becomes a coordinator with its workers, or one worker of a job.
 *
 * Only this file, cluster.c, simulator.c and simulate.c see both sides. Not under a launcher MPI is never started:
 * every peer is a thread. Only main exits, and it prints an error once: by rank 0, to which every worker reports.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster.h"
#include "coordinator/cli/bench_pair.h"
#include "coordinator/cli/bench_serve.h"
#include "coordinator/cli/bench_spec.h"
#include "coordinator/cli/chat.h"
#include "coordinator/cli/chat_url.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/compare.h"
#include "coordinator/cli/generate.h"
#include "coordinator/cli/network.h"
#include "coordinator/job.h"
#include "coordinator/serve/serve.h"
#include "coordinator/cli/note.h"
#include "coordinator/cli/options.h"
#include "coordinator/cli/pareto.h"
#include "coordinator/cli/perplexity.h"
#include "coordinator/cli/plan_layouts.h"
#include "coordinator/cli/plan_search.h"
#include "coordinator/cli/progress.h"
#include "coordinator/cli/scored_text.h"
#include "coordinator/cli/shell_word.h"
#include "coordinator/text/tokenizer.h"
#include "cut_off.h"
#include "simulate.h"
#include "proto/clock.h"
#include "proto/files/gguf_open.h"
#include "proto/launcher.h"
#include "proto/mpi_bridge.h"
#include "proto/plan.h"
#include "worker/tools/bench_kernels.h"
#include "worker/tools/bench_step.h"
#include "worker/tools/doctor.h"
#include "worker/tools/eval_rows.h"
#include "worker/tools/model_sizes.h"
#include "worker/tools/survey.h"
#include "worker/engine/engine.h"
#include "worker/memory.h"
#include "worker/roles/lead.h"

enum { USUAL_DRAFT_VOCAB = 65536 }; /* --draft-vocab */

struct program {
    struct options o;
    int argc;
    char **argv;
    const struct kernels *kernels;
    bool launched; /* by mpirun or the like */
    int rank;      /* as the launcher says; 0 without one */
    struct cluster_config config;
    struct router *router;
    struct cluster *cluster;
    char *plan, *draft_plans[DRAFT_PLANS_MOST]; /* own: the texts of --plan and --draft-plan, on rank 0 */
    bool lost;                                  /* a worker does not answer */
};

/* "pilotfish: " begins an error and nothing else: scripts/mpirun looks for it. */
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
    bool named = forced && *forced;
    if (!p->kernels && named) return err_set(err, E_USAGE, "PILOTFISH_CPU=%s: %s", forced, why);
    if (!p->kernels) return err_set(err, E_CHECK, "%s", why);
    if (p->kernels == &kernels_ref && !named)
        note("this CPU lacks AVX2, FMA or F16C, or fails their self-test (pilotfish doctor says which): only the slow "
             "reference runs");
    return OK;
}

static int start_workers(void *arg, struct err *err)
{
    struct program *p = arg;
    return cluster_start(&p->cluster, &p->config, p->router, err);
}

static void lose_worker(void *arg)
{
    ((struct program *)arg)->lost = true;
}

/* What could not be written is an error, not a short answer; also where the answer is that some prompts have none. */
static int check_written(int rc, struct err *err)
{
    bool lost = fflush(stdout) || ferror(stdout), answered = rc == OK || rc == E_USAGE || rc == E_CHECK;
    return answered && lost ? err_set(err, E_FAIL, "standard output: %s", strerror(errno)) : rc;
}

/* ---- commands for which workers compute ---- */

typedef int worker_command(const struct options *o, const struct launch *launch, struct err *err);

/* NULL: the command needs no worker. */
static worker_command *worker_command_of(const struct options *o)
{
    switch (o->command) {
    case CMD_GENERATE: return command_generate;
    case CMD_CHAT: return o->url ? NULL : command_chat;
    case CMD_SERVE: return command_serve;
    case CMD_COMPARE: return command_compare;
    case CMD_PERPLEXITY: return command_perplexity;
    case CMD_PARETO: return command_pareto;
    case CMD_PLAN_SEARCH: return command_plan_search;
    case CMD_BENCH_PAIR: return command_bench_pair;
    case CMD_BENCH_SPEC: return command_bench_spec;
    default: return NULL;
    }
}

/* The workers need no model files. */
static bool is_synthetic(const struct program *p)
{
    return p->o.command == CMD_BENCH_SPEC && p->o.synthetic.n_pass_ms;
}

/* For a layout that is made, over the network that the options emulate. */
static int open_router(struct program *p, struct err *err)
{
    const struct layout *l = &p->config.launch.layout;
    struct net net = network_of(&p->o);
    net.changes = p->o.command == CMD_BENCH_SPEC; /* it goes through many */
    p->router = router_open(l->n_peers);
    if (!p->router) return err_set(err, E_FAIL, "out of memory");
    return net.changes || network_is_emulated(&p->o) ? router_emulate(p->router, l, &net, err) : OK;
}

/* Over a router that reaches every peer. */
static int command(struct program *p, struct err *err)
{
    struct launch launch = {p->config.launch.layout,          p->router, start_workers, lose_worker,
                            p->launched ? mpi_host_of : NULL, p};
    int rc = launch.layout.n_ranks == 1 && !is_synthetic(p) ? options_need_models(&p->o, err)
                                                            : OK; /* other ranks may have them */
    if (rc == OK) rc = worker_command_of(&p->o)(&p->o, &launch, err);
    cluster_join(p->cluster);
    return check_written(rc, err);
}

static int alone(struct program *p, struct err *err)
{
    int rc = layout_make(&p->config.launch.layout, 1, p->o.drafters, p->o.groups, p->o.tp, p->o.pp, p->o.drafter, err);
    if (rc != OK) return rc;
    rc = open_router(p, err);
    if (rc == OK) rc = command(p, err);
    router_close(p->router);
    return rc;
}

/* The layout for this many ranks; a wrong number is answered with a command that works. */
static int lay_out(struct program *p, int n_ranks, struct err *err)
{
    const struct options *o = &p->o;
    int rc = layout_make(&p->config.launch.layout, n_ranks, o->drafters, o->groups, o->tp, o->pp, o->drafter, err);
    if (rc != E_LAYOUT || layout_make(&p->config.launch.layout, 1, o->drafters, o->groups, o->tp, o->pp, o->drafter,
                                      &(struct err){0}) != OK)
        return rc;
    char line[600] = "";
    snprintf(line, sizeof line, "%s -n %d pilotfish", launcher_script(),
             layout_ranks_needed(o->drafters, o->groups, o->tp, o->pp, o->drafter));
    for (int i = 1; i < p->argc; i++) shell_append(line, sizeof line, p->argv[i]);
    char cause[sizeof err->text];
    snprintf(cause, sizeof cause, "%s", err->text);
    return err_set(err, rc, "%.300s: %s", cause, line);
}

/* A worker that failed can leave others inside a collective, and MPI_Finalize would wait for them: the launcher ends
 * them when rank 0 goes without it. */
static volatile sig_atomic_t late_code;
enum { FINISH_S = 3 };

static void too_late(int signum)
{
    (void)signum;
    _exit(late_code);
}

static int first_rank(struct program *p, struct err *err)
{
    struct mpi_world world;
    struct mpi_bridge *bridge;
    int rc = mpi_bridge_open(&bridge, &world, p->o.start_wait_s, err);
    if (rc != OK) return complain(err);
    rc = lay_out(p, world.size, err);
    if (rc == OK) rc = open_router(p, err);
    if (rc == OK) rc = mpi_bridge_run(bridge, p->router, &p->config.launch, err);
    if (rc == OK) rc = command(p, err);
    if (rc != OK) complain(err);
    if (rc != OK || p->lost) {
        launcher_leave(rc);
        if (rc == E_PEER && launcher_is_direct())
            _exit(rc); /* MPI has only complaints left; scripts/mpirun ends the rest */
        late_code = rc;
        signal(SIGALRM, too_late);
        alarm(FINISH_S);
    }
    struct err ignored;
    int closed = mpi_bridge_close(bridge, rc == OK ? err : &ignored);
    if (rc == OK && closed != OK && !p->lost) {
        complain(err);
        rc = closed;
    }
    if (closed != OK) mpi_abort(rc);
    router_close(p->router);
    return rc;
}

/* A lost drafter that could say so waits for nobody in MPI, and ends no job. */
static bool ends_job(const struct layout *l, int rank, int rc, const struct err *err)
{
    return rc == E_PEER && (*err->text || layout_group(l, layout_peer(l, rank))->role != ROLE_DRAFTER);
}

/* Errors of this rank are sent to rank 0, which prints them; this rank prints only one that it could not send. */
static int other_rank(struct program *p, struct err *err)
{
    struct mpi_world world;
    void *comm;
    int rc = mpi_start(&world, p->o.start_wait_s, err);
    if (rc != OK) return complain(err);
    rc = mpi_join(&p->config.launch, &comm, err);
    bool joined = rc == OK;
    if (joined && p->config.launch.layout.n_ranks) rc = cluster_run_rank(&p->config, world.rank, comm, err);
    if (!joined || ends_job(&p->config.launch.layout, world.rank, rc, err)) {
        if (*err->text) complain(err);
        mpi_abort(rc);
    }
    mpi_finish();
    return OK;
}

/* A rank that knows its model and nothing else: rank 0's command line says what the job is. */
static int check_is_worker(const struct program *p, struct err *err)
{
    if (p->launched && p->rank > 0) return OK;
    return err_set(err, E_USAGE,
                   "worker computes for a coordinator on rank 0: %s -n 1 pilotfish generate ... : -n 1 "
                   "pilotfish worker --model FILE",
                   launcher_script());
}

/* Rank 0 alone reads it: the others get it with the launch configuration. */
static int read_plan(const struct program *p, char **text, const char *name, const char *spelled, struct err *err)
{
    if (!spelled || p->rank) return OK;
    int rc = (text == &p->plan ? plan_text : plan_draft_text)(text, spelled, err);
    return rc == OK ? OK : err_wrap(err, "--%s", name);
}

static struct device_wish wish_of(enum device_choice choice, const struct options *o)
{
    static const enum device_kind kinds[] = {[DEVICE_CPU] = DEVICE_KIND_CPU,
                                             [DEVICE_CUDA] = DEVICE_KIND_CUDA,
                                             [DEVICE_AUTO] = DEVICE_KIND_AUTO,
                                             [DEVICE_REFERENCE] = DEVICE_KIND_REFERENCE};
    return (struct device_wish){
        .kind = kinds[choice], .number = o->device_number, .cpu_arithmetic = o->arithmetic == ARITHMETIC_CPU};
}

static int run_over_workers(struct program *p, struct err *err)
{
    int rc = pick_kernels(p, err);
    const char *agreement = p->o.agreement && strcmp(p->o.agreement, "whole") ? p->o.agreement : NULL;
    if (rc == OK && p->o.agreement)
        rc = read_plan(p, &p->plan, "agreement", agreement, err); /* --plan is that of a text */
    else if (rc == OK)
        rc = read_plan(p, &p->plan, "plan", p->o.plan, err);
    size_t n_name;
    for (int i = 0; i < p->o.n_draft_plans && p->o.drafter == DRAFTER_PLAN && rc == OK; i++) {
        rc = read_plan(p, &p->draft_plans[i], "draft-plan", options_draft_plan(&p->o, i, &n_name), err);
        p->config.launch.draft_plans[i] = p->draft_plans[i];
    }
    if (rc != OK) return p->rank ? rc : complain(err);
    p->config.big = p->o.role == RANK_DRAFTER ? NULL : p->o.big;
    p->config.little = p->o.role == RANK_VERIFIER ? NULL : p->o.little;
    p->config.launch.plan = p->plan;
    p->config.launch.stage_share = p->o.stage_share;
    p->config.launch.max_rows = p->o.max_rows;
    p->config.launch.shard_share = p->o.shard_share;
    p->config.launch.requantize = p->o.little_quant == LITTLE_Q4;
    p->config.synthetic = is_synthetic(p) ? &p->o.synthetic : NULL;
    p->config.launch.time_reads = !is_synthetic(p) && (p->o.stats || layout_share_is_auto(p->o.stage_share) ||
                                                       layout_share_is_auto(p->o.shard_share));
    p->config.launch.send_big_metadata = !p->o.big && !is_synthetic(p);
    p->config.launch.send_little_metadata = p->o.drafter == DRAFTER_LITTLE && !p->o.little && !is_synthetic(p);
    p->config.kernels = p->kernels;
    p->config.n_threads = p->o.threads;
    p->config.device = wish_of(p->o.device, &p->o);
    p->config.draft_device = wish_of(p->o.command == CMD_WORKER ? p->o.device : p->o.draft_device, &p->o);
    p->config.draft_memory_bytes = (size_t)p->o.draft_memory_mib << 20;
    if (p->launched) return p->rank ? other_rank(p, err) : first_rank(p, err);
    rc = alone(p, err);
    return rc == OK ? OK : complain(err);
}

/* ---- the other commands ---- */

static void show_progress(void *arg, const char *what, const char *unit, uint64_t done, uint64_t total)
{
    if (what)
        progress_show(arg, what, unit, done, total, clock_now_ns());
    else
        progress_clear(arg);
}

static int model_runs(const char *path, struct err *err)
{
    struct engine *e = NULL;
    struct progress progress;
    struct engine_config c = {.path = path,
                              .share = {.n_stages = 1, .n_shards = 1},
                              .kernels = &kernels_ref,
                              .n_threads = memory_cores(),
                              .max_rows = 1,
                              .watch = {show_progress, &progress}};
    progress_init(&progress);
    int rc = engine_open(&e, &c, err);
    if (rc == OK) rc = engine_check(e, err);
    engine_close(e);
    return rc;
}

static int doctor(struct program *p, const struct mpi_world *world, const struct mpi_rank *ranks, struct err *err)
{
    const char *why = NULL;
    const struct kernels *kernels = kernels_pick(getenv("PILOTFISH_CPU"), &why);
    struct doctor_input in = {.big = p->o.big,
                              .little = p->o.little,
                              .drafters = p->o.drafters,
                              .check_vocabularies = tokenizer_check_files,
                              .groups = p->o.groups,
                              .tp = p->o.tp,
                              .pp = p->o.pp,
                              .stage_share = layout_share_is_auto(p->o.stage_share) ? NULL : p->o.stage_share,
                              .shard_share = layout_share_is_auto(p->o.shard_share) ? NULL : p->o.shard_share,
                              .ctx = p->o.ctx,
                              .parallel = p->o.parallel,
                              .threads = p->o.threads,
                              .device = wish_of(p->o.device, &p->o),
                              .kernels = kernels,
                              .why = why,
                              .world = world,
                              .ranks = ranks};
    return doctor_run(&in, stdout, err);
}

/* MPI_Finalize waits for a lost rank. */
static void end_survey(int rc, const struct err *err)
{
    if (rc != E_PEER) {
        mpi_finish();
        return;
    }
    complain(err);
    launcher_leave(rc);
    if (launcher_is_direct()) _exit(rc);
    mpi_abort(rc);
}

static int run_doctor(struct program *p, struct err *err)
{
    struct mpi_world world;
    struct mpi_rank *ranks;
    if (!p->launched) return doctor(p, NULL, NULL, err);
    int rc = survey_ranks(&world, p->o.threads, p->o.start_wait_s, &ranks, err);
    if (rc == OK && ranks) rc = doctor(p, &world, ranks, err);
    end_survey(rc, err);
    free(ranks);
    return rc;
}

static int planner_sizes(void *arg, const char *path, bool little, struct planner_model *out, struct err *err)
{
    const struct program *p = arg;
    struct model_sizes s;
    int rc = model_sizes(&s, path, little, p->kernels, err);
    if (rc != OK) return rc;
    const struct engine_info *i = &s.info;
    *out = (struct planner_model){.body = (double)i->body_bytes,
                                  .head = (double)i->head_bytes,
                                  .embed = (double)s.embed_bytes,
                                  .tied = i->shape.tied,
                                  .kv = (double)i->kv_position_bytes,
                                  .multiply_adds = i->multiply_adds,
                                  .row_gather = (double)s.gather_bytes,
                                  .row_stage = 4.0 * i->shape.n_embd,
                                  .n_blocks = i->shape.n_blocks,
                                  .n_heads = s.gather_bytes ? i->shape.n_head : 1};
    if (little && i->shape.n_vocab > USUAL_DRAFT_VOCAB) out->head *= (double)USUAL_DRAFT_VOCAB / i->shape.n_vocab;
    return OK;
}

/* Under a launcher all ranks take part in the survey, and rank 0 plans. */
static int run_plan(struct program *p, struct err *err)
{
    struct host hosts[HOSTS_MOST];
    struct mpi_world world;
    struct mpi_rank *ranks = NULL;
    struct plan_sources s = {planner_sizes, simulate_layout, p, hosts, 0, PASS_ROWS, MAX_JOBS, p->argv[0]};
    bool measures = p->o.measure && p->launched;
    int rc = measures ? survey_ranks(&world, p->o.threads, p->o.start_wait_s, &ranks, err) : OK;
    if (rc == OK && p->o.measure && !measures) s.n_measured = survey_this_host(hosts);
    if (ranks) s.n_measured = mpi_survey_hosts(hosts, ranks, world.size);
    if (rc == OK && p->rank == 0) rc = pick_kernels(p, err);
    if (rc == OK && p->rank == 0) rc = command_plan(&p->o, &s, err);
    if (measures) end_survey(rc, err);
    free(ranks);
    return rc;
}

static int run_bench_step(struct program *p, struct err *err)
{
    struct progress progress;
    progress_init(&progress);
    int rc = pick_kernels(p, err);
    if (rc == OK) rc = read_plan(p, &p->plan, "plan", p->o.plan, err);
    if (rc != OK) return rc;
    const struct options *o = &p->o;
    struct bench_step_input in = {.big = o->big,
                                  .plan = p->plan,
                                  .little = o->little,
                                  .requantize = o->little_quant == LITTLE_Q4,
                                  .draft_vocab = o->draft_vocab,
                                  .rows = o->rows.list,
                                  .contexts = o->contexts.list,
                                  .n_rows = o->rows.n,
                                  .n_contexts = o->contexts.n,
                                  .n_threads = o->threads ? o->threads : memory_cores(),
                                  .n_rounds = o->rounds,
                                  .kernels = p->kernels,
                                  .device = wish_of(o->device, o),
                                  .json = o->format == FORMAT_JSONL,
                                  .watch = {show_progress, &progress}};
    return bench_step(&in, stdout, err);
}

static int run_eval_rows(struct program *p, struct err *err)
{
    const struct options *o = &p->o;
    struct progress progress;
    struct gguf g = {0};
    struct tokenizer *tokenizer = NULL;
    struct scored_text text = {0};
    progress_init(&progress);
    int rc = o->big ? pick_kernels(p, err) : err_set(err, E_USAGE, "eval rows needs a model: --big FILE.gguf");
    if (rc == OK) rc = gguf_open(&g, o->big, err);
    if (rc == OK) rc = tokenizer_open(&tokenizer, &g, err);
    if (rc == OK) rc = scored_text_read(&text, o->text, tokenizer, err);
    tokenizer_close(tokenizer);
    gguf_close(&g);
    const struct eval_rows_input in = {.big = o->big,
                                       .exits = o->exits.list,
                                       .n_exits = o->exits.n,
                                       .ids = text.ids,
                                       .n_ids = text.n_ids,
                                       .window = o->window,
                                       .save = o->save,
                                       .n_threads = o->threads ? o->threads : memory_cores(),
                                       .kernels = p->kernels,
                                       .watch = {show_progress, &progress}};
    if (rc == OK) rc = eval_rows(&in, stdout, err);
    scored_text_close(&text);
    return rc;
}

static int run_bench_kernels(struct program *p, struct err *err)
{
    struct progress progress;
    progress_init(&progress);
    int rc = pick_kernels(p, err);
    if (rc != OK) return rc;
    const struct options *o = &p->o;
    struct bench_kernels_input in = {.kernels = p->kernels,
                                     .rows = o->rows.list,
                                     .n_rows = o->rows.n,
                                     .n_threads = o->threads ? o->threads : memory_cores(),
                                     .n_rounds = o->rounds,
                                     .json = o->format == FORMAT_JSONL,
                                     .watch = {show_progress, &progress}};
    return bench_kernels(&in, stdout, err);
}

static int run_command(struct program *p, struct err *err)
{
    switch (p->o.command) {
    case CMD_HELP: return options_help(p->o.help_topic) ? OK : err_set(err, E_USAGE, "no command %s", p->o.help_topic);
    case CMD_VERSION: printf("pilotfish %s\n", PILOTFISH_VERSION); return OK;
    case CMD_TOKENIZE: return command_tokenize(&p->o, err);
    case CMD_INSPECT: return command_inspect(&p->o, model_runs, err);
    case CMD_DOCTOR: return run_doctor(p, err);
    case CMD_PLAN: return run_plan(p, err);
    case CMD_ROWS: return run_eval_rows(p, err);
    case CMD_BENCH_STEP: return run_bench_step(p, err);
    case CMD_BENCH_KERNELS: return run_bench_kernels(p, err);
    case CMD_SIMULATE: return command_simulate(&p->o, err);
    case CMD_CHAT: return command_chat_url(&p->o, err);
    case CMD_BENCH_SERVE: return command_bench_serve(&p->o, err);
    case CMD_CONFIG: return fputs(p->o.settings, stdout) < 0 ? err_set(err, E_FAIL, "standard output") : OK;
    default: return err_set(err, E_FAIL, "no such command");
    }
}

/* A file opened later must not become the standard output that the caller closed; writing there fails as before. */
static void occupy_standard_files(void)
{
    int fd = 0;
    while (fd >= 0 && fd <= STDERR_FILENO) fd = open("/dev/null", O_RDONLY);
    if (fd > STDERR_FILENO) close(fd);
}

/* Of several ranks the first prints them; a worker's threads are its own. */
static void put_notes(const struct program *p)
{
    const struct options *o = &p->o;
    int n_cores = memory_cores();
    if (p->rank == 0 && o->notes) fputs(o->notes, stderr);
    if (o->threads > n_cores && (p->rank == 0 || o->command == CMD_WORKER))
        note("--threads %d is more than the %d cores there are: threads take turns, which is slower", o->threads,
             n_cores);
}

int main(int argc, char **argv)
{
    struct program p = {.argc = argc, .argv = argv};
    struct err err = {0};
    int size;
    occupy_standard_files();
    cut_off_watch();
    p.launched = launcher_is_there(&p.rank, &size);
    if (p.rank < 0) p.rank = 0;
    if (p.launched) launcher_join(p.rank);
    int rc = options_parse(&p.o, argc, argv, &err);
    if (rc == OK) put_notes(&p);
    if (rc == OK && p.o.command == CMD_WORKER) rc = check_is_worker(&p, &err);
    if (rc == OK && (p.o.command == CMD_WORKER || worker_command_of(&p.o))) {
        rc = run_over_workers(&p, &err);
    } else {
        /* The other commands are one process's work: of several ranks the first does it. */
        bool all = p.o.command == CMD_DOCTOR || (p.o.command == CMD_PLAN && p.o.measure);
        if (rc == OK && (p.rank == 0 || all)) rc = check_written(run_command(&p, &err), &err);
        /* Rank 0 mostly has the same to say, and the launcher must not end it before. A worker's options are its
         * own. */
        if (rc != OK && p.rank > 0) sleep(1);
        if (rc != OK && (p.rank == 0 || (argc > 1 && !strcmp(argv[1], "worker")))) complain(&err);
    }
    options_free(&p.o);
    free(p.plan);
    for (int i = 0; i < DRAFT_PLANS_MOST; i++) free(p.draft_plans[i]);
    if (rc != OK && p.rank > 0) launcher_tell(err.text);
    launcher_leave(rc);
    return rc;
}
