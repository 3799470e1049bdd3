#include "coordinator/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A way to write a chat. */
struct form {
    const char *name;
    const char *needs[4]; /* what a file's template has where it is this form; quotes of either kind are written ' */
    const char *lacks;
    const char *system[2]; /* around the system message; NULL: there is no place for one */
    bool system_in_user;   /* that is behind the opening of the first user turn */
    const char *user[2];   /* around the user's text; the second opens the answer */
    const char *end;       /* of an answer: the text of a token */
    const char *next;      /* between it and the next turn */
    bool trims;            /* blanks around a message are left out */
    bool bos_each_turn;
};

#define PHI3                                                                                                           \
    .system = {"<|system|>\n", "<|end|>\n"}, .user = {"<|user|>\n", "<|end|>\n<|assistant|>\n"}, .end = "<|end|>",     \
    .next = "\n"

enum { CHATML }; /* the first of forms: the one whose default system message is read */

static const struct form forms[] = {
    {.name = "chatml",
     .needs = {"<|im_end|>", "for message in messages", "<|im_start|>assistant"}, /* and has_turn */
     .system = {"<|im_start|>system\n", "<|im_end|>\n"},
     .user = {"<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"},
     .end = "<|im_end|>",
     .next = "\n"},
    {.name = "llama3",
     .needs = {"<|start_header_id|>", "<|eot_id|>"},
     .system = {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
     .user = {"<|start_header_id|>user<|end_header_id|>\n\n",
              "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
     .end = "<|eot_id|>",
     .next = "",
     .trims = true},
    {.name = "gemma",
     .needs = {"<start_of_turn>", "<end_of_turn>"},
     .system = {"", "\n\n"},
     .system_in_user = true,
     .user = {"<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n"},
     .end = "<end_of_turn>",
     .next = "\n",
     .trims = true},
    {.name = "phi3", .needs = {"<|user|>", "<|assistant|>", "<|end|>"}, PHI3},
    {.name = "phi3", .needs = {"'<|' + message['role'] + '|>'", "<|assistant|>", "<|end|>"}, PHI3},
    {.name = "zephyr",
     .needs = {"<|user|>\\n", "<|assistant|>", "eos_token"},
     .lacks = "<|end|>",
     .system = {"<|system|>\n", "</s>\n"},
     .user = {"<|user|>\n", "</s>\n<|assistant|>\n"},
     .end = "</s>",
     .next = "\n"},
    {.name = "llama2",
     .needs = {"bos_token + '[INST] ' + content", "<<SYS>>\\n", "\\n<</SYS>>\\n\\n", "' [/INST]'"},
     .system = {"<<SYS>>\n", "\n<</SYS>>\n\n"},
     .system_in_user = true,
     .user = {"[INST] ", " [/INST]"},
     .end = "</s>",
     .next = "",
     .trims = true,
     .bos_each_turn = true},
    {.name = "mistral-v1", /* ' [INST] hello [/INST]' */
     .needs = {"' [INST] '", "' [/INST]'"},
     .lacks = "<<SYS>>",
     .system = {"", "\n\n"},
     .system_in_user = true,
     .user = {" [INST] ", " [/INST]"},
     .end = "</s>",
     .next = ""},
    {.name = "mistral", /* '[INST] hello [/INST]' */
     .needs = {"'[INST] '", "' [/INST]'"},
     .lacks = "<<SYS>>",
     .user = {"[INST] ", " [/INST]"},
     .end = "</s>",
     .next = ""},
    {.name = "mistral-v3", /* '[INST] hello[/INST]' */
     .needs = {"'[INST] '", "'[/INST]'"},
     .lacks = "[SYSTEM_PROMPT]",
     .system = {"", "\n\n"},
     .system_in_user = true,
     .user = {"[INST] ", "[/INST]"},
     .end = "</s>",
     .next = ""},
    {.name = "mistral-tekken", /* '[INST]hello[/INST]' */
     .needs = {"'[INST]'", "'[/INST]'"},
     .lacks = "[SYSTEM_PROMPT]",
     .system = {"", "\n\n"},
     .system_in_user = true,
     .user = {"[INST]", "[/INST]"},
     .end = "</s>",
     .next = ""},
    {.name = "deepseek",
     .needs = {"'User: '", "'Assistant: '", "'Assistant:'"},
     .system = {"", "\n\n"},
     .user = {"User: ", "\n\nAssistant:"},
     .end = "<\xEF\xBD\x9C"
            "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
     .next = ""},
};
enum { N_FORMS = sizeof forms / sizeof *forms };

static const char marker[] = "<|im_start|>", marker_end[] = "<|im_end|>";

struct span { /* what is left to read of the template */
    const char *s, *end;
};

static bool take(struct span *in, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(in->end - in->s) < n || memcmp(in->s, word, n) != 0) return false;
    in->s += n;
    return true;
}

/* The next place right after `word`, at or after in->s. */
static bool find_after(struct span *in, const char *word)
{
    const char *at = memmem(in->s, (size_t)(in->end - in->s), word, strlen(word));
    if (!at) return false;
    in->s = at + strlen(word);
    return true;
}

static void skip_spaces(struct span *in)
{
    while (in->s < in->end && *in->s == ' ') in->s++;
}

/* The turn of ChatML: '<|im_start|>' + message['role'] ... or message.role, in either kind of quotes. */
static bool has_turn(struct gguf_str text)
{
    struct span in = {text.s, text.s + text.n};
    while (find_after(&in, marker)) {
        struct span rest = in;
        if (!take(&rest, "'") && !take(&rest, "\"")) continue;
        skip_spaces(&rest);
        if (!take(&rest, "+")) continue;
        skip_spaces(&rest);
        if (take(&rest, "message")) return true;
    }
    return false;
}

/* One character of a literal, unescaped where it is quoted; -1: the literal ends, or opens an expression. */
static int literal_char(struct span *in, char quote)
{
    if (in->s == in->end || (quote && *in->s == quote)) return -1;
    if (!quote && *in->s == '{') return -1;
    char c = *in->s++;
    if (!quote || c != '\\' || in->s == in->end) return (unsigned char)c;
    c = *in->s++;
    return c == 'n' ? '\n' : c == 't' ? '\t' : (unsigned char)c;
}

/* The text from in->s to <|im_end|>, if nothing but a literal stands between. False: it is too long for n_out. `n` is
 * -1 where it is no literal. */
static bool read_literal(struct span in, char quote, char *out, size_t n_out, int *n)
{
    *n = -1;
    for (size_t i = 0;; i++) {
        struct span end = in;
        if (take(&end, marker_end)) {
            out[i] = 0;
            *n = (int)i;
            return true;
        }
        int c = literal_char(&in, quote);
        if (c < 0) return true;
        if (i + 1 == n_out) return false;
        out[i] = (char)c;
    }
}

/* The default system message stands in the template as literal text, between the opening of a system turn and its end;
 * an opening that a message's content follows is passed over. */
static bool find_system(struct gguf_str text, char *out, size_t n_out)
{
    struct span in = {text.s, text.s + text.n};
    out[0] = 0;
    while (find_after(&in, "<|im_start|>system")) {
        const char *open = in.s - strlen("<|im_start|>system");
        char quote = open > text.s && (open[-1] == '\'' || open[-1] == '"') ? open[-1] : 0;
        struct span rest = in;
        int n;
        if (literal_char(&rest, quote) != '\n') continue;
        if (!read_literal(rest, quote, out, n_out, &n)) return false;
        if (n >= 0) return true;
    }
    out[0] = 0;
    return true;
}

/* Llama 3.1 and on put this before any system message; the date is the one that their template falls back to. */
static const char dated[] = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";

/* With one kind of quotes. NULL: out of memory. */
static char *one_kind_of_quotes(struct gguf_str text)
{
    char *out = strndup(text.s, text.n);
    for (char *c = out; c && *c; c++)
        if (*c == '"') *c = '\'';
    return out;
}

/* A line end inside a literal is written as two characters or stands as it is. */
static bool has_part(const char *text, const char *part)
{
    char plain[64];
    if (strstr(text, part)) return true;
    char *to = plain;
    for (const char *c = part; *c; c++) {
        bool line_end = c[0] == '\\' && c[1] == 'n';
        *to++ = line_end ? '\n' : *c;
        c += line_end;
    }
    *to = 0;
    return strstr(text, plain) != NULL;
}

static bool is_form(const struct form *f, const char *text)
{
    for (size_t i = 0; i < sizeof f->needs / sizeof *f->needs && f->needs[i]; i++)
        if (!has_part(text, f->needs[i])) return false;
    return !f->lacks || !has_part(text, f->lacks);
}

static struct template of_form(const struct form *f)
{
    return (struct template){.name = f->name, .end = f->end, .form = f};
}

/* By name, or as it takes any role. */
static bool takes_system(const char *text)
{
    if (has_part(text, "System role not supported")) return false;
    return has_part(text, "system") || has_part(text, "message['role'] +") || has_part(text, "message['role']+") ||
           has_part(text, "message.role +") || has_part(text, "message.role+");
}

/* What a form does not have, but a template near it may: a default message that find_system does not see, an answer that
 * begins with thoughts, a preface of another kind. */
static bool has_more(const struct template *t, const char *text)
{
    bool has_date = has_part(text, "Cutting Knowledge Date");
    return (!t->system[0] && has_part(text, "You are")) || has_part(text, "assistant\\n<think>") ||
           has_part(text, "'<think>\\n'") || (has_date && !has_part(text, "Today Date: "));
}

enum template_found template_find(struct template *t, const struct gguf *g)
{
    struct gguf_str text;
    if (!gguf_get_str(g, "tokenizer.chat_template", &text) || text.n == 0) return TEMPLATE_NONE;
    char *plain = one_kind_of_quotes(text);
    int i = 0;
    while (plain && i < N_FORMS && !is_form(&forms[i], plain)) i++;
    struct template found = {0};
    bool known = plain && i < N_FORMS && (i != CHATML || has_turn(text));
    if (known) found = of_form(&forms[i]);
    if (known && i == CHATML) known = find_system(text, found.system, sizeof found.system);
    if (known) {
        found.starts_with_bos = has_part(plain, "bos_token");
        found.no_system = !forms[i].system[0] || !takes_system(plain);
        if (has_part(plain, "Cutting Knowledge Date: December 2023")) found.preface = dated;
        known = !has_more(&found, plain);
    }
    free(plain);
    if (!known) return TEMPLATE_UNKNOWN;
    *t = found;
    return TEMPLATE_OK;
}

int template_named(struct template *t, const char *name, struct err *err)
{
    char all[256] = "";
    for (int i = 0; i < N_FORMS; i++) {
        if (strcmp(forms[i].name, name) == 0) {
            *t = of_form(&forms[i]);
            t->starts_with_bos = i != CHATML;
            t->no_system = !forms[i].system[0];
            return OK;
        }
        if (i > 0 && strcmp(forms[i].name, forms[i - 1].name) == 0) continue;
        snprintf(all + strlen(all), sizeof all - strlen(all), i > 0 ? ", %s" : "%s", forms[i].name);
    }
    return err_set(err, E_USAGE, "no chat template is called %.40s; there are %s", name, all);
}

int template_choose(struct template *t, const struct gguf *g, const char *name, const char *system,
                    enum template_found *found, struct err *err)
{
    int rc = OK;
    *found = TEMPLATE_OK;
    if (name)
        rc = template_named(t, name, err);
    else
        *found = template_find(t, g);
    if (rc == OK && *found == TEMPLATE_OK && t->no_system && system && *system)
        rc = err_set(err, E_USAGE, "the chat template %s has no place for --system", t->name);
    return rc;
}

/* ---- rendering ---- */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static const char *trimmed(const struct form *f, const char *s, size_t *n)
{
    if (!f->trims) return s;
    for (; *n > 0 && is_blank(*s); s++) --*n;
    while (*n > 0 && is_blank(s[*n - 1])) --*n;
    return s;
}

static void put_system(FILE *out, const struct template *t, const char *system)
{
    size_t n = strlen(system);
    system = trimmed(t->form, system, &n);
    if (n == 0 && !t->preface) return;
    fprintf(out, "%s%s", t->form->system[0], t->preface ? t->preface : "");
    fwrite(system, 1, n, out);
    fputs(t->form->system[1], out);
}

/* A whole turn of the user: before it a system message that stands outside, after its opening one that stands inside. */
static void put_user(FILE *out, const struct template *t, const char *system, const char *user, size_t n_user)
{
    const struct form *f = t->form;
    if (system && !f->system_in_user) put_system(out, t, system);
    fputs(f->user[0], out);
    if (system && f->system_in_user) put_system(out, t, system);
    user = trimmed(f, user, &n_user);
    fwrite(user, 1, n_user, out);
    fputs(f->user[1], out);
}

/* NULL where memory was out. */
static char *finish(FILE *out, char **text)
{
    bool failed = ferror(out);
    if (fclose(out) == 0 && !failed) return *text;
    free(*text);
    return NULL;
}

static void put_bos(FILE *out, const struct tokenizer *tokenizer)
{
    struct gguf_str bos = tokenizer_bos(tokenizer);
    fwrite(bos.s, 1, bos.n, out);
}

char *template_render(const struct template *t, const struct tokenizer *tokenizer, const char *system, const char *user,
                      size_t n_user, size_t *n_bytes)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, n_bytes);
    if (!out) return NULL;
    if (t->starts_with_bos && !tokenizer_adds_bos(tokenizer)) put_bos(out, tokenizer);
    if (!system) system = t->system;
    put_user(out, t, t->no_system ? NULL : system, user, n_user);
    return finish(out, &text);
}

char *template_next(const struct template *t, const struct tokenizer *tokenizer, bool ended, const char *user,
                    size_t n_user, size_t *n_bytes)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, n_bytes);
    if (!out) return NULL;
    fprintf(out, "%s%s", ended ? "" : t->end, t->form->next);
    if (t->form->bos_each_turn) put_bos(out, tokenizer);
    put_user(out, t, NULL, user, n_user);
    return finish(out, &text);
}
