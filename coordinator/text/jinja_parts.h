/* jinja_parts.h -- what the files of jinja.h share: the arena, tokens, values. No other file includes it. */
#ifndef COORDINATOR_TEXT_JINJA_PARTS_H
#define COORDINATOR_TEXT_JINJA_PARTS_H

#include "coordinator/text/jinja.h"

/* ---- memory: one arena for each render, and the first error ---- */

struct jinja_arena {
    struct jinja_chunk *chunks; /* owns */
    size_t n_left, n_total, n_most;
    char *next;
    struct err *err;
    bool failed; /* err is set: later calls return quickly, and their results are undefined */
};

/* Zeroed memory, or NULL and failed. */
void *jinja_alloc(struct jinja_arena *a, size_t n);
void jinja_arena_free(struct jinja_arena *a);
void jinja_fail(struct jinja_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- tokens ---- */

struct jstr { /* not zero-terminated; message NULL: no byte is a message's */
    const char *s;
    const uint8_t *message;
    size_t n;
};

enum token_kind { TOK_TEXT, TOK_NAME, TOK_STRING, TOK_NUMBER, TOK_SIGN, TOK_OPEN, TOK_CLOSE, TOK_END };

struct token { /* OPEN is "{%" or "{{", CLOSE "%}" or "}}" */
    enum token_kind kind;
    struct jstr text; /* of a string: what it means */
    int64_t number;
};

/* Cuts a source into tokens; the last is TOK_END. NULL: failed. */
struct token *jinja_lex(struct jinja_arena *a, struct gguf_str source);

/* ---- values ---- */

enum value_kind { V_UNDEFINED, V_NONE, V_BOOL, V_NUMBER, V_STRING, V_LIST, V_DICT, V_MACRO };

struct value {
    enum value_kind kind;
    union {
        int64_t number; /* V_BOOL too; V_MACRO: where its parameters stand among the tokens */
        struct jstr str;
        struct list *list;
        struct dict *dict;
    } of;
};

struct list {
    size_t n, room;
    struct value *items;
};

struct dict { /* also a namespace */
    size_t n, room;
    struct pair {
        struct value key, value;
    } * pairs;
};

enum { MOST_ARGS = 8 };

struct args {
    int n;
    struct jstr name[MOST_ARGS]; /* empty: by place */
    struct value value[MOST_ARGS];
};

static const struct value undefined = {V_UNDEFINED, {0}};

struct jstr jstr_of(const char *s);
bool jstr_is(struct jstr s, const char *word);
struct value value_bool(bool b);
struct value value_number(int64_t n);
struct value value_str(struct jstr s);
struct value value_list(struct jinja_arena *a);
struct value value_dict(struct jinja_arena *a);

void list_add(struct jinja_arena *a, struct list *l, struct value v);
void dict_set(struct jinja_arena *a, struct dict *d, struct value key, struct value v);
/* NULL: it has no such key. */
struct value *dict_find(const struct dict *d, struct value key);

bool value_true(struct value v);
bool value_equal(struct value x, struct value y);
/* Of a list, its items; of a string, its characters; of a dict, its keys. Fails for what has none. */
struct list *value_items(struct jinja_arena *a, struct value v);
struct jstr value_text(struct jinja_arena *a, struct value v); /* as it is printed */
struct jstr jstr_join(struct jinja_arena *a, struct jstr x, struct jstr y);

struct value jinja_subscript(struct jinja_arena *a, struct value v, struct value key);
/* v[from:to:step]; undefined: left out. */
struct value jinja_slice(struct jinja_arena *a, struct value v, struct value from, struct value to, struct value step);
struct value jinja_binary(struct jinja_arena *a, struct jstr sign, struct value x, struct value y);
struct value jinja_filter(struct jinja_arena *a, struct jstr name, struct value v, const struct args *args);
struct value jinja_method(struct jinja_arena *a, struct jstr name, struct value v, const struct args *args);
bool jinja_test(struct jinja_arena *a, struct jstr name, struct value v, const struct args *args);

/* ---- a render at work ---- */

enum { MOST_STEPS = 20000000, MOST_DEPTH = 200 };

struct variable {
    struct jstr name;
    struct value value;
};

struct builder { /* in the arena */
    char *bytes;
    uint8_t *message;
    size_t n, room;
};

/* There is no tree: tokens are gone through as they are run, those of a loop once more each time, those of a branch
 * that is not taken without being run (skips > 0). */
struct jinja {
    struct jinja_arena a;
    const struct jinja_chat *chat;
    const struct token *tokens;
    size_t at;
    int skips, depth, steps;
    enum { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } flow;
    struct variable *vars;
    size_t n_vars, room;
    size_t frame;      /* where the innermost scope begins: what is set is set there */
    size_t global_end; /* of the outermost scope, while another is open */
    size_t floor;      /* of a macro, which sees nothing between global_end and this */
    struct builder *out;
};

/* Tokens are only gone through. */
bool jinja_quiet(const struct jinja *j);

const struct token *jinja_next(const struct jinja *j);
bool jinja_at(const struct jinja *j, enum token_kind kind, const char *text);
bool jinja_take(struct jinja *j, enum token_kind kind, const char *text);   /* if it comes next */
void jinja_expect(struct jinja *j, enum token_kind kind, const char *text); /* fails unless it comes next */
struct jstr jinja_take_name(struct jinja *j);

struct value jinja_lookup(struct jinja *j, struct jstr name);
void jinja_set(struct jinja *j, struct jstr name, struct value v); /* in the innermost scope */
size_t jinja_open_scope(struct jinja *j);                          /* returns what jinja_close_scope takes */
void jinja_close_scope(struct jinja *j, size_t before);

struct value jinja_expression(struct jinja *j);
struct value jinja_either(struct jinja *j, const char *word); /* "or": an expression without its if */
/* A macro's parameters, from behind "(" to behind its statement; what is not given is the default, or undefined. */
void jinja_bind(struct jinja *j, const struct args *args);
/* Statements up to one that ends them ("elif", "else", "end..."), or the end of all. */
void jinja_run(struct jinja *j);

#endif
