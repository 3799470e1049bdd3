#include "proto/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/show.h"

/* Whatever a message quotes, it stays one line that a terminal only prints. */
static void make_line(struct err *err)
{
    char said[sizeof err->text];
    size_t n = strlen(err->text);
    memcpy(said, err->text, n);
    show_text(err->text, sizeof err->text, said, n);
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
    if (!err) return code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    make_line(err);
    err->code = code;
    return code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    if (!err) return E_FAIL;
    char cause[sizeof err->text];
    memcpy(cause, err->text, sizeof cause);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof err->text) {
        int room = (int)sizeof err->text - n;
        snprintf(err->text + n, (size_t)room, ": %.*s", room, cause); /* a cause too long for the line loses its end */
    }
    make_line(err);
    return err->code;
}
