#include "coordinator/text/jinja.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/text/jinja_parts.h"

enum { MOST_BYTES = 64 << 20 };

/* ---- output ---- */

static void put(struct jinja *j, struct jstr s)
{
    struct builder *b = j->out;
    if (jinja_quiet(j) || s.n == 0) return;
    if (b->n + s.n > b->room) {
        size_t room = 2 * (b->n + s.n) + 256;
        char *bytes = jinja_alloc(&j->a, room);
        uint8_t *message = jinja_alloc(&j->a, room);
        if (!bytes || !message) return;
        if (b->n) memcpy(bytes, b->bytes, b->n);
        if (b->n) memcpy(message, b->message, b->n);
        *b = (struct builder){bytes, message, b->n, room};
    }
    memcpy(b->bytes + b->n, s.s, s.n);
    if (s.message)
        memcpy(b->message + b->n, s.message, s.n);
    else
        memset(b->message + b->n, 0, s.n);
    b->n += s.n;
}

/* ---- statements ---- */

/* The statement that comes next, if it is this one; then it is passed. */
static bool take_block(struct jinja *j, const char *name)
{
    if (!jinja_at(j, TOK_OPEN, "{%") || j->tokens[j->at + 1].kind != TOK_NAME ||
        !jstr_is(j->tokens[j->at + 1].text, name))
        return false;
    j->at += 2;
    return true;
}

static void end_block(struct jinja *j, const char *name)
{
    if (!take_block(j, name)) jinja_fail(&j->a, "%s is missing", name);
    if (!j->a.failed) jinja_expect(j, TOK_CLOSE, "%}");
}

static void run_unless(struct jinja *j, bool skipped)
{
    j->skips += skipped;
    jinja_run(j);
    j->skips -= skipped;
}

static void run_if(struct jinja *j)
{
    bool done = false;
    do {
        j->skips += done;
        bool on = value_true(jinja_expression(j)) && !jinja_quiet(j);
        j->skips -= done;
        jinja_expect(j, TOK_CLOSE, "%}");
        run_unless(j, !on);
        done = done || on;
    } while (!j->a.failed && take_block(j, "elif"));
    if (!j->a.failed && take_block(j, "else")) {
        jinja_expect(j, TOK_CLOSE, "%}");
        run_unless(j, done);
    }
    end_block(j, "endif");
}

struct loop {
    struct jstr target[4];
    int n_targets;
    size_t filter, body; /* where they begin; filter 0: there is none */
    struct list items;
};

static void bind_targets(struct jinja *j, const struct loop *l, struct value item)
{
    if (l->n_targets > 1 && (item.kind != V_LIST || item.of.list->n != (size_t)l->n_targets))
        jinja_fail(&j->a, "an item is not %d values", l->n_targets);
    for (int i = 0; i < l->n_targets && !j->a.failed; i++)
        jinja_set(j, l->target[i], l->n_targets > 1 ? item.of.list->items[i] : item);
}

static void set_loop(struct jinja *j, const struct loop *l, size_t i)
{
    struct value loop = value_dict(&j->a);
    int64_t n = (int64_t)l->items.n, at = (int64_t)i;
    const struct {
        const char *name;
        struct value value;
    } parts[] = {
        {"index", value_number(at + 1)},
        {"index0", value_number(at)},
        {"revindex", value_number(n - at)},
        {"revindex0", value_number(n - at - 1)},
        {"length", value_number(n)},
        {"first", value_bool(at == 0)},
        {"last", value_bool(at == n - 1)},
        {"previtem", at > 0 ? l->items.items[i - 1] : undefined},
        {"nextitem", at < n - 1 ? l->items.items[i + 1] : undefined},
    };
    for (size_t k = 0; k < sizeof parts / sizeof *parts && !j->a.failed; k++)
        dict_set(&j->a, loop.of.dict, value_str(jstr_of(parts[k].name)), parts[k].value);
    if (!j->a.failed) jinja_set(j, jstr_of("loop"), loop);
}

static void run_items(struct jinja *j, const struct loop *l)
{
    for (size_t i = 0; i < l->items.n && !jinja_quiet(j); i++) {
        size_t before = jinja_open_scope(j);
        set_loop(j, l, i);
        bind_targets(j, l, l->items.items[i]);
        j->at = l->body;
        jinja_run(j);
        bool broken = j->flow == FLOW_BREAK;
        j->flow = FLOW_ON;
        jinja_close_scope(j, before);
        if (broken) break;
    }
}

