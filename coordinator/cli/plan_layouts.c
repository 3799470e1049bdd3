#include "coordinator/cli/plan_layouts.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/option_rules.h"
#include "coordinator/cli/plan_said.h"
#include "coordinator/text/json_text.h"
#include "coordinator/text/read_text.h"
#include "coordinator/text/tokenizer.h"

enum { SIMULATED = 8, SHOWN = 4, DIGITS = 9 };

/* Of Qwen 2.5's 1.5B: what a pair without files counts as. Its bytes are shares of one. */
static const struct planner_model no_file = {
    .body = 1, .row_gather = 28 * 24096, .row_stage = 1536 * 4, .n_blocks = 28, .n_heads = 12};

/* ---- what is asked ---- */

static int read_hosts(const char *path, struct host hosts[HOSTS_MOST], int *n, struct err *err)
{
    char *text;
    int rc = text_read_string(path, stdin, &text, err);
    if (rc != OK) return err_wrap(err, "--hosts");
    rc = hosts_read(hosts, n, text, err);
    free(text);
    return rc == OK ? OK : err_wrap(err, "--hosts %s", path);
}

/* Before the hosts. */
static int set_models(struct planner_input *in, const struct options *o, const struct plan_sources *s, struct err *err)
{
    int rc = OK;
    in->timed = o->synthetic.n_pass_ms > 0;
    in->pair = in->timed ? o->synthetic
                         : (struct synthetic){.pass_ms = {1}, .n_pass_ms = 1, .slope_percent = (double)o->slope};
    bool by_rows = in->timed || option_origin(o, "slope") != FROM_DEFAULT;
    in->pair.n_curves = 1;
    in->pair.curves[0] = (struct acceptance){1, {(double)o->accept_rate}};
    in->has_little = !o->no_draft && (in->timed || o->little);
    in->big = in->little = no_file;
    if (o->big) rc = s->sizes(s->arg, o->big, false, &in->big, err);
    if (rc == OK && o->little && in->has_little) rc = s->sizes(s->arg, o->little, true, &in->little, err);
    if (rc == OK && o->big && o->little && in->has_little) rc = tokenizer_check_files(o->big, o->little, err);
    if (by_rows) in->big.multiply_adds = in->little.multiply_adds = 0;
    return rc;
}

/* Of measured ones; those of a file were read so. */
static int check_timed(const struct planner_input *in, struct err *err)
{
    for (int i = 0; i < in->n_hosts; i++)
        if (!(in->hosts[i].read_bytes_per_s > 0))
            return err_set(err, E_FAIL,
                           "host %s has too little memory left to time its read loop. Do: free some, or --hosts FILE",
                           in->hosts[i].name);
    return OK;
}

static int fits_nowhere(const struct planner_input *in, struct err *err)
{
    double all = 0, most = 0;
    for (int i = 0; i < in->n_hosts; i++) {
        all += in->hosts[i].memory_bytes;
        if (in->hosts[i].memory_bytes > most) most = in->hosts[i].memory_bytes;
    }
    return err_set(
        err, E_LAYOUT,
        "the big model fits nowhere: with %d context%s of %d positions it takes %.1f GiB, of the hosts' %.1f "
        "GiB together (%.1f on one). Do: a smaller --ctx or --parallel, or more hosts",
        in->clients, in->clients == 1 ? "" : "s", in->ctx, planner_alone_bytes(in) / GIB, all / GIB, most / GIB);
}

/* ---- lines of JSON ---- */

static json_t *ranks_json(const struct planner_input *in, const struct planner_layout *l)
{
    json_t *list = json_array();
    int lost = 0;
    for (int i = 0; i < plan_n_ranks(l); i++) {
        struct plan_rank r = plan_rank(l, i);
        json_t *one = json_pack("{si ss ss}", "rank", i, "host", in->hosts[r.host].name, "role", r.role);
        if (r.group >= 0)
            lost |= json_object_update_new(
                one, json_pack("{si si si}", "group", r.group, "stage", r.stage, "shard", r.shard));
        lost |= json_array_append_new(list, one);
    }
    return json_unless(lost, list);
}

