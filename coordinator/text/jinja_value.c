#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/text/jinja_parts.h"
#include "proto/utf8.h"

/* ---- making ---- */

struct jstr jstr_of(const char *s)
{
    return (struct jstr){.s = s, .n = strlen(s)};
}

bool jstr_is(struct jstr s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.s, word, s.n) == 0;
}

struct value value_bool(bool b)
{
    return (struct value){V_BOOL, {.number = b}};
}

struct value value_number(int64_t n)
{
    return (struct value){V_NUMBER, {.number = n}};
}

struct value value_str(struct jstr s)
{
    return (struct value){V_STRING, {.str = s}};
}

struct value value_list(struct jinja_arena *a)
{
    struct list *l = jinja_alloc(a, sizeof *l);
    return l ? (struct value){V_LIST, {.list = l}} : undefined;
}

struct value value_dict(struct jinja_arena *a)
{
    struct dict *d = jinja_alloc(a, sizeof *d);
    return d ? (struct value){V_DICT, {.dict = d}} : undefined;
}

/* The n items with room for one more. Where there is no memory they stay, and the arena has failed. */
static void *with_room(struct jinja_arena *a, void *items, size_t n, size_t *room, size_t size)
{
    if (n < *room) return items;
    size_t more = *room ? 2 * *room : 8;
    void *bigger = jinja_alloc(a, more * size);
    if (!bigger) return items;
    if (n) memcpy(bigger, items, n * size);
    *room = more;
    return bigger;
}

void list_add(struct jinja_arena *a, struct list *l, struct value v)
{
    if (!l || a->failed) return;
    l->items = with_room(a, l->items, l->n, &l->room, sizeof *l->items);
    if (!a->failed) l->items[l->n++] = v;
}

struct value *dict_find(const struct dict *d, struct value key)
{
    for (size_t i = 0; i < d->n; i++)
        if (value_equal(d->pairs[i].key, key)) return &d->pairs[i].value;
    return NULL;
}

void dict_set(struct jinja_arena *a, struct dict *d, struct value key, struct value v)
{
    if (!d || a->failed) return;
    struct value *have = dict_find(d, key);
    if (have) {
        *have = v;
        return;
    }
    d->pairs = with_room(a, d->pairs, d->n, &d->room, sizeof *d->pairs);
    if (!a->failed) d->pairs[d->n++] = (struct pair){key, v};
}

/* ---- asking ---- */

bool value_true(struct value v)
{
    switch (v.kind) {
    case V_UNDEFINED:
    case V_NONE: return false;
    case V_BOOL:
    case V_NUMBER: return v.of.number != 0;
    case V_STRING: return v.of.str.n > 0;
    case V_LIST: return v.of.list->n > 0;
    case V_DICT: return v.of.dict->n > 0;
    case V_MACRO: break;
    }
    return true;
}

static bool is_number(struct value v)
{
    return v.kind == V_NUMBER || v.kind == V_BOOL;
}

bool value_equal(struct value x, struct value y)
{
    if (is_number(x) && is_number(y)) return x.of.number == y.of.number;
    if (x.kind != y.kind) return false;
    if (x.kind == V_STRING) return x.of.str.n == y.of.str.n && memcmp(x.of.str.s, y.of.str.s, x.of.str.n) == 0;
    if (x.kind == V_LIST) return x.of.list == y.of.list || (x.of.list->n == 0 && y.of.list->n == 0);
    if (x.kind == V_DICT) return x.of.dict == y.of.dict;
    return x.kind == V_UNDEFINED || x.kind == V_NONE;
}

static struct jstr cut(struct jstr s, size_t from, size_t to)
{
    return (struct jstr){s.s + from, s.message ? s.message + from : NULL, to - from};
}

/* Bytes of the character at s; a byte that is no UTF-8 counts as one. */
static size_t char_bytes(struct jstr s, size_t at)
{
    uint32_t cp;
    int len = utf8_next(s.s + at, s.n - at, &cp);
    return len > 0 ? (size_t)len : 1;
}

