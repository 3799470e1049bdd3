#include "coordinator/cli/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/option_rules.h"
#include "coordinator/cli/option_value.h"

enum { POINTS_MOST = 1000000 };
static const char of_drafter[] = ",drafter=";

static int wrong(const struct option *p, const char *value, struct err *err)
{
    return err_set(err, E_USAGE, "--%s %s: not a list of numbers like 1,2.5,4-8 or 0-40:10", p->name, value);
}

static int add(struct sweep *w, const char *value, double from, double to, double step, struct err *err)
{
    if (!(step > 0) || !(to >= from))
        return err_set(err, E_USAGE, "--%s %s: a range rises, in steps above 0", w->option->name, value);
    double n = floor((to - from) / step + 1e-9) + 1;
    if (!(w->n + n <= MAX_NUMBERS))
        return err_set(err, E_USAGE, "--%s %s: at most %d values", w->option->name, value, MAX_NUMBERS);
    for (int i = 0; i < (int)n; i++) w->values[w->n++] = from + i * step;
    return OK;
}

/* "A", "A-B" or "A-B:STEP", up to `end`. A minus at the front is a sign. */
static int take_item(struct sweep *w, const char *value, const char **at, struct err *err)
{
    char *end;
    double from = strtod(*at, &end), to = from, step = 1;
    bool ok = end != *at;
    if (ok && *end == '-') {
        const char *second = end + 1;
        to = strtod(second, &end);
        ok = end != second;
        if (ok && *end == ':') {
            second = end + 1;
            step = strtod(second, &end);
            ok = end != second;
        }
    }
    if (!ok || (*end && *end != ',') || !isfinite(from) || !isfinite(to)) return wrong(w->option, value, err);
    *at = end;
    return add(w, value, from, to, step, err);
}

static int set_number(struct options *o, const struct sweep *w, int i, struct err *err)
{
    char text[80];
    snprintf(text, sizeof text, "%.9g%s", w->values[i], w->suffix);
    return option_set(o, w->option, text, err);
}

static bool is_one_number(const char *value)
{
    char *end;
    (void)strtod(value, &end);
    return !*end || !strncmp(end, of_drafter, strlen(of_drafter)) || end == value;
}

int sweep_set(struct options *o, const struct option *option, const char *value, struct err *err)
{
    if (is_one_number(value)) return option_set(o, option, value, err);
    const char *suffix = strstr(value, of_drafter), *at = value, *end = suffix ? suffix : value + strlen(value);
    struct sweep w = {.option = option, .suffix = end};
    struct options scratch = *o;
    int rc = strlen(end) < 40 ? OK : wrong(option, value, err);
    for (; rc == OK; at++) {
        rc = take_item(&w, value, &at, err);
        if (at >= end) break;
    }
    for (int i = 0; i < w.n && rc == OK; i++) rc = set_number(&scratch, &w, i, err);
    if (rc != OK) return rc;
    o->sweeps[o->n_sweeps++] = w;
    return set_number(o, &w, 0, err);
}

static double count_points(const struct options *o)
{
    double n = 1;
    for (int i = 0; i < o->n_sweeps; i++) n *= o->sweeps[i].n;
    return n;
}

int sweep_n_points(const struct options *o)
{
    return (int)count_points(o); /* sweep_settle looked */
}

/* The first option that was given changes slowest. */
struct options sweep_point(const struct options *o, int i_point, int *i_curve)
{
    struct options point = *o;
    *i_curve = 0;
    for (int i = o->n_sweeps; i-- > 0; i_point /= o->sweeps[i].n) {
        const struct sweep *w = &o->sweeps[i];
        set_number(&point, w, i_point % w->n, NULL); /* all of them were set before */
        if (!strcmp(w->option->name, "accept-rate")) *i_curve = i_point % w->n;
    }
    return point;
}

/* ---- what only the whole line says ---- */

