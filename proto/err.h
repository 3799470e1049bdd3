/* err.h -- why something failed: one cause, one line.
 *
 * A function that touches files, ranks, devices or foreign bytes returns a code and fills a `struct err`. The first
 * function that decides writes the cause (what, where, what to do); callers pass it on or prefix it with err_wrap.
 * main() prints it once, and only main() exits. Foreign text in the line is shown as show.h does. A code is also the
 * exit status of the program.
 */
#ifndef PROTO_ERR_H
#define PROTO_ERR_H

enum err_code {
    OK = 0,
    E_FAIL = 1,        /* anything without a code of its own */
    E_USAGE = 2,       /* an option, or a prompt that is empty, unreadable, or longer than the context */
    E_MODEL = 3,       /* a model file, its format, or two vocabularies that do not go together */
    E_LAYOUT = 4,      /* ranks that do not fit the layout, or memory that does not hold it */
    E_PEER = 5,        /* a peer was lost */
    E_CHECK = 6,       /* a check failed: --check, --min-..., bench pair, bench spec, kernels that differ */
    E_INTERRUPT = 130, /* Ctrl-C */
    E_TERMINATED = 143 /* SIGTERM */
};

struct err {
    int code;
    char text[1024]; /* one line, no newline at its end */
};

/* Sets the cause; returns `code`, so that `return err_set(...)` reads well. A NULL err is allowed. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the cause; returns its code. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