struct list *value_items(struct jinja_arena *a, struct value v)
{
    struct value out = v.kind == V_LIST ? v : value_list(a);
    if (a->failed) return NULL;
    switch (v.kind) {
    case V_STRING:
        for (size_t at = 0, n; at < v.of.str.n && !a->failed; at += n) {
            n = char_bytes(v.of.str, at);
            list_add(a, out.of.list, value_str(cut(v.of.str, at, at + n)));
        }
        break;
    case V_DICT:
        for (size_t i = 0; i < v.of.dict->n; i++) list_add(a, out.of.list, v.of.dict->pairs[i].key);
        break;
    case V_UNDEFINED:
    case V_LIST: break;
    default: jinja_fail(a, "it goes through what is no list");
    }
    return out.of.list;
}

struct jstr value_text(struct jinja_arena *a, struct value v)
{
    char number[32];
    switch (v.kind) {
    case V_STRING: return v.of.str;
    case V_UNDEFINED: return jstr_of("");
    case V_NONE: return jstr_of("None");
    case V_BOOL: return jstr_of(v.of.number ? "True" : "False");
    case V_NUMBER: {
        snprintf(number, sizeof number, "%lld", (long long)v.of.number);
        return jstr_join(a, jstr_of(number), jstr_of(""));
    }
    default: jinja_fail(a, "it prints a list or a dictionary, which is not known here");
    }
    return jstr_of("");
}

/* A copy. */
struct jstr jstr_join(struct jinja_arena *a, struct jstr x, struct jstr y)
{
    size_t n = x.n + y.n;
    char *s = jinja_alloc(a, n + 1);
    uint8_t *message = s && (x.message || y.message) ? jinja_alloc(a, n + 1) : NULL;
    if (a->failed) return jstr_of("");
    if (x.n) memcpy(s, x.s, x.n);
    if (y.n) memcpy(s + x.n, y.s, y.n);
    if (x.message && x.n) memcpy(message, x.message, x.n);
    if (y.message && y.n) memcpy(message + x.n, y.message, y.n);
    return (struct jstr){s, message, n};
}

/* ---- parts of a value ---- */

static size_t value_length(struct jinja_arena *a, struct value v)
{
    if (v.kind != V_STRING && v.kind != V_UNDEFINED)
        return v.kind == V_DICT ? v.of.dict->n : value_items(a, v) ? value_items(a, v)->n : 0;
    size_t n = 0;
    for (size_t at = 0; v.kind == V_STRING && at < v.of.str.n; at += char_bytes(v.of.str, at)) n++;
    return n;
}

struct value jinja_subscript(struct jinja_arena *a, struct value v, struct value key)
{
    if (v.kind == V_UNDEFINED) jinja_fail(a, "it asks for a part of what is not defined");
    if (v.kind == V_DICT) {
        const struct value *found = dict_find(v.of.dict, key);
        return found ? *found : undefined;
    }
    if (!is_number(key) || (v.kind != V_LIST && v.kind != V_STRING)) return undefined;
    struct list *l = value_items(a, v);
    if (!l) return undefined;
    int64_t i = key.of.number < 0 ? key.of.number + (int64_t)l->n : key.of.number;
    return i >= 0 && i < (int64_t)l->n ? l->items[i] : undefined;
}

/* As Python bounds them: -1 stands before the first where the step is negative. */
static int64_t bound(struct value v, int64_t n, int64_t fallback, int64_t least, int64_t most)
{
    if (!is_number(v)) return fallback;
    int64_t i = v.of.number < 0 ? v.of.number + n : v.of.number;
    return i < least ? least : i > most ? most : i;
}

struct value jinja_slice(struct jinja_arena *a, struct value v, struct value from, struct value to, struct value step)
{
    int64_t by = is_number(step) ? step.of.number : 1;
    if (v.kind == V_UNDEFINED || by < -1 || by > 1 || by == 0)
        jinja_fail(a, "a slice of a kind that is not known here");
    struct list *l = value_items(a, v);
    struct value out = value_list(a);
    if (a->failed) return undefined;
    int64_t n = (int64_t)l->n;
    int64_t i = by > 0 ? bound(from, n, 0, 0, n) : bound(from, n, n - 1, -1, n - 1);
    int64_t end = by > 0 ? bound(to, n, n, 0, n) : bound(to, n, -1, -1, n - 1);
    if (v.kind == V_STRING && by > 0) { /* one stretch of bytes */
        if (i >= end) return value_str(jstr_of(""));
        const char *first = l->items[i].of.str.s, *last = l->items[end - 1].of.str.s;
        size_t at = (size_t)(first - v.of.str.s);
        return value_str(cut(v.of.str, at, (size_t)(last - v.of.str.s) + l->items[end - 1].of.str.n));
    }
    if (v.kind == V_STRING) jinja_fail(a, "a text backwards is not known here");
    for (; by > 0 ? i < end : i > end; i += by) list_add(a, out.of.list, l->items[i]);
    return out;
}

