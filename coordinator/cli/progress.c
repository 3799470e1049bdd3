#include "coordinator/cli/progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "coordinator/cli/terminal.h"

static const uint64_t delay_ns = 400000000, pause_ns = 100000000; /* until it comes; between two lines */
static const double long_s = 10;                                  /* what takes longer says how long yet */
enum { USUAL_COLUMNS = 80, MOST_COLUMNS = 160 };

void progress_init(struct progress *p)
{
    const char *term = getenv("TERM");
    bool shows = terminal_is(stderr) && !(term && !strcmp(term, "dumb"));
    *p = (struct progress){.out = shows ? stderr : NULL};
}

static int n_columns(const struct progress *p)
{
    struct winsize size = {0};
    if (ioctl(fileno(p->out), TIOCGWINSZ, &size) || !size.ws_col) return USUAL_COLUMNS;
    return size.ws_col < MOST_COLUMNS ? size.ws_col : MOST_COLUMNS;
}

static void phase_move(struct progress_phase *f, const char *what, const char *unit, uint64_t done, uint64_t total,
                       uint64_t now_ns)
{
    bool same = f->what && what && !strcmp(f->what, what) && done >= f->done && total == f->total;
    if (same && done == f->done) return;
    if (!same) *f = (struct progress_phase){what, unit, done, done, total, now_ns, now_ns};
    f->done = done;
    f->changed_ns = now_ns;
}

/* Seconds, from how long what is done took; -1: nothing is done, or it is short. */
static double phase_left(const struct progress_phase *f, uint64_t now_ns)
{
    if (!f->what || !f->total || f->done <= f->from) return -1;
    double each = (double)(f->changed_ns - f->start_ns) * 1e-9 / (double)(f->done - f->from);
    double all = each * (double)(f->total - f->from), left = all - (double)(now_ns - f->start_ns) * 1e-9;
    return all < long_s ? -1 : left > 0 ? left : 0;
}

static int put_phase(char *line, size_t room, const struct progress_phase *f)
{
    unsigned long long done = f->done, total = f->total;
    if (!f->unit) return snprintf(line, room, "%s %llu %%", f->what, total ? 100 * done / total : 0);
    if (!total) return snprintf(line, room, "%s: %llu %s", f->what, done, f->unit);
    return snprintf(line, room, "%s: %llu of %llu %s", f->what, done, total, f->unit);
}

static void draw(struct progress *p, uint64_t now_ns)
{
    char line[MOST_COLUMNS + 200];
    int n = 0, most = n_columns(p) - 1; /* in the last column some terminals begin another line */
    double left = phase_left(&p->outer, now_ns);
    if (p->outer.total)
        n = snprintf(line, sizeof line, "%.60s %llu of %llu; ", p->outer.what, (unsigned long long)p->outer.done + 1,
                     (unsigned long long)p->outer.total);
    else if (p->outer.what)
        n = snprintf(line, sizeof line, "%.60s ", p->outer.what);
    n += put_phase(line + n, 100, &p->inner);
    if (left < 0 && p->outer.total < 2) left = phase_left(&p->inner, now_ns);
    if (left >= 0)
        snprintf(line + n, 40, left < 100 ? ", %.0f s left" : ", %.0f min left", left < 100 ? left : left / 60);
    fprintf(p->out, "\r%.*s\033[K", most, line);
    fflush(p->out);
    p->drawn = true;
    p->drawn_ns = now_ns;
}

void progress_show(struct progress *p, const char *what, const char *unit, uint64_t done, uint64_t total,
                   uint64_t now_ns)
{
    if (!p->out) return;
    phase_move(&p->inner, what, unit, done, total, now_ns);
    uint64_t start_ns = p->outer.what ? p->outer.start_ns : p->inner.start_ns;
    if (now_ns - start_ns < delay_ns || now_ns - p->drawn_ns < pause_ns) return;
    draw(p, now_ns);
}

void progress_within(struct progress *p, const char *what, int i, int n, uint64_t now_ns)
{
    phase_move(&p->outer, what, NULL, (uint64_t)i, (uint64_t)n, now_ns);
}

void progress_clear(struct progress *p)
{
    if (!p->drawn) return;
    fputs("\r\033[K", p->out);
    fflush(p->out);
    p->drawn = false;
}

void progress_part_over(struct progress *p)
{
    if (!p->outer.what) progress_clear(p);
}
