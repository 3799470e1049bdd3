#include "coordinator/cli/option_value.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/text/stop.h"

enum { SYNTHETIC_MOST_MS = 10000 };

static int set_count(int *out, const struct option *p, const char *value, struct err *err)
{
    char *end;
    errno = 0;
    long n = strtol(value, &end, 10);
    if (end == value || *end) return err_set(err, E_USAGE, "--%s %s: not a whole number", p->name, value);
    if (errno || n < p->low || n > p->high) {
        return err_set(err, E_USAGE, "--%s %s: must be from %d to %d", p->name, value, p->low, p->high);
    }
    *out = (int)n;
    return OK;
}

static int set_number(float *out, const struct option *p, const char *value, struct err *err)
{
    char *end;
    double x = strtod(value, &end);
    if (end == value || *end || x != x) return err_set(err, E_USAGE, "--%s %s: not a number", p->name, value);
    if (x < p->low || (x > p->high && p->high < INT_MAX))
        return err_set(err, E_USAGE, "--%s %s: must be from %d to %d", p->name, value, p->low, p->high);
    *out = (float)x;
    return OK;
}

/* "1,2,4", "1-16", or both. */
static int set_list(struct numbers *out, const struct option *p, const char *value, struct err *err)
{
    struct numbers numbers = {0};
    for (const char *at = value;; at++) {
        char *end;
        long from = strtol(at, &end, 10), to = from;
        bool ok = end != at;
        if (ok && *end == '-') {
            at = end + 1;
            to = strtol(at, &end, 10);
            ok = end != at;
        }
        if (!ok || (*end && *end != ','))
            return err_set(err, E_USAGE, "--%s %s: not a list of whole numbers like 1,2,4-8", p->name, value);
        if (from < p->low || to > p->high || from > to)
            return err_set(err, E_USAGE, "--%s %s: must be from %d to %d, rising", p->name, value, p->low, p->high);
        if (to - from >= MAX_NUMBERS - numbers.n)
            return err_set(err, E_USAGE, "--%s %s: at most %d numbers", p->name, value, MAX_NUMBERS);
        for (; from <= to; from++) numbers.list[numbers.n++] = (int)from;
        if (!*end) break;
        at = end;
    }
    *out = numbers;
    return OK;
}

/* "20", or "20,drafter=5". */
static int set_delays(struct net_delays *out, const struct option *p, const char *value, struct err *err)
{
    static const char drafter[] = ",drafter=";
    char *end;
    double ms = strtod(value, &end), drafter_ms = 0;
    bool ok = end != value, to_drafter = !strncmp(end, drafter, strlen(drafter));
    if (ok && to_drafter) {
        const char *from = end + strlen(drafter);
        drafter_ms = strtod(from, &end);
        ok = end != from;
    }
    if (!ok || *end || ms != ms || drafter_ms != drafter_ms)
        return err_set(err, E_USAGE, "--%s %s: not milliseconds as in 20, or in 20,drafter=5", p->name, value);
    if (ms < p->low || ms > p->high || drafter_ms < p->low || drafter_ms > p->high)
        return err_set(err, E_USAGE, "--%s %s: must be from %d to %d", p->name, value, p->low, p->high);
    *out = (struct net_delays){(float)ms, (float)drafter_ms, to_drafter};
    return OK;
}

/* "30:30:31": what passes of 1, 2, 3 rows take. */
static const char *take_passes(struct synthetic *s, const char *at)
{
    char *end = (char *)at;
    do {
        const char *from = at == end ? at : end + 1;
        s->pass_ms[s->n_pass_ms] = strtod(from, &end);
        if (end == from || !(s->pass_ms[s->n_pass_ms++] > 0)) return NULL;
    } while (*end == ':' && s->n_pass_ms < SYNTHETIC_PASSES);
    return end;
}

static const char *take_ms(double *out, const char *at)
{
    char *end;
    *out = strtod(at, &end);
    return end == at || !(*out >= 0) ? NULL : end;
}

/* "tD=8,tT=30:31,slope=5,beside=1.4", in any order. */
static int set_synthetic(struct synthetic *out, const struct option *p, const char *value, struct err *err)
{
    struct synthetic s = {.draft_ms = -1};
    for (const char *at = value; at; at += *at == ',') {
        if (!strncmp(at, "tD=", 3))
            at = take_ms(&s.draft_ms, at + 3);
        else if (!strncmp(at, "tT=", 3) && !s.n_pass_ms)
            at = take_passes(&s, at + 3);
        else if (!strncmp(at, "slope=", 6))
            at = take_ms(&s.slope_percent, at + 6);
        else if (!strncmp(at, "beside=", 7))
            at = take_ms(&s.beside, at + 7);
        else
            at = NULL;
        if (!at || (*at && *at != ','))
            return err_set(err, E_USAGE, "--%s %s: not as in tD=8,tT=30 or tD=8,tT=30:30:31,slope=5,beside=1.4",
                           p->name, value);
        if (!*at) break;
    }
    if (!(s.draft_ms > 0) || !s.n_pass_ms)
        return err_set(err, E_USAGE, "--%s %s: it needs both tD=MS and tT=MS", p->name, value);
    bool fits =
        s.draft_ms <= SYNTHETIC_MOST_MS && s.slope_percent <= SYNTHETIC_MOST_MS && s.beside <= SYNTHETIC_MOST_MS;
    for (int i = 0; i < s.n_pass_ms; i++) fits &= s.pass_ms[i] <= SYNTHETIC_MOST_MS;
    if (!fits) return err_set(err, E_USAGE, "--%s %s: at most %d each", p->name, value, SYNTHETIC_MOST_MS);
    *out = s;
    return OK;
}

