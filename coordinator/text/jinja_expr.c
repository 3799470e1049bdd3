#include <stdlib.h>
#include <string.h>

#include "coordinator/text/jinja_parts.h"

/* Tokens are only gone through. */
bool jinja_quiet(const struct jinja *j)
{
    return j->skips > 0 || j->flow != FLOW_ON || j->a.failed;
}

/* ---- tokens ---- */

const struct token *jinja_next(const struct jinja *j)
{
    return &j->tokens[j->at];
}

bool jinja_at(const struct jinja *j, enum token_kind kind, const char *text)
{
    return jinja_next(j)->kind == kind && jstr_is(jinja_next(j)->text, text);
}

bool jinja_take(struct jinja *j, enum token_kind kind, const char *text)
{
    bool here = jinja_at(j, kind, text);
    j->at += here;
    return here;
}

void jinja_expect(struct jinja *j, enum token_kind kind, const char *text)
{
    if (jinja_take(j, kind, text)) return;
    struct jstr got = jinja_next(j)->text;
    jinja_fail(&j->a, "'%s' is missing before '%.*s'", text, got.n < 40 ? (int)got.n : 40, got.s);
}

struct jstr jinja_take_name(struct jinja *j)
{
    if (jinja_next(j)->kind != TOK_NAME) {
        struct jstr got = jinja_next(j)->text;
        jinja_fail(&j->a, "a name is missing before '%.*s'", got.n < 40 ? (int)got.n : 40, got.s);
        return jstr_of("");
    }
    return j->tokens[j->at++].text;
}

/* ---- variables ---- */

static struct value *find_in(struct jinja *j, struct jstr name, size_t from, size_t to)
{
    for (size_t i = to; i-- > from;) {
        struct variable *v = &j->vars[i];
        if (v->name.n == name.n && memcmp(v->name.s, name.s, name.n) == 0) return &v->value;
    }
    return NULL;
}

static const char *const functions[] = {"raise_exception", "strftime_now", "namespace", "range", "dict"};

struct value jinja_lookup(struct jinja *j, struct jstr name)
{
    struct value *found = find_in(j, name, j->floor, j->n_vars);
    if (!found && j->floor > 0) found = find_in(j, name, 0, j->global_end);
    if (found) return *found;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (jstr_is(name, functions[i]))
            return (struct value){V_MACRO, {.number = 0}}; /* templates ask whether it is defined */
    return undefined;
}

void jinja_set(struct jinja *j, struct jstr name, struct value v)
{
    struct value *have = find_in(j, name, j->frame, j->n_vars);
    if (have) {
        *have = v;
        return;
    }
    if (j->n_vars == j->room) {
        size_t room = j->room ? 2 * j->room : 64;
        struct variable *more = jinja_alloc(&j->a, room * sizeof *more);
        if (!more) return;
        if (j->n_vars) memcpy(more, j->vars, j->n_vars * sizeof *more);
        j->vars = more;
        j->room = room;
    }
    j->vars[j->n_vars++] = (struct variable){name, v};
}

/* Returns what scope_close takes. */
size_t jinja_open_scope(struct jinja *j)
{
    size_t before = j->frame;
    if (j->frame == 0) j->global_end = j->n_vars;
    j->frame = j->n_vars;
    return before;
}

void jinja_close_scope(struct jinja *j, size_t before)
{
    j->n_vars = j->frame;
    j->frame = before;
}

/* ---- calls ---- */

/* From behind "(" to behind ")". */
static struct args arguments(struct jinja *j)
{
    struct args args = {0};
    while (!j->a.failed && !jinja_take(j, TOK_SIGN, ")")) {
        bool named = jinja_next(j)->kind == TOK_NAME && j->tokens[j->at + 1].kind == TOK_SIGN &&
                     jstr_is(j->tokens[j->at + 1].text, "=");
        struct jstr name = named ? jinja_take_name(j) : jstr_of("");
        j->at += named;
        struct value v = jinja_expression(j);
        if (args.n == MOST_ARGS) jinja_fail(&j->a, "a call has more than %d arguments", MOST_ARGS);
        if (j->a.failed) break;
        args.name[args.n] = name;
        args.value[args.n++] = v;
        if (!jinja_at(j, TOK_SIGN, ")")) jinja_expect(j, TOK_SIGN, ",");
    }
    return args;
}

