#include "coordinator/cli/line.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "coordinator/text/read_text.h"
#include "coordinator/cli/terminal.h"
#include "proto/utf8.h"

enum { HISTORY_LINES = 500, REPLACEMENT = 0xFFFD, READ_BYTES = 1 << 16 };

/* While it waits: what ends it, and what only needs the line drawn again. */
static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH};
enum { N_WATCHED = sizeof watched / sizeof *watched };

struct lines {
    bool typed;
    int n_read;
    struct lines_idle idle;
    int rc; /* what it said */
    struct err err;
    char *text; /* owns: the last line; where lines are not typed also what was read behind it, from `next` on */
    size_t room, next, n_text;

    EditLine *editor;
    HistoryW *history;
    const wchar_t *prompt;
    char bytes[256]; /* typed, and not yet taken */
    size_t n_bytes;

    uv_loop_t loop;
    uv_poll_t input;
    uv_timer_t looks;
    uv_signal_t signals[N_WATCHED];
    bool readable;
    int caught;    /* the signal that ended the line; 0: none */
    bool had_text; /* and there was something to take back */
    bool asked;    /* for a second Ctrl-C */
};

/* ---- the terminal ---- */

static void put(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

static void prepare_terminal(struct lines *l, bool to_edit)
{
    put(to_edit ? "\033[?2004h" : "\033[?2004l"); /* a paste comes in brackets */
    el_wset(l->editor, EL_PREP_TERM, to_edit);
}

static void on_input(uv_poll_t *handle, int status, int events)
{
    (void)status, (void)events; /* what is wrong with it read() says */
    ((struct lines *)handle->data)->readable = true;
}

static void on_signal(uv_signal_t *handle, int signum);

/* Another program has the terminal until this one goes on. */
static void stop(struct lines *l, uv_signal_t *handle)
{
    prepare_terminal(l, false);
    uv_signal_stop(handle);
    raise(SIGTSTP);
    uv_signal_start(handle, on_signal, SIGTSTP);
    prepare_terminal(l, true);
    el_wset(l->editor, EL_REFRESH);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct lines *l = handle->data;
    switch (signum) {
    case SIGTSTP: stop(l, handle); break;
    case SIGWINCH: el_resize(l->editor); break;
    default: l->caught = signum;
    }
}

static void on_look(uv_timer_t *handle)
{
    struct lines *l = handle->data;
    l->rc = l->idle.look(l->idle.arg, &l->err);
}

static void watch(struct lines *l)
{
    for (int i = 0; i < N_WATCHED; i++) uv_signal_start(&l->signals[i], on_signal, watched[i]);
    uv_poll_start(&l->input, UV_READABLE, on_input);
    if (l->idle.look) uv_timer_start(&l->looks, on_look, LINES_IDLE_MS, LINES_IDLE_MS);
    l->caught = 0;
}

static void leave(struct lines *l)
{
    for (int i = 0; i < N_WATCHED; i++) uv_signal_stop(&l->signals[i]);
    uv_poll_stop(&l->input);
    uv_timer_stop(&l->looks);
}

/* ---- what libedit calls ---- */

/* 0: the end. -1: a signal ended the line, or `idle`. */
static int fill(struct lines *l)
{
    l->readable = false;
    while (!l->readable && !l->caught && l->rc == OK) uv_run(&l->loop, UV_RUN_ONCE);
    if (l->caught || l->rc != OK) return -1;
    ssize_t n = read(STDIN_FILENO, l->bytes + l->n_bytes, sizeof l->bytes - l->n_bytes);
    if (n <= 0) return 0;
    l->n_bytes += (size_t)n;
    return 1;
}

static int next_char(EditLine *editor, wchar_t *out)
{
    struct lines *l;
    uint32_t cp = REPLACEMENT;
    int n = 0, rc = 1;
    el_wget(editor, EL_CLIENTDATA, &l);
    while (rc > 0 && !(l->n_bytes && (n = utf8_next(l->bytes, l->n_bytes, &cp)))) rc = fill(l);
    if (rc <= 0) {
        const LineInfoW *line = el_wline(editor);
        l->had_text = line->lastchar > line->buffer;
        return rc;
    }
    *out = n > 0 ? (wchar_t)cp : REPLACEMENT;
    n = n > 0 ? n : 1;
    memmove(l->bytes, l->bytes + n, l->n_bytes -= (size_t)n);
    return 1;
}

static wchar_t *prompt_of(EditLine *editor)
{
    struct lines *l;
    el_wget(editor, EL_CLIENTDATA, &l);
    return (wchar_t *)l->prompt;
}

/* Terminals send the newlines of a paste as Enter does. */
static unsigned char paste(EditLine *editor, wint_t key)
{
    static const wchar_t end[] = L"\033[201~";
    enum { N_END = sizeof end / sizeof *end - 1 };
    wchar_t *text = NULL, c;
    size_t n = 0, room = 0;
    bool ended = false, after_cr = false;
    (void)key;
    while (!ended && el_wgetc(editor, &c) == 1) {
        bool crlf = after_cr && c == L'\n';
        after_cr = c == L'\r';
        if (crlf) continue;
        if (n + 1 >= room) {
            wchar_t *more = realloc(text, (room = 2 * room + HISTORY_LINES) * sizeof *text);
            if (!more) break;
            text = more;
        }
        text[n++] = after_cr ? L'\n' : c;
        ended = n >= N_END && !wmemcmp(text + n - N_END, end, N_END);
    }
    if (ended) {
        text[n - N_END] = 0;
        el_winsertstr(editor, text);
    }
    free(text);
    return CC_REFRESH;
}

static const struct {
    const wchar_t *keys, *function;
} bindings[] = {
    {L"\033[200~", L"paste"},        {L"\033[1~", L"ed-move-to-beg"}, {L"\033[4~", L"ed-move-to-end"},
    {L"\033[H", L"ed-move-to-beg"},  {L"\033[F", L"ed-move-to-end"},  {L"\033[3~", L"ed-delete-next-char"},
    {L"\033[1;5C", L"em-next-word"}, {L"\033[1;5D", L"ed-prev-word"}, {L"^R", L"em-inc-search-prev"},
};

static bool open_editor(struct lines *l)
{
    HistEventW event;
    l->editor = el_init("pilotfish", stdin, stdout, stderr);
    l->history = history_winit();
    if (!l->editor || !l->history) return false;
    history_w(l->history, &event, H_SETSIZE, HISTORY_LINES);
    history_w(l->history, &event, H_SETUNIQUE, 1);
    el_wset(l->editor, EL_CLIENTDATA, l);
    el_wset(l->editor, EL_PROMPT, prompt_of);
    el_wset(l->editor, EL_HIST, history_w, l->history);
    el_wset(l->editor, EL_EDITOR, L"emacs");
    el_wset(l->editor, EL_ADDFN, L"paste", L"Insert what comes until the end of a paste", paste);
    for (size_t i = 0; i < sizeof bindings / sizeof *bindings; i++)
        el_wset(l->editor, EL_BIND, bindings[i].keys, bindings[i].function, NULL);
    el_source(l->editor, NULL);
    el_wset(l->editor, EL_GETCFN, next_char);
    return true;
}

/* ---- a line ---- */

/* libedit's is wide, with a newline at its end. */
static bool take_typed(struct lines *l, const wchar_t *wide, int n, struct line *out)
{
    HistEventW event;
    char *text = realloc(l->text, 4 * (size_t)n + 1);
    if (!text) return false;
    *out = (struct line){LINE_TEXT, l->text = text, 0};
    for (int i = 0; i < n; i++) out->n += utf8_put(text + out->n, (uint32_t)wide[i]);
    while (out->n && text[out->n - 1] == '\n') out->n--;
    if (out->n) history_w(l->history, &event, H_ENTER, wide);
    return true;
}

/* Ctrl-C takes back what is typed; the next one, where nothing is, leaves. */
static int interrupted(struct lines *l, struct line *out, struct err *err)
{
    put("\n");
    if (l->caught != SIGINT) return err_set(err, E_TERMINATED, "terminated");
    if (l->asked && !l->had_text) return err_set(err, E_INTERRUPT, "interrupted");
    fputs("Ctrl-C again, or Ctrl-D, leaves\n", stderr);
    l->asked = true;
    *out = (struct line){.kind = LINE_TAKEN_BACK};
    return OK;
}

static int edit(struct lines *l, const char *prompt, struct line *out, struct err *err)
{
    wchar_t wide_prompt[16];
    int n;
    mbstowcs(wide_prompt, prompt, sizeof wide_prompt / sizeof *wide_prompt);
    l->prompt = wide_prompt;
    watch(l);
    prepare_terminal(l, true);
    const wchar_t *wide = el_wgets(l->editor, &n);
    prepare_terminal(l, false);
    leave(l);
    if (l->rc != OK) {
        put("\n");
        *err = l->err;
        return l->rc;
    }
    if (l->caught) return interrupted(l, out, err);
    if (!wide || n <= 0) {
        put("\n");
        *out = (struct line){.kind = LINE_NO_MORE};
        return OK;
    }
    l->asked = false;
    return take_typed(l, wide, n, out) ? OK : err_set(err, E_FAIL, "no memory for a line of %d characters", n);
}

/* Behind what is there, with room for a 0. *n: how much came; 0: the end. */
static int read_more(struct lines *l, size_t *n, struct err *err)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (l->next) memmove(l->text, l->text + l->next, l->n_text -= l->next);
    l->next = 0;
    if (l->n_text + READ_BYTES >= l->room) {
        char *more = realloc(l->text, 2 * l->room + READ_BYTES + 1);
        if (!more) return err_set(err, E_FAIL, "no memory for a line of %zu bytes", l->n_text);
        l->text = more;
        l->room = 2 * l->room + READ_BYTES + 1;
    }
    while (l->rc == OK && poll(&input, 1, l->idle.look ? LINES_IDLE_MS : -1) <= 0)
        if (l->idle.look) l->rc = l->idle.look(l->idle.arg, &l->err);
    if (l->rc != OK) *err = l->err;
    if (l->rc != OK) return l->rc;
    ssize_t got = read(STDIN_FILENO, l->text + l->n_text, READ_BYTES);
    if (got < 0) return err_set(err, E_USAGE, "standard input: %s", strerror(errno));
    l->n_text += *n = (size_t)got;
    return OK;
}

