#include "coordinator/cli/plan_said.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/option_rules.h"
#include "coordinator/cli/shell_word.h"
#include "proto/launcher.h"

static void add(struct plan_line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct plan_line *line, const char *format, ...)
{
    size_t n = strlen(line->text);
    va_list args;
    va_start(args, format);
    vsnprintf(line->text + n, sizeof line->text - n, format, args);
    va_end(args);
}

static const char *host_name(const struct planner_input *in, int host)
{
    return in->hosts[host].name;
}

static const char *number(int n)
{
    static const char *const words[GROUPS_MOST + 1] = {"no",   "one", "two",   "three", "four",
                                                       "five", "six", "seven", "eight"};
    return words[n];
}

/* ---- what it is ---- */

static bool is_apart(const struct planner_layout *l)
{
    return l->drafters && !l->shares_cores;
}

/* "two drafters on a, b": where they are. */
static void add_drafters(struct plan_line *line, const struct planner_input *in, const struct planner_layout *l)
{
    const char *what = l->drafters == 1 ? "the little model" : l->drafters == l->groups ? "a drafter for each" : NULL;
    if (what)
        add(line, "%s on ", what);
    else
        add(line, "%s drafters on ", number(l->drafters));
    for (int i = 0; i < l->drafters; i++) add(line, "%s%s", i ? ", " : "", host_name(in, l->drafter_host[i]));
}

struct plan_line plan_answer(const struct planner_input *in, const struct planner_layout list[], int n)
{
    struct plan_line line = {""};
    const struct planner_layout *l = &list[0];
    bool distributed = false, beaten = false; /* by less than further hosts must be worth */
    for (int i = 1; i < n; i++) distributed |= !list[i].alone;
    for (int i = 1; i < n; i++) beaten |= !list[i].alone && list[i].tokens_per_s >= l->tokens_per_s;
    if (l->alone) {
        add(&line, "%sone process on %s%s", distributed ? "do not distribute: " : "", host_name(in, l->host[0]),
            !distributed ? ""
            : beaten     ? " is as fast"
                         : " is faster");
        return line;
    }
    add(&line, "%s group%s", number(l->groups), l->groups == 1 ? "" : "s");
    if (l->tp > 1) add(&line, "; use --tp %d for latency", l->tp);
    if (l->pp > 1) add(&line, "; use --pp %d", l->pp);
    if (!is_apart(l)) return line;
    add(&line, "; ");
    add_drafters(&line, in, l);
    add(&line, ", which ha%s no part of the big one", l->drafters == 1 ? "s" : "ve");
    return line;
}

struct plan_line plan_more_hosts(const struct planner_input *in, const struct planner_layout *best)
{
    struct plan_line line = {""};
    double more = planner_more(in, best);
    add(&line, "a request uses one group: further groups give it nothing");
    if (more > 1.005)
        add(&line, "; further stages, so that no draft waits to be checked, at most %.2f times the speed", more);
    return line;
}

struct plan_line plan_name(const struct planner_input *in, const struct planner_layout *l)
{
    struct plan_line line = {""};
    int n = planner_verifiers(l);
    if (l->alone) {
        add(&line, "one process on %s, %s", host_name(in, l->host[0]),
            l->drafters ? "both models" : "the big model alone");
        return line;
    }
    if (n == 1) add(&line, "the big model on %s", host_name(in, l->host[0]));
    if (n > 1) add(&line, "%s group%s", number(l->groups), l->groups == 1 ? "" : "s");
    if (l->tp > 1) add(&line, " of %d shards", l->tp);
    if (l->pp > 1) add(&line, " %s %d stages", l->tp > 1 ? "in each of" : "of", l->pp);
    if (n > 1) add(&line, " on %d hosts", n);
    if (!l->drafters) return line;
    add(&line, ", ");
    add_drafters(&line, in, l);
    return line;
}

/* ---- why ---- */

static double pass_ms(const struct planner_input *in, const struct planner_layout *l, double n_rows)
{
    return planner_pass_ns(in, &l->group[0].all, n_rows) * 1e-6;
}

/* Where drafters have several texts. */
static void why_drafters(struct plan_line *line, const struct planner_input *in, const struct planner_layout *l)
{
    int n = planner_drafter_texts(l);
    if (l->n_running == 1) return;
    add(line, "; a drafter writes an id of each of %d texts in %.3g ms", n, planner_pass_ns(in, &l->draft, n) * 1e-6);
    if (l->drafters > 1)
        add(line, ", of all %d %.3g", l->n_running, planner_pass_ns(in, &l->draft, l->n_running) * 1e-6);
}

static void why_drafts(struct plan_line *line, const struct planner_layout *l)
{
    double rtt_ms = (l->group[0].rtt_ns + l->draft_rtt_ns) * 1e-6;
    if (l->way == PLANNER_AHEAD)
        add(line,
            "the little model has cores of its own and runs ahead, %d at a time: only a wrong draft takes a round trip "
            "of %.3g ms",
            l->window, rtt_ms);
    else if (l->way == PLANNER_SEQUENTIAL && l->shares_cores)
        add(line, "drafts of about %d are checked in one pass; both models take turns on the same cores", l->window);
    else if (l->way == PLANNER_SEQUENTIAL)
        add(line, "drafts of about %d are checked in one pass, which takes a round trip of %.3g ms", l->window, rtt_ms);
}