static struct list filter_items(struct jinja *j, const struct loop *l, const struct list *all)
{
    struct list kept = {0};
    size_t behind = j->at;
    for (size_t i = 0; i < all->n && !jinja_quiet(j); i++) {
        size_t before = jinja_open_scope(j);
        bind_targets(j, l, all->items[i]);
        j->at = l->filter;
        if (value_true(jinja_expression(j))) list_add(&j->a, &kept, all->items[i]);
        jinja_close_scope(j, before);
    }
    if (!j->a.failed) j->at = behind;
    return kept;
}

static void run_for(struct jinja *j)
{
    struct loop l = {0};
    do {
        if (l.n_targets == 4) jinja_fail(&j->a, "a loop over more than 4 names");
        if (j->a.failed) return;
        l.target[l.n_targets++] = jinja_take_name(j);
    } while (jinja_take(j, TOK_SIGN, ","));
    jinja_expect(j, TOK_NAME, "in");
    if (j->a.failed) return;
    struct value over = jinja_either(j, "or");
    const struct list *all = jinja_quiet(j) ? NULL : value_items(&j->a, over);
    if (jinja_take(j, TOK_NAME, "if")) {
        l.filter = j->at;
        j->skips++;
        jinja_expression(j);
        j->skips--;
    }
    jinja_expect(j, TOK_CLOSE, "%}");
    l.body = j->at;
    if (all) l.items = l.filter ? filter_items(j, &l, all) : *all;
    if (l.items.n > 0 && !jinja_quiet(j))
        run_items(j, &l);
    else
        run_unless(j, true);
    if (!j->a.failed && take_block(j, "else")) {
        jinja_expect(j, TOK_CLOSE, "%}");
        run_unless(j, l.items.n > 0);
    }
    end_block(j, "endfor");
}

/* Runs into a text of its own. */
static struct value captured(struct jinja *j)
{
    struct builder text = {0}, *out = j->out;
    j->out = &text;
    jinja_run(j);
    j->out = out;
    return value_str((struct jstr){text.bytes, text.message, text.n});
}

static void run_set(struct jinja *j)
{
    struct jstr target = jinja_take_name(j), part = jstr_of("");
    struct value v;
    if (jinja_take(j, TOK_SIGN, ".")) part = jinja_take_name(j);
    if (jinja_take(j, TOK_SIGN, "=")) {
        v = jinja_expression(j);
        jinja_expect(j, TOK_CLOSE, "%}");
    } else {
        jinja_expect(j, TOK_CLOSE, "%}");
        v = captured(j);
        end_block(j, "endset");
    }
    if (jinja_quiet(j)) return;
    if (part.n == 0) {
        jinja_set(j, target, v);
        return;
    }
    struct value space = jinja_lookup(j, target);
    if (space.kind != V_DICT) jinja_fail(&j->a, "a part is set of what is no namespace");
    if (!j->a.failed) dict_set(&j->a, space.of.dict, value_str(part), v);
}

static void run_macro(struct jinja *j)
{
    struct jstr called = jinja_take_name(j);
    jinja_expect(j, TOK_SIGN, "(");
    struct value macro = {V_MACRO, {.number = (int64_t)j->at}};
    if (!jinja_quiet(j)) jinja_set(j, called, macro);
    static const struct args none = {0};
    j->skips++;
    jinja_bind(j, &none);
    jinja_run(j);
    j->skips--;
    end_block(j, "endmacro");
}

static void run_statement(struct jinja *j)
{
    struct jstr word = jinja_take_name(j);
    if (jstr_is(word, "if")) {
        run_if(j);
    } else if (jstr_is(word, "for")) {
        run_for(j);
    } else if (jstr_is(word, "set")) {
        run_set(j);
    } else if (jstr_is(word, "macro")) {
        run_macro(j);
    } else if (jstr_is(word, "break") || jstr_is(word, "continue")) {
        if (!jinja_quiet(j)) j->flow = jstr_is(word, "break") ? FLOW_BREAK : FLOW_CONTINUE;
        jinja_expect(j, TOK_CLOSE, "%}");
    } else if (jstr_is(word, "generation")) { /* marks what an answer is; it prints nothing */
        jinja_expect(j, TOK_CLOSE, "%}");
        jinja_run(j);
        end_block(j, "endgeneration");
    } else if (jinja_quiet(j) && (jstr_is(word, "filter") || jstr_is(word, "call"))) {
        while (jinja_next(j)->kind != TOK_CLOSE && jinja_next(j)->kind != TOK_END) j->at++;
        jinja_expect(j, TOK_CLOSE, "%}");
        jinja_run(j);
        end_block(j, jstr_is(word, "filter") ? "endfilter" : "endcall");
    } else {
        jinja_fail(&j->a, "the statement %.*s is not known here", word.n < 40 ? (int)word.n : 40, word.s);
    }
}