/* Its parameters, from behind "(" to behind the statement; what is not given is the default, or undefined. */
void jinja_bind(struct jinja *j, const struct args *args)
{
    for (int i = 0; !j->a.failed && !jinja_take(j, TOK_SIGN, ")"); i++) {
        struct jstr name = jinja_take_name(j);
        const struct value *given = NULL;
        for (int k = 0; k < args->n; k++) {
            bool by_name = args->name[k].n > 0;
            bool same = by_name && args->name[k].n == name.n && memcmp(args->name[k].s, name.s, name.n) == 0;
            if (same || (!by_name && k == i)) given = &args->value[k];
        }
        struct value v = given ? *given : undefined;
        if (jinja_take(j, TOK_SIGN, "=")) {
            j->skips += given != NULL;
            struct value fallback = jinja_expression(j);
            j->skips -= given != NULL;
            if (!given) v = fallback;
        }
        if (!jinja_quiet(j)) jinja_set(j, name, v);
        if (!jinja_at(j, TOK_SIGN, ")")) jinja_expect(j, TOK_SIGN, ",");
    }
    jinja_expect(j, TOK_CLOSE, "%}");
}

static struct value call_macro(struct jinja *j, struct value macro, const struct args *args)
{
    struct builder text = {0}, *out = j->out;
    size_t at = j->at, floor = j->floor, global_end = j->global_end, before = jinja_open_scope(j);
    if (before == 0 || floor == 0) global_end = j->global_end;
    j->floor = j->frame;
    j->out = &text;
    j->at = (size_t)macro.of.number;
    jinja_bind(j, args);
    jinja_run(j);
    j->at = at;
    j->out = out;
    jinja_close_scope(j, before);
    j->floor = floor;
    j->global_end = global_end;
    return value_str((struct jstr){text.bytes, text.message, text.n});
}

static struct value range(struct jinja *j, const struct args *args)
{
    struct value out = value_list(&j->a);
    int64_t n[3] = {0, 0, 1};
    for (int i = 0; i < args->n && i < 3; i++) n[args->n == 1 ? 1 : i] = args->value[i].of.number;
    if (args->n == 0 || n[2] == 0) jinja_fail(&j->a, "range of what?");
    for (int64_t i = n[0]; !j->a.failed && (n[2] > 0 ? i < n[1] : i > n[1]); i += n[2]) {
        if (++j->steps > MOST_STEPS) jinja_fail(&j->a, "it takes too long");
        list_add(&j->a, out.of.list, value_number(i));
    }
    return out;
}

static struct value date(struct jinja *j, const struct args *args)
{
    char form[128], text[256];
    if (args->n != 1 || args->value[0].kind != V_STRING || args->value[0].of.str.n >= sizeof form) {
        jinja_fail(&j->a, "strftime_now of what?");
        return undefined;
    }
    memcpy(form, args->value[0].of.str.s, args->value[0].of.str.n);
    form[args->value[0].of.str.n] = 0;
    size_t n = strftime(text, sizeof text, form, &j->chat->now);
    return value_str(jstr_join(&j->a, (struct jstr){.s = text, .n = n}, jstr_of("")));
}

static struct value call(struct jinja *j, struct jstr name, const struct args *args)
{
    struct value macro = jinja_lookup(j, name);
    if (macro.kind == V_MACRO && macro.of.number > 0) return call_macro(j, macro, args);
    if (jstr_is(name, "raise_exception")) {
        struct jstr why = args->n ? value_text(&j->a, args->value[0]) : jstr_of("");
        jinja_fail(&j->a, "it refuses: %.*s", why.n < 200 ? (int)why.n : 200, why.s);
    } else if (jstr_is(name, "namespace") || jstr_is(name, "dict")) {
        struct value out = value_dict(&j->a);
        for (int i = 0; i < args->n && !j->a.failed; i++)
            dict_set(&j->a, out.of.dict, value_str(args->name[i]), args->value[i]);
        return out;
    } else if (jstr_is(name, "range")) {
        return range(j, args);
    } else if (jstr_is(name, "strftime_now")) {
        return date(j, args);
    } else {
        jinja_fail(&j->a, "the function %.*s is not known here", name.n < 40 ? (int)name.n : 40, name.s);
    }
    return undefined;
}

/* ---- expressions, from the inside out ---- */

static struct value list_literal(struct jinja *j, const char *end, struct value first, bool has_first)
{
    struct value out = jinja_quiet(j) ? undefined : value_list(&j->a);
    if (has_first && !jinja_quiet(j)) list_add(&j->a, out.of.list, first);
    while (!j->a.failed && !jinja_take(j, TOK_SIGN, end)) {
        struct value v = jinja_expression(j);
        if (!jinja_quiet(j)) list_add(&j->a, out.of.list, v);
        if (!jinja_at(j, TOK_SIGN, end)) jinja_expect(j, TOK_SIGN, ",");
    }
    return out;
}

static struct value dict_literal(struct jinja *j)
{
    struct value out = jinja_quiet(j) ? undefined : value_dict(&j->a);
    while (!j->a.failed && !jinja_take(j, TOK_SIGN, "}")) {
        struct value key = jinja_expression(j);
        jinja_expect(j, TOK_SIGN, ":");
        struct value v = jinja_expression(j);
        if (!jinja_quiet(j)) dict_set(&j->a, out.of.dict, key, v);
        if (!jinja_at(j, TOK_SIGN, "}")) jinja_expect(j, TOK_SIGN, ",");
    }
    return out;
}