static int read_line(struct lines *l, struct line *out, struct err *err)
{
    char *end = NULL;
    size_t seen = 0, more = 1;
    while (!end && more) {
        size_t n = l->n_text - l->next;
        if (n > seen) end = memchr(l->text + l->next + seen, '\n', n - seen);
        seen = end ? (size_t)(end - l->text) + 1 - l->next : n;
        int rc = end ? OK : read_more(l, &more, err);
        if (rc != OK) return rc;
    }
    char *text = l->text + l->next;
    l->next += seen;
    *out = (struct line){seen ? LINE_TEXT : LINE_NO_MORE, text, text_plain(text, seen)};
    if (out->n && out->text[out->n - 1] == '\n') out->n--;
    return OK;
}

int lines_next(struct lines *l, const char *prompt, struct line *out, struct err *err)
{
    int rc = l->typed ? edit(l, prompt, out, err) : read_line(l, out, err);
    if (rc != OK) return rc;
    l->n_read += out->kind == LINE_TEXT;
    if (out->text) out->text[out->n] = 0;
    return OK;
}

/* ---- open, close ---- */

static int open_loop(struct lines *l, struct err *err)
{
    int rc = uv_loop_init(&l->loop);
    if (rc) return err_set(err, E_FAIL, "cannot wait for a line: %s", uv_strerror(rc));
    l->typed = true;
    rc = uv_poll_init(&l->loop, &l->input, STDIN_FILENO);
    uv_timer_init(&l->loop, &l->looks);
    l->input.data = l->looks.data = l;
    for (int i = 0; i < N_WATCHED && !rc; i++) {
        rc = uv_signal_init(&l->loop, &l->signals[i]);
        l->signals[i].data = l;
    }
    return rc ? err_set(err, E_FAIL, "cannot wait for a line: %s", uv_strerror(rc)) : OK;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    uv_close(handle, NULL);
}

static void close_typed(struct lines *l)
{
    if (l->editor) el_end(l->editor);
    if (l->history) history_wend(l->history);
    uv_walk(&l->loop, close_handle, NULL);
    uv_run(&l->loop, UV_RUN_DEFAULT);
    uv_loop_close(&l->loop);
}

void lines_close(struct lines *l)
{
    if (!l) return;
    if (l->typed) close_typed(l);
    free(l->text);
    free(l);
}

int lines_open(struct lines **out, struct lines_idle idle, struct err *err)
{
    struct lines *l = calloc(1, sizeof *l);
    if (!l) return err_set(err, E_FAIL, "out of memory");
    l->idle = idle;
    *out = l;
    if (!terminal_is(stdin) || !isatty(STDIN_FILENO) || !terminal_is(stdout)) return OK;
    if (!setlocale(LC_CTYPE, "C.UTF-8")) setlocale(LC_CTYPE, ""); /* how wide characters are: libedit asks it */
    int rc = open_loop(l, err);
    return rc == OK && !open_editor(l) ? err_set(err, E_FAIL, "no memory to edit lines") : rc;
}

bool lines_are_typed(const struct lines *l)
{
    return l->typed;
}

int lines_n_read(const struct lines *l)
{
    return l->n_read;
}