/* "elif", "else", "end..." end what stands before them. */
static bool at_end(const struct jinja *j)
{
    const struct token *t = jinja_next(j), *word = t + 1;
    if (t->kind == TOK_END) return true;
    if (!jstr_is(t->text, "{%") || t->kind != TOK_OPEN || word->kind != TOK_NAME) return false;
    return jstr_is(word->text, "elif") || jstr_is(word->text, "else") ||
           (word->text.n > 3 && memcmp(word->text.s, "end", 3) == 0);
}

/* Up to the statement that ends it, or the end of all. */
void jinja_run(struct jinja *j)
{
    if (++j->depth > MOST_DEPTH) jinja_fail(&j->a, "it is nested too deeply");
    while (!j->a.failed && !at_end(j)) {
        if (++j->steps > MOST_STEPS) jinja_fail(&j->a, "it takes too long");
        const struct token *t = jinja_next(j);
        j->at++;
        if (t->kind == TOK_TEXT) {
            put(j, t->text);
        } else if (jstr_is(t->text, "{{")) {
            struct value v = jinja_expression(j);
            if (!jinja_quiet(j)) put(j, value_text(&j->a, v));
            jinja_expect(j, TOK_CLOSE, "}}");
        } else {
            run_statement(j);
        }
    }
    j->depth--;
}

/* ---- the whole ---- */

static struct value messages(struct jinja *j)
{
    struct value list = value_list(&j->a);
    for (size_t i = 0; i < j->chat->n_messages && !j->a.failed; i++) {
        const struct jinja_message *m = &j->chat->messages[i];
        struct value one = value_dict(&j->a);
        uint8_t *mine = jinja_alloc(&j->a, m->content.n + 1);
        if (!mine) break;
        memset(mine, 1, m->content.n);
        dict_set(&j->a, one.of.dict, value_str(jstr_of("role")), value_str(jstr_of(m->role)));
        dict_set(&j->a, one.of.dict, value_str(jstr_of("content")),
                 value_str((struct jstr){m->content.s, mine, m->content.n}));
        list_add(&j->a, list.of.list, one);
    }
    return list;
}

/* What transformers gives a template. */
static void set_variables(struct jinja *j)
{
    const struct jinja_chat *c = j->chat;
    const struct value none = {V_NONE, {0}}, thinking = value_bool(c->thinking > 0);
    jinja_set(j, jstr_of("messages"), messages(j));
    jinja_set(j, jstr_of("add_generation_prompt"), value_bool(true));
    jinja_set(j, jstr_of("tools"), none);
    jinja_set(j, jstr_of("documents"), none);
    if (c->bos.n) jinja_set(j, jstr_of("bos_token"), value_str((struct jstr){.s = c->bos.s, .n = c->bos.n}));
    if (c->eos.n) jinja_set(j, jstr_of("eos_token"), value_str((struct jstr){.s = c->eos.s, .n = c->eos.n}));
    if (c->thinking < 0) return;
    jinja_set(j, jstr_of("enable_thinking"), thinking);
    jinja_set(j, jstr_of("thinking"), thinking); /* Granite's name for it, and DeepSeek's */
}

static int copy_out(const struct builder *b, struct jinja_text *out, struct err *err)
{
    struct jinja_text text = {malloc(b->n + 1), malloc(b->n + 1), b->n};
    if (!text.bytes || !text.message) {
        jinja_text_free(&text);
        return err_set(err, E_FAIL, "out of memory for a text of %zu bytes", b->n);
    }
    if (b->n) memcpy(text.bytes, b->bytes, b->n);
    if (b->n) memcpy(text.message, b->message, b->n);
    text.bytes[b->n] = 0;
    *out = text;
    return OK;
}

int jinja_render(struct gguf_str source, const struct jinja_chat *chat, struct jinja_text *out, struct err *err)
{
    struct builder text = {0};
    struct jinja j = {.a = {.err = err, .n_most = MOST_BYTES + 16 * source.n}, .chat = chat, .out = &text};
    for (size_t i = 0; i < chat->n_messages; i++) j.a.n_most += 32 * chat->messages[i].content.n;
    j.tokens = jinja_lex(&j.a, source);
    if (j.tokens) set_variables(&j);
    if (!j.a.failed) jinja_run(&j);
    if (!j.a.failed && jinja_next(&j)->kind != TOK_END) jinja_fail(&j.a, "it ends what was not begun");
    int rc = j.a.failed ? E_MODEL : copy_out(&text, out, err);
    jinja_arena_free(&j.a);
    return rc;
}

void jinja_text_free(struct jinja_text *text)
{
    if (!text) return;
    free(text->bytes);
    free(text->message);
    *text = (struct jinja_text){0};
}