static struct value in_parentheses(struct jinja *j)
{
    if (jinja_at(j, TOK_SIGN, ")")) return list_literal(j, ")", undefined, false);
    struct value v = jinja_expression(j);
    if (jinja_take(j, TOK_SIGN, ",")) return list_literal(j, ")", v, true);
    jinja_expect(j, TOK_SIGN, ")");
    return v;
}

static struct value name(struct jinja *j)
{
    struct jstr word = jinja_take_name(j);
    if (jinja_take(j, TOK_SIGN, "(")) {
        struct args args = arguments(j);
        return jinja_quiet(j) ? undefined : call(j, word, &args);
    }
    if (jstr_is(word, "true") || jstr_is(word, "True")) return value_bool(true);
    if (jstr_is(word, "false") || jstr_is(word, "False")) return value_bool(false);
    if (jstr_is(word, "none") || jstr_is(word, "None")) return (struct value){V_NONE, {0}};
    return jinja_quiet(j) ? undefined : jinja_lookup(j, word);
}

static struct value primary(struct jinja *j)
{
    const struct token *t = jinja_next(j);
    if (t->kind == TOK_NAME) return name(j);
    if (jinja_take(j, TOK_SIGN, "(")) return in_parentheses(j);
    if (jinja_take(j, TOK_SIGN, "[")) return list_literal(j, "]", undefined, false);
    if (jinja_take(j, TOK_SIGN, "{")) return dict_literal(j);
    if (t->kind == TOK_NUMBER) {
        j->at++;
        return value_number(t->number);
    }
    if (t->kind == TOK_STRING) {
        struct jstr text = t->text;
        for (j->at++; jinja_next(j)->kind == TOK_STRING && !j->a.failed; j->at++)
            text = jstr_join(&j->a, text, jinja_next(j)->text);
        return value_str(text);
    }
    jinja_fail(&j->a, "a value is missing before '%.*s'", t->text.n < 40 ? (int)t->text.n : 40, t->text.s);
    return undefined;
}

/* From behind "[" to behind "]". */
static struct value subscript(struct jinja *j, struct value v)
{
    struct value part[3] = {undefined, undefined, undefined};
    int n = 0;
    bool slice = false;
    while (!j->a.failed && !jinja_at(j, TOK_SIGN, "]")) {
        if (jinja_take(j, TOK_SIGN, ":")) {
            slice = true;
            if (++n == 3) jinja_fail(&j->a, "a slice has too many parts");
        } else {
            part[n] = jinja_expression(j);
        }
    }
    jinja_expect(j, TOK_SIGN, "]");
    if (jinja_quiet(j)) return undefined;
    return slice ? jinja_slice(&j->a, v, part[0], part[1], part[2]) : jinja_subscript(&j->a, v, part[0]);
}

static struct value postfix(struct jinja *j)
{
    struct value v = primary(j);
    while (!j->a.failed) {
        if (jinja_take(j, TOK_SIGN, "[")) {
            v = subscript(j, v);
        } else if (jinja_take(j, TOK_SIGN, ".")) {
            struct jstr part = jinja_take_name(j);
            bool called = jinja_take(j, TOK_SIGN, "(");
            struct args args = {0};
            if (called) args = arguments(j);
            if (jinja_quiet(j)) continue;
            v = called ? jinja_method(&j->a, part, v, &args) : jinja_subscript(&j->a, v, value_str(part));
        } else {
            break;
        }
    }
    return v;
}

/* A test's argument may stand without parentheses. */
static struct value test(struct jinja *j, struct value v)
{
    static const char *const with_argument[] = {"equalto", "eq", "divisibleby", "sameas", "in"};
    bool negated = jinja_take(j, TOK_NAME, "not");
    struct jstr word = jinja_take_name(j);
    struct args args = {0};
    bool bare = false;
    for (size_t i = 0; i < sizeof with_argument / sizeof *with_argument; i++)
        bare = bare || jstr_is(word, with_argument[i]);
    if (jinja_take(j, TOK_SIGN, "(")) {
        args = arguments(j);
    } else if (bare) {
        args.value[0] = postfix(j);
        args.n = 1;
    }
    return jinja_quiet(j) ? undefined : value_bool(jinja_test(&j->a, word, v, &args) != negated);
}

