/* options.h -- the command line: every option of every command, its default, and the error if it is wrong.
 *
 * One table of options (option_table.c) drives parsing, defaults, help and the suggestions for typos. Options that are
 * not on the line may come from the environment and a configuration file (config.h). Parsing reads that file, prints
 * nothing and starts nothing. Options take "--name value" and "--name=value"; '_' counts as '-'; spellings of other
 * programs that mean the same are accepted. For an option that other programs have and this one has not, the error
 * names what to do instead.
 */
#ifndef COORDINATOR_CLI_OPTIONS_H
#define COORDINATOR_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/layout.h"
#include "proto/plan.h"
#include "proto/synthetic.h"

enum command {
    CMD_HELP,
    CMD_VERSION,
    CMD_GENERATE,
    CMD_CHAT,
    CMD_SERVE,
    CMD_COMPARE,
    CMD_PERPLEXITY,
    CMD_PARETO,
    CMD_ROWS,
    CMD_PLAN_SEARCH,
    CMD_BENCH_PAIR,
    CMD_BENCH_STEP,
    CMD_BENCH_KERNELS,
    CMD_BENCH_SPEC,
    CMD_BENCH_SERVE,
    CMD_SIMULATE,
    CMD_PLAN,
    CMD_TOKENIZE,
    CMD_INSPECT,
    CMD_DOCTOR,
    CMD_CONFIG,
    CMD_WORKER
};
/* FORMAT_JSON: of inspect only, over several lines. FORMAT_CSV: of bench spec, simulate and eval pareto only. */
enum format { FORMAT_TEXT, FORMAT_JSONL, FORMAT_JSON, FORMAT_CSV };
enum think { THINK_AUTO, THINK_OFF, THINK_ON };
enum when { WHEN_AUTO, WHEN_ALWAYS, WHEN_NEVER };

enum { MAX_OPTIONS = 128, MAX_STOPS = 16, MAX_NUMBERS = 64, MAX_SWEEPS = 9 };

enum value_origin { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_LINE, FROM_ROW }; /* a later one overrides */

struct numbers {
    int n, list[MAX_NUMBERS];
};

/* exact: big's greedy text. sample: a sample of big. bild: what big finds likely enough (2302.07863), lossy. */
enum accept { ACCEPT_EXACT, ACCEPT_SAMPLE, ACCEPT_BILD, ACCEPT_N };
enum rollback_rule { ROLLBACK_STRICT, ROLLBACK_REPO };
enum search_by { BY_PERPLEXITY, BY_AGREEMENT };
enum rank_role { RANK_ANY, RANK_DRAFTER, RANK_VERIFIER };
enum little_quant { LITTLE_Q4, LITTLE_FILE };
enum device_choice { DEVICE_CPU, DEVICE_CUDA, DEVICE_AUTO, DEVICE_REFERENCE };
enum arithmetic_choice { ARITHMETIC_DEVICE, ARITHMETIC_CPU };
enum goal { GOAL_LATENCY, GOAL_THROUGHPUT };

struct option;
struct sweep { /* an option that has several values in turn */
    const struct option *option;
    int n;
    double values[MAX_NUMBERS];
    const char *suffix; /* of each; borrowed */
};

struct net_delays { /* --net-delay, each way */
    float ms, drafter_ms;
    bool to_drafter; /* drafter_ms was given; else the drafter's messages are not delayed */
};

struct options { /* strings are borrowed from argv and the environment, or are among `owned` */
    enum command command;
    const char *help_topic; /* CMD_HELP: a command's name, or NULL */

    /* generate */
    const char *big, *little;
    const char *plan;  /* that big is served under, as it was spelled (proto/plan.h); NULL: the plain one */
    const char *plans; /* of eval pareto: the file that lists them */
    /* Those by which big drafts for itself, likewise, perhaps with names: options_draft_plan. */
    const char *draft_plans[DRAFT_PLANS_MOST];
    int n_draft_plans, draft_plan; /* draft_plan: which of them; of a request */
    const char *depth;             /* exits of the only one: then there is a plan for each */
    enum drafter drafter; /* little with --little, a plan with --draft-plan, suffix with --draft suffix, else none */
    const char *prompt, *prompt_file, *prompts_file; /* one of them; prompt_file "-": standard input */
    const char *system;                              /* NULL: the template's own; "": an empty one */
    const char *chat_template;                       /* a name; NULL: what the file has */
    enum think think;
    bool raw;
    bool special;  /* marks in messages, such as <|im_end|>, are tokens */
    int n_predict; /* 0: until an end id or the context */
    int draft_max;
    int draft_ahead, draft_block;
    int draft_ctx;
    int draft_memory_mib;
    enum little_quant little_quant;
    int draft_vocab; /* 0: all ids */
    bool guard;
    enum accept accept;
    float fallback, rollback;
    enum rollback_rule rollback_rule;
    float temp, top_p, min_p; /* temp 0: greedy */
    int top_k;
    int seed; /* -1: one is drawn */
    const char *stops[MAX_STOPS];
    int n_stops;
    bool check, ignore_eos, stats;
    int logprobs;
    int ctx;
    bool ctx_given;                         /* on the line; the default may be more than the model has */
    int threads;                            /* 0: the cores this process may use */
    int start_wait_s;                       /* see deadline.h */
    int drafters, groups, tp, pp, max_rows; /* max_rows: of a pass; 0: as many as there may be */
    const char *stage_share;                /* layout_read_share, or "auto"; NULL: by bytes */
    const char *shard_share;                /* likewise; NULL: equal */
    enum device_choice device, draft_device;
    int device_number; /* -1: in turn */
    enum arithmetic_choice arithmetic;
    int parallel, prompt_rows;
    int self_max;                /* see struct spec_config */
    struct net_delays net_delay; /* of an emulated network (network.h) */
    float net_jitter_ms, net_mbit_per_s;
    enum when color;
    enum format format;