static int set_curve(struct acceptance *out, const struct option *p, const char *value, struct err *err)
{
    struct acceptance a = {0};
    double before = 1;
    for (const char *at = value;; at++) {
        char *end;
        double s = strtod(at, &end);
        if (end == at || (*end && *end != ',') || a.n == SYNTHETIC_CURVE)
            return err_set(err, E_USAGE, "--%s %s: not at most %d numbers like 0.9,0.8", p->name, value,
                           SYNTHETIC_CURVE);
        if (!(s >= 0 && s <= before))
            return err_set(err, E_USAGE, "--%s %s: must fall, from 1 to 0: these are chances that so many are right",
                           p->name, value);
        a.s[a.n++] = before = s;
        if (!*end) break;
        at = end;
    }
    *out = a;
    return OK;
}

static int add_stop(struct options *o, const char *value, struct err *err)
{
    if (!*value) return err_set(err, E_USAGE, "--stop \"\": an empty text is found everywhere");
    if (strlen(value) > STOP_MOST_BYTES) return err_set(err, E_USAGE, "--stop: at most %d bytes each", STOP_MOST_BYTES);
    if (o->n_stops == MAX_STOPS) return err_set(err, E_USAGE, "--stop: at most %d", MAX_STOPS);
    o->stops[o->n_stops++] = value;
    return OK;
}

static int add_plan(struct options *o, const char *value, struct err *err)
{
    if (o->n_draft_plans == DRAFT_PLANS_MOST)
        return err_set(err, E_USAGE, "--draft-plan: at most %d plans", DRAFT_PLANS_MOST);
    o->draft_plans[o->n_draft_plans++] = value;
    return OK;
}

/* The index of `value` among words parted by '|'; -1: not among them. */
static int choice_index(const char *words, const char *value)
{
    for (int i = 0;; i++) {
        size_t n = strcspn(words, "|");
        if (n == strlen(value) && !memcmp(words, value, n)) return i;
        if (!words[n]) return -1;
        words += n + 1;
    }
}

int option_set(struct options *o, const struct option *p, const char *value, struct err *err)
{
    char *at = (char *)o + p->offset;
    int choice;
    switch (p->kind) {
    case OPTION_FLAG: *(bool *)at = true; return OK;
    case OPTION_TEXT: *(const char **)at = value; return OK;
    case OPTION_COUNT: return set_count((int *)at, p, value, err);
    case OPTION_NUMBER: return set_number((float *)at, p, value, err);
    case OPTION_LIST: return set_list((struct numbers *)at, p, value, err);
    case OPTION_DELAYS: return set_delays((struct net_delays *)at, p, value, err);
    case OPTION_SYNTHETIC: return set_synthetic((struct synthetic *)at, p, value, err);
    case OPTION_CURVE: return set_curve((struct acceptance *)at, p, value, err);
    case OPTION_STOP: return add_stop(o, value, err);
    case OPTION_PLAN: return add_plan(o, value, err);
    case OPTION_CHOICE:
    case OPTION_SWITCH:
        choice = choice_index(p->value, value);
        if (choice < 0) return err_set(err, E_USAGE, "--%s %s: must be one of %s", p->name, value, p->value);
        if (p->kind == OPTION_SWITCH)
            *(bool *)at = choice;
        else
            *(unsigned *)at = (unsigned)choice; /* an enum of ours */
        return OK;
    case OPTION_HELP: return OK;
    }
    return OK;
}

static void put_word(FILE *to, const char *words, unsigned i)
{
    for (; i > 0; i--) words = strchr(words, '|') + 1;
    fprintf(to, "%.*s", (int)strcspn(words, "|"), words);
}

static void put_list(FILE *to, const struct numbers *l)
{
    for (int i = 0; i < l->n; i++) fprintf(to, i ? ",%d" : "%d", l->list[i]);
}

static void put_delays(FILE *to, const struct net_delays *d)
{
    fprintf(to, "%g", (double)d->ms);
    if (d->to_drafter) fprintf(to, ",drafter=%g", (double)d->drafter_ms);
}

static void put_synthetic(FILE *to, const struct synthetic *s)
{
    fprintf(to, "tD=%g,tT", s->draft_ms);
    for (int i = 0; i < s->n_pass_ms; i++) fprintf(to, i ? ":%g" : "=%g", s->pass_ms[i]);
    if (s->slope_percent > 0) fprintf(to, ",slope=%g", s->slope_percent);
    if (s->beside > 0) fprintf(to, ",beside=%g", s->beside);
}

static void put_curve(FILE *to, const struct acceptance *a)
{
    for (int i = 0; i < a->n; i++) fprintf(to, i ? ",%g" : "%g", a->s[i]);
}

void option_put(const struct options *o, const struct option *option, FILE *to)
{
    const char *at = (const char *)o + option->offset;
    switch (option->kind) {
    case OPTION_FLAG: fputs(*(const bool *)at ? "yes" : "no", to); break;
    case OPTION_TEXT: fputs(*(const char *const *)at, to); break;
    case OPTION_COUNT: fprintf(to, "%d", *(const int *)at); break;
    case OPTION_NUMBER: fprintf(to, "%g", (double)*(const float *)at); break;
    case OPTION_LIST: put_list(to, (const struct numbers *)at); break;
    case OPTION_DELAYS: put_delays(to, (const struct net_delays *)at); break;
    case OPTION_SYNTHETIC: put_synthetic(to, (const struct synthetic *)at); break;
    case OPTION_CURVE: put_curve(to, (const struct acceptance *)at); break;
    case OPTION_CHOICE: put_word(to, option->value, *(const unsigned *)at); break;
    case OPTION_SWITCH: put_word(to, option->value, *(const bool *)at); break;
    case OPTION_STOP:
    case OPTION_PLAN:
    case OPTION_HELP: break;
    }
}