static void why_shards(struct plan_line *line, const struct planner_input *in, const struct planner_layout *l)
{
    const struct planner_pass *p = &l->group[0].all;
    double rows = l->n_running / (double)l->groups, all = planner_pass_ns(in, p, rows),
           exchange = p->fixed_ns + p->row_ns * rows;
    if (l->tp > 1)
        add(line, "%d hosts read a part of each layer at the same time: of a pass of %.3g ms %.3g are exchanges", l->tp,
            all * 1e-6, exchange * 1e-6);
    if (l->tp > 1 && l->pp > 1) add(line, "; ");
    if (l->flights > 1)
        add(line, "each of %d stages computes other requests' rows meanwhile, %d a pass", l->pp, l->max_rows);
    else if (l->pp > 1)
        add(line, "%d stages take turns: together they have room for the model, and are no faster", l->pp);
}

static void why_groups(struct plan_line *line, const struct planner_input *in, const struct planner_layout *l)
{
    int all = l->n_running, each = (all + l->groups - 1) / l->groups;
    if (in->max_rows > 0 && in->max_rows < all)
        add(line, "passes of at most %d rows run in %s groups at the same time", in->max_rows, number(l->groups));
    else
        add(line, "a group's pass of %d rows takes %.3g ms, one of all %d rows %.3g", each, pass_ms(in, l, each), all,
            pass_ms(in, l, all));
}

struct plan_line plan_why(const struct planner_input *in, const struct planner_layout *l)
{
    struct plan_line line = {""};
    if (l->alone && in->n_hosts > 1) add(&line, "nothing crosses the network");
    if (l->groups > 1) why_groups(&line, in, l);
    if (l->tp * l->pp > 1) {
        if (*line.text) add(&line, "; ");
        why_shards(&line, in, l);
    }
    if (l->way != PLANNER_PLAIN) {
        if (*line.text) add(&line, "; ");
        why_drafts(&line, l);
        why_drafters(&line, in, l);
    }
    if (*line.text && !l->alone) return line;
    if (l->n_running > 1 && l->way == PLANNER_PLAIN)
        add(&line, "%s%d requests share a pass, of %.3g ms", *line.text ? "; " : "", l->n_running,
            pass_ms(in, l, l->n_running));
    else if (l->way == PLANNER_PLAIN)
        add(&line, "%sa token takes a pass of %.3g ms", *line.text ? "; " : "", pass_ms(in, l, 1));
    return line;
}

/* ---- ranks ---- */

int plan_n_ranks(const struct planner_layout *l)
{
    return l->alone ? 1 : 1 + l->drafters + planner_verifiers(l);
}

struct plan_rank plan_rank(const struct planner_layout *l, int i)
{
    int v = i - 1 - l->drafters;
    if (l->alone) return (struct plan_rank){"all", l->host[0], -1, -1, -1};
    if (v < 0) return (struct plan_rank){i ? "drafter" : "coordinator", i ? l->drafter_host[i - 1] : 0, -1, -1, -1};
    return (struct plan_rank){"verifier", l->host[v], v / (l->tp * l->pp), v / l->tp % l->pp, v % l->tp};
}

/* ---- the command ---- */

static void add_number(struct plan_line *line, const char *option, int value)
{
    add(line, " --%s %d", option, value);
}

/* Whether the ranks of a host follow one another: else the launcher would put them together. */
static bool in_order(const struct planner_layout *l)
{
    int n = plan_n_ranks(l);
    for (int i = 1; i < n; i++)
        for (int k = 0; k < i - 1; k++)
            if (plan_rank(l, k).host == plan_rank(l, i).host && plan_rank(l, i - 1).host != plan_rank(l, i).host)
                return false;
    return true;
}

static void add_launcher(struct plan_line *line, const struct planner_input *in, const struct planner_layout *l,
                         const char *program)
{
    int n = plan_n_ranks(l);
    if (l->alone && l->host[0] == 0) {
        shell_append(line->text, sizeof line->text, program);
        memmove(line->text, line->text + 1, strlen(line->text)); /* its blank */
        return;
    }
    add(line, "%s -n %d -H ", launcher_script(), n);
    for (int i = 0; i < n; i++) add(line, "%s%s", i ? "," : "", host_name(in, plan_rank(l, i).host));
    add(line, "%s pilotfish", in_order(l) ? "" : " --map-by seq");
}

static void add_file(struct plan_line *line, const char *option, const char *path, const char *otherwise)
{
    add(line, " --%s", option);
    shell_append(line->text, sizeof line->text, path ? path : otherwise);
}

struct plan_line plan_command(const struct planner_input *in, const struct planner_layout *l, const struct options *o,
                              const char *program)
{
    struct plan_line line = {""};
    bool many = in->goal == PLANNER_THROUGHPUT;
    add_launcher(&line, in, l, program);
    add(&line, " %s", many ? "serve" : "generate");
    add_file(&line, "big", o->big, "B.gguf");
    if (l->drafters) add_file(&line, "little", o->little, "L.gguf");
    if (l->drafters > 1) add_number(&line, "drafters", l->drafters);
    if (l->groups > 1) add_number(&line, "groups", l->groups);
    if (l->tp > 1) add_number(&line, "tp", l->tp);
    if (l->pp > 1) add_number(&line, "pp", l->pp);
    if (l->uneven && l->tp > 1) add(&line, " --shard-share auto");
    if (l->uneven && l->pp > 1) add(&line, " --stage-share auto");
    if (l->max_rows) add_number(&line, "max-rows", l->max_rows);
    if (option_origin(o, "ctx") != FROM_DEFAULT) add_number(&line, "ctx", o->ctx);
    if (many) add_number(&line, "parallel", in->clients);
    if (!many) add(&line, " \"Write a haiku about the sea\"");
    return line;
}