/* ---- operators ---- */

static int order(struct jinja_arena *a, struct value x, struct value y)
{
    if (is_number(x) && is_number(y)) return (x.of.number > y.of.number) - (x.of.number < y.of.number);
    if (x.kind != V_STRING || y.kind != V_STRING) {
        jinja_fail(a, "it orders what has no order");
        return 0;
    }
    size_t n = x.of.str.n < y.of.str.n ? x.of.str.n : y.of.str.n;
    int by_bytes = n ? memcmp(x.of.str.s, y.of.str.s, n) : 0;
    return by_bytes ? by_bytes : (x.of.str.n > y.of.str.n) - (x.of.str.n < y.of.str.n);
}

static bool contains(struct jinja_arena *a, struct value all, struct value part)
{
    if (all.kind == V_STRING && part.kind == V_STRING)
        return part.of.str.n == 0 || memmem(all.of.str.s, all.of.str.n, part.of.str.s, part.of.str.n);
    if (all.kind == V_DICT) return dict_find(all.of.dict, part);
    if (all.kind == V_UNDEFINED) return false;
    if (all.kind != V_LIST) {
        jinja_fail(a, "it looks into what holds nothing");
        return false;
    }
    for (size_t i = 0; i < all.of.list->n; i++)
        if (value_equal(all.of.list->items[i], part)) return true;
    return false;
}

static struct value arithmetic(struct jinja_arena *a, char sign, int64_t x, int64_t y)
{
    int64_t out = 0;
    bool bad = false;
    switch (sign) {
    case '+': bad = __builtin_add_overflow(x, y, &out); break;
    case '-': bad = __builtin_sub_overflow(x, y, &out); break;
    case '*': bad = __builtin_mul_overflow(x, y, &out); break;
    default: /* as Python rounds: down */
        bad = y == 0 || (x == INT64_MIN && y == -1);
        if (!bad) out = sign == '%' ? (x % y + y) % y : x / y - (x % y != 0 && (x < 0) != (y < 0));
    }
    if (bad) jinja_fail(a, "a number is out of range");
    return value_number(out);
}

struct value jinja_binary(struct jinja_arena *a, struct jstr sign, struct value x, struct value y)
{
    if (jstr_is(sign, "==")) return value_bool(value_equal(x, y));
    if (jstr_is(sign, "!=")) return value_bool(!value_equal(x, y));
    if (jstr_is(sign, "<")) return value_bool(order(a, x, y) < 0);
    if (jstr_is(sign, ">")) return value_bool(order(a, x, y) > 0);
    if (jstr_is(sign, "<=")) return value_bool(order(a, x, y) <= 0);
    if (jstr_is(sign, ">=")) return value_bool(order(a, x, y) >= 0);
    if (jstr_is(sign, "in")) return value_bool(contains(a, y, x));
    if (jstr_is(sign, "~")) return value_str(jstr_join(a, value_text(a, x), value_text(a, y)));
    bool plus = jstr_is(sign, "+");
    if (plus && x.kind == V_STRING && y.kind == V_STRING) return value_str(jstr_join(a, x.of.str, y.of.str));
    if (plus && x.kind == V_LIST && y.kind == V_LIST) {
        struct value out = value_list(a);
        for (size_t i = 0; !a->failed && i < x.of.list->n; i++) list_add(a, out.of.list, x.of.list->items[i]);
        for (size_t i = 0; !a->failed && i < y.of.list->n; i++) list_add(a, out.of.list, y.of.list->items[i]);
        return out;
    }
    if (is_number(x) && is_number(y) && !jstr_is(sign, "/") && !jstr_is(sign, "**"))
        return arithmetic(a, sign.s[0], x.of.number, y.of.number);
    jinja_fail(a, "'%.*s' between a %s and a %s", (int)sign.n, sign.s,
               x.kind == V_STRING ? "text" : "value of another kind",
               y.kind == V_STRING ? "text" : "value of another kind");
    return undefined;
}

/* ---- texts ---- */