    /* serve */
    const char *host, *api_key, *api_key_file, *alias;
    int port;
    int queue;              /* answers that may wait */
    int timeout_s, drain_s; /* 0: no limit; none */

    /* chat, bench serve */
    const char *url;                  /* NULL: chat has workers of its own */
    int num_prompts, max_concurrency; /* 0: as many as there are prompts; no limit */
    float request_rate;               /* a second; infinite: all at once */
    const char *goodput;              /* "ttft:500,tpot:50"; NULL: no limits */
    float min_goodput;                /* percent; exit 6 below it */

    /* eval compare: exit 6 below these */
    float min_exact, min_bleu, min_rouge, min_rouge_1, min_rouge_2, min_rouge_lsum, min_right;

    int window;            /* eval perplexity, plan search: tokens that begin anew */
    const char *agreement; /* eval perplexity: with what plan; "whole": the plain one; NULL: none is measured */

    const char *hosts; /* plan: the file; NULL: none */
    bool measure;
    enum goal goal;
    float slope; /* percent of a pass of one row, that each row more takes */

    int remove; /* plan search */
    enum search_by by;
    bool parts;
    const char *save;
    struct numbers exits; /* eval rows: blocks before each */

    struct numbers rows, contexts; /* bench step, bench kernels */
    int rounds;

    /* bench spec, simulate */
    struct synthetic synthetic; /* with the curves of all values of --accept-rate, or the one of --accept-curve */
    float accept_rate;
    struct acceptance accept_curve; /* n 0: not given */
    const char *accept_trace;       /* the file of --accept-trace; NULL: none */
    struct numbers baseline;        /* lengths of sequential drafts; 0: none */
    int texts, warmup, repeat;
    const char *trace; /* the file of --trace; NULL: none */
    const char *keep;  /* the file that rows are kept in; NULL: none */
    bool resume;
    struct sweep sweeps[MAX_SWEEPS];
    int n_sweeps;

    float seconds;  /* bench pair: a request takes turns until each way has had so much */
    unsigned first; /* the way that begins: 0 plain, 1 drafts */

    /* tokenize, inspect, eval perplexity */
    const char *model, *text; /* inspect FILE, tokenize --model FILE; text: a FILE argument of tokenize, NULL: stdin */
    bool no_special, detokenize;

    enum rank_role role; /* worker; its --model is big, little or both, by its role */

    /* What was given, from which members above are made. */
    enum drafter draft; /* --draft; counts if it was given */
    bool no_draft;
    const char *config; /* --config */
    bool show;
    enum value_origin origin[MAX_OPTIONS]; /* of each value, by option_table */

    char *settings; /* config --show: owns; what to print */
    char *notes;    /* owns; lines for standard error: options without effect; NULL: none */
    char **owned;   /* owns; NULL after the last */
};

/* E_USAGE with one line (what, where, the nearest name); o is then not set. */
int options_parse(struct options *o, int argc, char **argv, struct err *err);
/* The i-th --draft-plan: the plan as it is spelled, behind its name; n_name 0: it has none. */
const char *options_draft_plan(const struct options *o, int i, size_t *n_name);
/* The first of them with this name (n_name 0: any) and this exit (plan_depth; 0: any); -1: none has. */
int options_find_draft_plan(const struct options *o, const char *name, size_t n_name, int depth);
/* The i-th is the first of its name. */
bool options_is_new_name(const struct options *o, int i);
/* For a command whose workers are all in this process: E_USAGE unless the model files that it needs are given. */
int options_need_models(const struct options *o, struct err *err);
void options_free(struct options *o);

/* Prints the help of a command (NULL: all) to standard output: at most 100 columns. False: no such command. */
bool options_help(const char *command);

#endif