/* The curves that the values of --accept-rate stand for, or the one of --accept-curve. */
static int settle_curves(struct options *o, const char *command, struct err *err)
{
    struct synthetic *s = &o->synthetic;
    bool rate = option_origin(o, "accept-rate") != FROM_DEFAULT;
    int n = rate + (o->accept_curve.n > 0) + (o->accept_trace != NULL);
    if (n != 1)
        return err_set(err, E_USAGE,
                       "%s needs how often drafts are right: %s--accept-rate A%s--accept-curve S1,S2,...%s", command,
                       n ? "only one of " : "", o->command == CMD_SIMULATE ? ", " : " or ",
                       o->command == CMD_SIMULATE ? " or --accept-trace FILE" : "");
    s->n_curves = 1;
    s->curves[0] = rate ? (struct acceptance){1, {(double)o->accept_rate}} : o->accept_curve;
    for (int i = 0; i < o->n_sweeps; i++) {
        const struct sweep *w = &o->sweeps[i];
        if (strcmp(w->option->name, "accept-rate")) continue;
        if (w->n > SYNTHETIC_CURVES) return err_set(err, E_USAGE, "--accept-rate: at most %d values", SYNTHETIC_CURVES);
        for (s->n_curves = 0; s->n_curves < w->n; s->n_curves++)
            s->curves[s->n_curves] = (struct acceptance){1, {w->values[s->n_curves]}};
    }
    return OK;
}

static bool is_named(const struct option *p, const char *const *names)
{
    while (*names && strcmp(p->name, *names)) names++;
    return *names;
}

/* With models there is no use for what a synthetic pair has, nor the other way. */
static int check_use(const struct options *o, bool synthetic, struct err *err)
{
    static const char *const of_synthetic[] = {"accept-rate", "accept-curve", "texts", NULL};
    static const char *const of_cluster[] = {"groups", "tp", "pp", "repeat", NULL};
    for (size_t i = 0; i < n_options; i++) {
        const struct option *p = &option_table[i];
        bool simulated = p->commands & 1u << CMD_SIMULATE;
        if (o->origin[i] != FROM_LINE) continue;
        if (synthetic && !simulated && !is_named(p, of_cluster))
            return err_set(err, E_USAGE, "--%s has no use with --synthetic, which has no models and no text", p->name);
        if (!synthetic && is_named(p, of_synthetic))
            return err_set(err, E_USAGE, "--%s has no use with models: it is for --synthetic", p->name);
    }
    return OK;
}

static int settle_synthetic(struct options *o, const char *command, struct err *err)
{
    enum { LONGEST = SYNTHETIC_CONTEXT - 64 };
    int rc = settle_curves(o, command, err);
    if (rc != OK) return rc;
    if (o->n_predict < 2 || o->n_predict > LONGEST)
        return err_set(err, E_USAGE, "--n-predict %d: must be from 2 to %d here", o->n_predict, LONGEST);
    if (o->texts + o->warmup > SYNTHETIC_PROMPTS)
        return err_set(err, E_USAGE, "--texts and --warmup: at most %d together", SYNTHETIC_PROMPTS);
    if (o->synthetic.beside > 0 && o->command != CMD_SIMULATE)
        return err_set(err, E_USAGE, "--synthetic beside=: only simulate has it: waits do not slow each other down");
    o->synthetic.seed = o->seed < 0 ? 0 : (uint32_t)o->seed;
    o->drafter = DRAFTER_LITTLE;
    return OK;
}

int sweep_settle(struct options *o, const char *command, struct err *err)
{
    enum { USUAL_LENGTH = 256 };
    bool synthetic = o->synthetic.n_pass_ms > 0, simulated = o->command == CMD_SIMULATE;
    if (!synthetic && (simulated || !(o->big || o->little || o->prompts_file || o->draft)))
        return err_set(err, E_USAGE, "%s needs a pair: --synthetic tD=MS,tT=MS%s", command,
                       simulated ? "" : ", or --big FILE --little FILE --prompts FILE");
    int rc = check_use(o, synthetic, err);
    if (rc != OK) return rc;
    if (count_points(o) > POINTS_MOST)
        return err_set(err, E_USAGE, "%s: %g combinations of values: at most %d", command, count_points(o),
                       POINTS_MOST);
    if (o->resume && !o->keep) return err_set(err, E_USAGE, "--resume goes on with a file: --keep FILE");
    if (simulated) o->repeat = 1; /* it would be the same again */
    if (o->n_predict <= 0) o->n_predict = USUAL_LENGTH;
    return synthetic ? settle_synthetic(o, command, err) : OK;
}