/* Unicode's White_Space, as Python strips it. */
static bool is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static bool is_stripped(struct jstr s, size_t at, size_t n, const struct value *chars)
{
    uint32_t cp = 0;
    if (chars) return memmem(chars->of.str.s, chars->of.str.n, s.s + at, n);
    return utf8_next(s.s + at, n, &cp) > 0 && is_space(cp);
}

static struct jstr strip(struct jstr s, bool left, bool right, const struct value *chars)
{
    size_t from = 0, to = s.n;
    while (left && from < to) {
        size_t n = char_bytes(s, from);
        if (!is_stripped(s, from, n, chars)) break;
        from += n;
    }
    while (right && to > from) {
        size_t n = 1;
        while (n < 4 && to - n > from && ((unsigned char)s.s[to - n] & 0xC0) == 0x80) n++;
        if (!is_stripped(s, to - n, n, chars)) break;
        to -= n;
    }
    return cut(s, from, to);
}

/* Where `part` stands in s at or behind `from`; s.n: nowhere. */
static size_t find(struct jstr s, size_t from, struct jstr part)
{
    const char *at = part.n ? memmem(s.s + from, s.n - from, part.s, part.n) : NULL;
    return at ? (size_t)(at - s.s) : s.n;
}

static struct value split(struct jinja_arena *a, struct jstr s, const struct args *args)
{
    struct value out = value_list(a);
    int64_t most = args->n > 1 ? args->value[1].of.number : -1;
    if (args->n == 0 || args->value[0].kind != V_STRING || args->value[0].of.str.n == 0) {
        jinja_fail(a, "split without a text to split at is not known here");
        return undefined;
    }
    struct jstr by = args->value[0].of.str;
    size_t from = 0;
    for (size_t at; most != 0 && (at = find(s, from, by)) < s.n && !a->failed; from = at + by.n, most--)
        list_add(a, out.of.list, value_str(cut(s, from, at)));
    if (!a->failed) list_add(a, out.of.list, value_str(cut(s, from, s.n)));
    return out;
}

static void put_part(struct jstr *out, struct jstr part)
{
    if (part.n) memcpy((char *)(uintptr_t)out->s + out->n, part.s, part.n);
    if (part.n && part.message) memcpy((uint8_t *)(uintptr_t)out->message + out->n, part.message, part.n);
    out->n += part.n;
}

static struct value replace(struct jinja_arena *a, struct jstr s, struct jstr old, struct jstr by)
{
    size_t n_found = 0;
    if (old.n == 0) jinja_fail(a, "replacing nothing is not known here");
    for (size_t at = 0; old.n && (at = find(s, at, old)) < s.n; at += old.n) n_found++;
    if (n_found == 0) return value_str(s);
    if (by.n > (1u << 30) / n_found) jinja_fail(a, "a text becomes too long");
    size_t n = s.n - n_found * old.n + (a->failed ? 0 : n_found * by.n);
    struct jstr out = {jinja_alloc(a, n + 1), s.message || by.message ? jinja_alloc(a, n + 1) : NULL, 0};
    size_t from = 0;
    for (size_t at; !a->failed && (at = find(s, from, old)) < s.n; from = at + old.n) {
        put_part(&out, cut(s, from, at));
        put_part(&out, by);
    }
    if (a->failed) return undefined;
    put_part(&out, cut(s, from, s.n));
    return value_str(out);
}

/* ASCII alone: what else a template changes the case of is not its own. */
static struct value with_case(struct jinja_arena *a, struct jstr s, bool first_upper, bool rest_upper)
{
    struct jstr out = jstr_join(a, s, jstr_of(""));
    if (a->failed) return undefined;
    char *c = (char *)(uintptr_t)out.s;
    for (size_t i = 0; i < out.n; i++) {
        bool upper = i == 0 ? first_upper : rest_upper;
        c[i] = (char)(upper ? toupper((unsigned char)c[i]) : tolower((unsigned char)c[i]));
    }
    return value_str(out);
}

static bool has_end(struct jinja_arena *a, struct jstr s, struct value end, bool at_start)
{
    struct value one = value_list(a);
    if (end.kind != V_LIST) list_add(a, one.of.list, end);
    struct list *l = end.kind == V_LIST ? end.of.list : one.of.list;
    for (size_t i = 0; !a->failed && i < l->n; i++) {
        struct jstr part = l->items[i].of.str;
        if (l->items[i].kind == V_STRING && part.n <= s.n &&
            (part.n == 0 || memcmp(at_start ? s.s : s.s + s.n - part.n, part.s, part.n) == 0))
            return true;
    }
    return false;
}