static json_t *layout_json(const struct planner_input *in, const struct planner_layout list[], int n, int i,
                           const struct options *o, const char *program)
{
    static const char *const ways[] = {"plain", "sequential", "ahead"};
    const struct planner_layout *l = &list[i];
    return json_pack("{si sf si si si si sb si sb ss si si ss ss so ss}", "place", i + 1, "tokens_per_s",
                     l->tokens_per_s, "requests", l->n_running, "groups", l->groups, "tp", l->tp, "pp", l->pp,
                     "one_process", l->alone, "drafters", l->drafters, "uneven", l->uneven, "way", ways[l->way],
                     "window", l->window, "max_rows", l->max_rows, "answer", plan_answer(in, list, n).text, "why",
                     plan_why(in, l).text, "ranks", ranks_json(in, l), "command", plan_command(in, l, o, program).text);
}

/* ---- text ---- */

static void put_ranks(const struct planner_input *in, const struct planner_layout *l)
{
    printf("   ranks:");
    for (int i = 0; i < plan_n_ranks(l); i++) {
        struct plan_rank r = plan_rank(l, i);
        printf("%s %d %s", i ? "," : "", i, in->hosts[r.host].name);
        if (r.group < 0 || planner_verifiers(l) == 1) {
            printf(" (%s)", r.role);
            continue;
        }
        printf(" (");
        if (l->groups > 1) printf("group %d%s", r.group, l->tp * l->pp > 1 ? ", " : "");
        if (l->pp > 1) printf("stage %d%s", r.stage, l->tp > 1 ? ", " : "");
        if (l->tp > 1) printf("shard %d", r.shard);
        printf(")");
    }
    printf("\n");
}

static void put_text(const struct planner_input *in, const struct planner_layout list[], int n, const struct options *o,
                     const char *program)
{
    printf("%s\n", plan_answer(in, list, n).text);
    if (in->goal == PLANNER_LATENCY) printf("%s\n", plan_more_hosts(in, &list[0]).text);
    for (int i = 0; i < n && i < SHOWN; i++) {
        const struct planner_layout *l = &list[i];
        printf("\n%d. %.1f token/s%s: %s\n", i + 1, l->tokens_per_s, l->n_running > 1 ? " together" : "",
               plan_name(in, l).text);
        printf("   why: %s\n", plan_why(in, l).text);
        if (!l->alone) put_ranks(in, l);
        printf("   %s\n", plan_command(in, l, o, program).text);
    }
}

/* ---- the command ---- */

static void put_hosts(const struct planner_input *in)
{
    hosts_put_head(stdout);
    for (int i = 0; i < in->n_hosts; i++) hosts_put(&in->hosts[i], i == 0, stdout);
    printf("\n");
}

static int put(const struct planner_input *in, const struct planner_layout list[], int n, const struct options *o,
               const struct plan_sources *s, struct err *err)
{
    int rc = OK;
    if (o->format == FORMAT_TEXT && o->measure) put_hosts(in);
    if (o->format == FORMAT_TEXT) put_text(in, list, n, o, s->program);
    for (int i = 0; o->format != FORMAT_TEXT && i < n && i < SHOWN && rc == OK; i++)
        rc = json_put_line(layout_json(in, list, n, i, o, s->program), JSON_REAL_PRECISION(DIGITS), stdout, err);
    return rc;
}

int command_plan(const struct options *o, const struct plan_sources *s, struct err *err)
{
    struct host hosts[HOSTS_MOST];
    struct planner_layout list[SIMULATED];
    struct planner_input in = {.hosts = s->measured,
                               .n_hosts = s->n_measured,
                               .goal = o->goal == GOAL_LATENCY ? PLANNER_LATENCY : PLANNER_THROUGHPUT,
                               .clients = o->parallel,
                               .ctx = o->ctx,
                               .max_rows = o->max_rows,
                               .rows_most = s->rows_most,
                               .parts_most = s->parts_most};
    int rc = set_models(&in, o, s, err);
    if (rc == OK && o->hosts) {
        rc = read_hosts(o->hosts, hosts, &in.n_hosts, err);
        in.hosts = hosts;
    }
    if (rc == OK) rc = check_timed(&in, err);
    if (rc != OK) return rc;
    int n = planner_rank(list, SIMULATED, &in);
    if (n == 0) return fits_nowhere(&in, err);
    for (int i = 0; i < n && rc == OK; i++) rc = s->simulate(&in, &list[i], err);
    planner_sort(list, n);
    return rc == OK ? put(&in, list, n, o, s, err) : rc;
}
