#include "worker/tools/report.h"

#include <stdarg.h>
#include <string.h>

#include "proto/show.h"

enum { TEXT = 1024 };

/* Prints one; its sentence is `text` then. */
static void line(struct report *r, const char *verdict, const char *topic, char text[TEXT], const char *fmt, va_list ap)
{
    char said[TEXT];
    vsnprintf(said, sizeof said, fmt, ap);
    show_text(text, TEXT, said, strlen(said));
    fprintf(r->out, "%-5s %-10s %s\n", verdict, topic, text);
}

void report_ok(struct report *r, const char *topic, const char *fmt, ...)
{
    char text[TEXT];
    va_list ap;
    va_start(ap, fmt);
    line(r, "ok", topic, text, fmt, ap);
    va_end(ap);
}

void report_warn(struct report *r, const char *topic, const char *fmt, ...)
{
    char text[TEXT];
    va_list ap;
    va_start(ap, fmt);
    line(r, "warn", topic, text, fmt, ap);
    va_end(ap);
    r->n_warnings++;
}

void report_bad(struct report *r, int code, const char *topic, const char *fmt, ...)
{
    char text[TEXT];
    va_list ap;
    va_start(ap, fmt);
    line(r, "bad", topic, text, fmt, ap);
    va_end(ap);
    if (r->bad.code == OK) err_set(&r->bad, code, "%s: %s", topic, text);
}