static struct value text_method(struct jinja_arena *a, struct jstr name, struct jstr s, const struct args *args)
{
    const struct value *first = args->n > 0 ? &args->value[0] : NULL;
    bool of_text = first && first->kind == V_STRING;
    bool left = jstr_is(name, "lstrip"), right = jstr_is(name, "rstrip");
    if ((left || right || jstr_is(name, "strip")) && (!first || of_text))
        return value_str(strip(s, !right, !left, first));
    if (jstr_is(name, "split")) return split(a, s, args);
    if (jstr_is(name, "startswith") && first) return value_bool(has_end(a, s, *first, true));
    if (jstr_is(name, "endswith") && first) return value_bool(has_end(a, s, *first, false));
    if (jstr_is(name, "upper")) return with_case(a, s, true, true);
    if (jstr_is(name, "lower")) return with_case(a, s, false, false);
    if (jstr_is(name, "capitalize")) return with_case(a, s, true, false);
    if (jstr_is(name, "replace") && of_text && args->n == 2 && args->value[1].kind == V_STRING)
        return replace(a, s, first->of.str, args->value[1].of.str);
    jinja_fail(a, "%.*s of a text is not known here", name.n < 40 ? (int)name.n : 40, name.s);
    return undefined;
}

/* ---- methods, filters, tests ---- */

static struct value dict_items(struct jinja_arena *a, const struct dict *d, bool keys, bool values)
{
    struct value out = value_list(a);
    for (size_t i = 0; i < d->n && !a->failed; i++) {
        struct value pair = value_list(a);
        if (keys) list_add(a, pair.of.list, d->pairs[i].key);
        if (values) list_add(a, pair.of.list, d->pairs[i].value);
        list_add(a, out.of.list, keys && values ? pair : keys ? d->pairs[i].key : d->pairs[i].value);
    }
    return out;
}

struct value jinja_method(struct jinja_arena *a, struct jstr name, struct value v, const struct args *args)
{
    if (v.kind == V_STRING) return text_method(a, name, v.of.str, args);
    if (v.kind == V_DICT) {
        const struct value *found = args->n > 0 ? dict_find(v.of.dict, args->value[0]) : NULL;
        if (jstr_is(name, "get") && args->n > 0)
            return found ? *found : args->n > 1 ? args->value[1] : (struct value){V_NONE, {0}};
        if (jstr_is(name, "items")) return dict_items(a, v.of.dict, true, true);
        if (jstr_is(name, "keys")) return dict_items(a, v.of.dict, true, false);
        if (jstr_is(name, "values")) return dict_items(a, v.of.dict, false, true);
    }
    if (v.kind == V_LIST && jstr_is(name, "append") && args->n == 1) {
        list_add(a, v.of.list, args->value[0]);
        return (struct value){V_NONE, {0}};
    }
    jinja_fail(a, "a call of %.*s is not known here", name.n < 40 ? (int)name.n : 40, name.s);
    return undefined;
}

static struct value join(struct jinja_arena *a, struct value v, const struct args *args)
{
    struct list *l = value_items(a, v);
    struct jstr by = args->n > 0 ? value_text(a, args->value[0]) : jstr_of(""), out = jstr_of("");
    for (size_t i = 0; !a->failed && i < l->n; i++)
        out = jstr_join(a, i ? jstr_join(a, out, by) : out, value_text(a, l->items[i]));
    return value_str(out);
}

/* selectattr, rejectattr: of one name, or of a name, "equalto" and a value. */
static struct value select_by(struct jinja_arena *a, struct value v, const struct args *args, bool wanted)
{
    struct list *l = value_items(a, value_true(v) ? v : undefined);
    struct value out = value_list(a);
    if (args->n == 0 || (args->n > 1 && args->value[1].kind != V_STRING)) jinja_fail(a, "selectattr of what?");
    for (size_t i = 0; !a->failed && i < l->n; i++) {
        struct value part = jinja_subscript(a, l->items[i], args->value[0]);
        struct args rest = {.n = args->n > 2, .value = {args->n > 2 ? args->value[2] : undefined}};
        bool is = args->n > 1 ? jinja_test(a, args->value[1].of.str, part, &rest) : value_true(part);
        if (is == wanted) list_add(a, out.of.list, l->items[i]);
    }
    return out;
}