static struct value filtered(struct jinja *j)
{
    if (++j->steps > MOST_STEPS) jinja_fail(&j->a, "it takes too long");
    int n_minus = 0;
    while (jinja_take(j, TOK_SIGN, "-")) n_minus++;
    struct value v = postfix(j);
    if (n_minus > 0 && !jinja_quiet(j)) v = jinja_binary(&j->a, jstr_of(n_minus % 2 ? "-" : "+"), value_number(0), v);
    while (!j->a.failed) {
        if (jinja_take(j, TOK_SIGN, "|")) {
            struct jstr word = jinja_take_name(j);
            struct args args = {0};
            if (jinja_take(j, TOK_SIGN, "(")) args = arguments(j);
            v = jinja_quiet(j) ? undefined : jinja_filter(&j->a, word, v, &args);
        } else if (jinja_take(j, TOK_NAME, "is")) {
            v = test(j, v);
        } else {
            break;
        }
    }
    return v;
}

/* The operators of two sides from those that bind most to those that bind least. */
static const char *const levels[][6] = {
    {"==", "!=", "<", ">", "<=", ">="},
    {"+", "-"},
    {"~"},
    {"*", "/", "//", "%"},
};
enum { N_LEVELS = sizeof levels / sizeof *levels };

static struct value binary(struct jinja *j, int level)
{
    if (level == N_LEVELS) return filtered(j);
    struct value v = binary(j, level + 1);
    while (!j->a.failed) {
        struct jstr sign = jinja_next(j)->text;
        bool here = false, no = false;
        for (int i = 0; i < 6 && levels[level][i]; i++) here = here || jinja_at(j, TOK_SIGN, levels[level][i]);
        if (!here && level == 0) {
            no = jinja_at(j, TOK_NAME, "not") && j->tokens[j->at + 1].kind == TOK_NAME &&
                 jstr_is(j->tokens[j->at + 1].text, "in");
            here = no || jinja_at(j, TOK_NAME, "in");
        }
        if (!here) break;
        j->at += no ? 2 : 1;
        struct value right = binary(j, level + 1);
        v = jinja_quiet(j) ? undefined : jinja_binary(&j->a, no ? jstr_of("in") : sign, v, right);
        if (no && !jinja_quiet(j)) v = value_bool(!v.of.number);
    }
    return v;
}

static struct value negation(struct jinja *j)
{
    int n = 0;
    while (jinja_take(j, TOK_NAME, "not")) n++;
    struct value v = binary(j, 0);
    return n == 0 || jinja_quiet(j) ? v : value_bool(value_true(v) == (n % 2 == 0));
}

/* The right side of `and` and `or` is run only where it decides; the value is that of the side that does. */
struct value jinja_either(struct jinja *j, const char *word)
{
    bool is_or = strcmp(word, "or") == 0;
    struct value v = is_or ? jinja_either(j, "and") : negation(j);
    while (!j->a.failed && jinja_take(j, TOK_NAME, word)) {
        bool decided = !jinja_quiet(j) && value_true(v) == is_or;
        j->skips += decided;
        struct value right = is_or ? jinja_either(j, "and") : negation(j);
        j->skips -= decided;
        if (!decided) v = right;
    }
    return v;
}

/* Where the "if" of the expression that begins here stands; 0: it has none. */
static size_t find_condition(const struct jinja *j)
{
    int depth = 0;
    for (size_t i = j->at;; i++) {
        const struct token *t = &j->tokens[i];
        if (t->kind == TOK_CLOSE || t->kind == TOK_END) return 0;
        if (depth == 0 && t->kind == TOK_NAME && jstr_is(t->text, "if")) return i;
        if (t->kind != TOK_SIGN) continue;
        if (strchr("([{", t->text.s[0])) depth++;
        if (depth == 0 && strchr(",:)]}", t->text.s[0])) return 0;
        if (strchr(")]}", t->text.s[0])) depth--;
    }
}

/* X if CONDITION else Y: the condition is run first. */
static struct value conditional(struct jinja *j, size_t condition)
{
    struct value v = undefined;
    size_t from = j->at;
    j->at = condition + 1;
    bool on = value_true(jinja_either(j, "or")) && !jinja_quiet(j);
    size_t behind = j->at;
    j->at = from;
    j->skips += !on;
    struct value first = jinja_either(j, "or");
    j->skips -= !on;
    if (on) v = first;
    if (!j->a.failed && j->at != condition) jinja_expect(j, TOK_NAME, "if");
    if (j->a.failed) return undefined;
    j->at = behind;
    if (!jinja_take(j, TOK_NAME, "else")) return v;
    j->skips += on;
    struct value other = jinja_expression(j);
    j->skips -= on;
    return on ? v : other;
}

struct value jinja_expression(struct jinja *j)
{
    if (++j->depth > MOST_DEPTH) jinja_fail(&j->a, "it is nested too deeply");
    if (j->a.failed) return undefined;
    size_t condition = find_condition(j);
    struct value v = condition ? conditional(j, condition) : jinja_either(j, "or");
    j->depth--;
    return v;
}