static struct value map(struct jinja_arena *a, struct value v, const struct args *args)
{
    struct list *l = value_items(a, v);
    struct value out = value_list(a);
    if (args->n != 1 || !jstr_is(args->name[0], "attribute"))
        jinja_fail(a, "map without an attribute is not known here");
    for (size_t i = 0; !a->failed && i < l->n; i++)
        list_add(a, out.of.list, jinja_subscript(a, l->items[i], args->value[0]));
    return out;
}

struct value jinja_filter(struct jinja_arena *a, struct jstr name, struct value v, const struct args *args)
{
    static const struct args none = {0};
    if (jstr_is(name, "safe")) return v;
    if (jstr_is(name, "string")) return value_str(value_text(a, v));
    if (jstr_is(name, "trim")) return text_method(a, jstr_of("strip"), value_text(a, v), args);
    if (jstr_is(name, "upper") || jstr_is(name, "lower") || jstr_is(name, "capitalize"))
        return text_method(a, name, value_text(a, v), &none);
    if (jstr_is(name, "replace")) return text_method(a, name, value_text(a, v), args);
    if (jstr_is(name, "length") || jstr_is(name, "count")) return value_number((int64_t)value_length(a, v));
    if (jstr_is(name, "default") || jstr_is(name, "d")) {
        bool also_false = args->n > 1 && value_true(args->value[1]);
        bool keep = v.kind != V_UNDEFINED && (!also_false || value_true(v));
        return keep ? v : args->n > 0 ? args->value[0] : value_str(jstr_of(""));
    }
    if (jstr_is(name, "first")) return jinja_subscript(a, v, value_number(0));
    if (jstr_is(name, "last")) return jinja_subscript(a, v, value_number(-1));
    if (jstr_is(name, "reverse") && v.kind == V_LIST) return jinja_slice(a, v, undefined, undefined, value_number(-1));
    if (jstr_is(name, "join")) return join(a, v, args);
    if (jstr_is(name, "items") && v.kind == V_DICT) return dict_items(a, v.of.dict, true, true);
    if (jstr_is(name, "list")) {
        struct list *items = value_items(a, v);
        return items ? (struct value){V_LIST, {.list = items}} : undefined;
    }
    if (jstr_is(name, "selectattr")) return select_by(a, v, args, true);
    if (jstr_is(name, "rejectattr")) return select_by(a, v, args, false);
    if (jstr_is(name, "map")) return map(a, v, args);
    jinja_fail(a, "the filter %.*s is not known here", name.n < 40 ? (int)name.n : 40, name.s);
    return undefined;
}

bool jinja_test(struct jinja_arena *a, struct jstr name, struct value v, const struct args *args)
{
    static const struct {
        const char *name;
        unsigned kinds;
    } of_kind[] = {
        {"undefined", 1u << V_UNDEFINED},
        {"defined", ~(1u << V_UNDEFINED)},
        {"none", 1u << V_NONE},
        {"boolean", 1u << V_BOOL},
        {"integer", 1u << V_NUMBER},
        {"number", 1u << V_NUMBER | 1u << V_BOOL},
        {"string", 1u << V_STRING},
        {"mapping", 1u << V_DICT},
        {"sequence", 1u << V_STRING | 1u << V_LIST | 1u << V_DICT},
        {"iterable", 1u << V_STRING | 1u << V_LIST | 1u << V_DICT | 1u << V_UNDEFINED},
        {"callable", 1u << V_MACRO},
    };
    for (size_t i = 0; i < sizeof of_kind / sizeof *of_kind; i++)
        if (jstr_is(name, of_kind[i].name)) return of_kind[i].kinds >> v.kind & 1;
    if (jstr_is(name, "true")) return v.kind == V_BOOL && v.of.number;
    if (jstr_is(name, "false")) return v.kind == V_BOOL && !v.of.number;
    if (jstr_is(name, "odd") && is_number(v)) return v.of.number % 2 != 0;
    if (jstr_is(name, "even") && is_number(v)) return v.of.number % 2 == 0;
    bool equal = jstr_is(name, "equalto") || jstr_is(name, "eq") || jstr_is(name, "==");
    if (equal && args->n == 1) return value_equal(v, args->value[0]);
    if (jstr_is(name, "in") && args->n == 1) return contains(a, args->value[0], v);
    jinja_fail(a, "the test %.*s is not known here", name.n < 40 ? (int)name.n : 40, name.s);
    return false;
}
