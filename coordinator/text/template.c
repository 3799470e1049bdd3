#include "coordinator/text/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- templates by name ---- */

#define BOS "{{ bos_token }}"
#define AS_IT_IS "m.content"
#define TRIMMED "m.content|trim"
/* Each role's turn is written in the same way. */
#define SAME(open, behind_role, content, close)                                                                        \
    "{% for m in messages %}{{ '" open "' + m.role + '" behind_role "' + " content " + '" close "' }}{% endfor %}"     \
    "{{ '" open "assistant" behind_role "' }}"
#define BY_ROLE(system, user, assistant, opening)                                                                      \
    "{% for m in messages %}{{ " system " if m.role == 'system' else " user " if m.role == 'user' else " assistant     \
    " }}{% endfor %}{{ " opening " }}"
/* There is no turn of the system: its message, between these, stands in the first one of the user. */
#define INSIDE(open, content, close)                                                                                   \
    "{% set m = messages[0] %}{% set s = " open " + " content " + " close " if m.role == 'system' else '' %}"
#define FIRST "(s if loop.index0 == 1 else '')"
#define MISTRAL(open, close)                                                                                           \
    BOS INSIDE("''", AS_IT_IS, "'\\n\\n'")                                                                             \
        BY_ROLE("''", "'" open "' + " FIRST " + m.content + '" close "'", "m.content + '</s>'", "''")
#define MARK(word) "'<\xEF\xBD\x9C" word "\xEF\xBD\x9C>'" /* DeepSeek's */
#define END_OF_SENTENCE MARK("end\xE2\x96\x81of\xE2\x96\x81sentence")

/* clang-format off: a form a row */
static const struct {
    const char *name, *source;
} named[] = {
    {"chatml", SAME("<|im_start|>", "\\n", AS_IT_IS, "<|im_end|>\\n")},
    {"llama3", BOS SAME("<|start_header_id|>", "<|end_header_id|>\\n\\n", TRIMMED, "<|eot_id|>")},
    {"llama4", BOS SAME("<|header_start|>", "<|header_end|>\\n\\n", TRIMMED, "<|eot|>")},
    {"gemma", BOS INSIDE("''", TRIMMED, "'\\n\\n'") BY_ROLE(
                  "''", "'<start_of_turn>user\\n' + " FIRST " + m.content|trim + '<end_of_turn>\\n'",
                  "'<start_of_turn>model\\n' + m.content|trim + '<end_of_turn>\\n'", "'<start_of_turn>model\\n'")},
    {"phi3", BOS SAME("<|", "|>\\n", AS_IT_IS, "<|end|>\\n")},
    {"phi4", SAME("<|im_start|>", "<|im_sep|>", AS_IT_IS, "<|im_end|>")},
    {"phi4-mini", SAME("<|", "|>", AS_IT_IS, "<|end|>")},
    {"granite", SAME("<|start_of_role|>", "<|end_of_role|>", AS_IT_IS, "<|end_of_text|>\\n")},
    {"zephyr", BOS SAME("<|", "|>\\n", AS_IT_IS, "</s>\\n")},
    {"llama2", INSIDE("'<<SYS>>\\n'", TRIMMED, "'\\n<</SYS>>\\n\\n'")
                   BY_ROLE("''", "bos_token|default('') + '[INST] ' + (" FIRST " + m.content)|trim + ' [/INST]'",
                           "' ' + m.content|trim + ' </s>'", "''")},
    {"mistral-v1", MISTRAL(" [INST] ", " [/INST]")},
    {"mistral", BOS BY_ROLE("raise_exception('no system message')", "'[INST] ' + m.content + ' [/INST]'",
                            "m.content + '</s>'", "''")},
    {"mistral-v3", MISTRAL("[INST] ", "[/INST]")},
    {"mistral-tekken", MISTRAL("[INST]", "[/INST]")},
    {"deepseek", BOS BY_ROLE("m.content + '\\n\\n'", "'User: ' + m.content + '\\n\\n'",
                             "'Assistant: ' + m.content + " END_OF_SENTENCE, "'Assistant:'")},
    {"deepseek-r1",
     BOS BY_ROLE("m.content", MARK("User") " + m.content", MARK("Assistant") " + m.content + " END_OF_SENTENCE,
                 MARK("Assistant") " + '<think>\\n'")},
    {"deepseek-coder", BOS BY_ROLE("m.content", "'### Instruction:\\n' + m.content + '\\n'",
                                   "'### Response:\\n' + m.content + '\\n<|EOT|>\\n'", "'### Response:\\n'")},
};
/* clang-format on */
enum { N_NAMED = sizeof named / sizeof *named };

/* ---- running one ---- */

static struct gguf_str str_of(const char *s)
{
    return (struct gguf_str){s, strlen(s)};
}

/* The first n bytes go. */
static void drop(struct jinja_text *text, size_t n)
{
    text->n -= n;
    memmove(text->bytes, text->bytes + n, text->n + 1);
    memmove(text->message, text->message + n, text->n);
}

static bool begins(const struct jinja_text *text, struct gguf_str word)
{
    return word.n > 0 && text->n >= word.n && memcmp(text->bytes, word.s, word.n) == 0;
}

/* Where a message's text stands in the whole; NULL: nowhere, or it is not a message's there. */
static const char *find_message(const struct jinja_text *text, const char *message)
{
    size_t n = strlen(message);
    const char *at = text->bytes ? memmem(text->bytes, text->n, message, n) : NULL;
    return at && memchr(text->message + (at - text->bytes), 0, n) == NULL ? at : NULL;
}

/* ---- what small chats show ---- */

#define USER "first-question" /* a word that no template has, and that none changes */
#define ANSWER "first-answer\x01"
#define NEXT "next-question"
#define SYSTEM "system-message"

enum small_chat { ONE, ONE_SYSTEM, TWO, TWO_SYSTEM };

static int run_small(const struct template *t, enum small_chat chat, int thinking, struct jinja_text *out,
                     struct err *err)
{
    const struct jinja_message all[] = {
        {"system", str_of(SYSTEM)}, {"user", str_of(USER)}, {"assistant", str_of(ANSWER)}, {"user", str_of(NEXT)}};
    bool system = chat == ONE_SYSTEM || chat == TWO_SYSTEM;
    size_t n = chat == ONE || chat == ONE_SYSTEM ? 1 : 3;
    jinja_text_free(out);
    const struct jinja_chat small = {all + !system, n + system, t->bos, t->eos, thinking, t->now};
    int rc = jinja_render(t->source, &small, out, err);
    if (rc == OK && (!find_message(out, n == 1 ? USER : NEXT) || (system && !find_message(out, SYSTEM))))
        return err_set(err, E_MODEL, "it leaves a message out");
    return rc;
}

/* The end of an answer is a token: EOS, or what is written as one. */
static void find_end(struct template *t, const char *behind, size_t n)
{
    size_t blanks = strspn(behind, " \n"), n_end = 0;
    const char *s = behind + (blanks < n ? blanks : n);
    n -= (size_t)(s - behind);
    if (t->eos.n && n >= t->eos.n && memcmp(s, t->eos.s, t->eos.n) == 0) n_end = t->eos.n;
    const char *close = n && (*s == '<' || *s == '[') ? memchr(s, *s == '<' ? '>' : ']', n) : NULL;
    if (!n_end && close) n_end = (size_t)(close - s) + 1;
    if (n_end < sizeof t->end) snprintf(t->end, sizeof t->end, "%.*s", (int)n_end, s);
}

/* The default system message is what stands, where none is given, in its place. */
static void find_system(struct template *t, const struct jinja_text *given, const struct jinja_text *without)
{
    const char *message = find_message(given, SYSTEM), *user = find_message(given, USER),
               *own_user = find_message(without, USER), *behind = message + strlen(SYSTEM);
    if (!message || !user || !own_user || behind > user) return;
    size_t before = (size_t)(message - given->bytes), between = (size_t)(user - behind);
    size_t n = (size_t)(own_user - without->bytes);
    if (n <= before + between || memcmp(given->bytes, without->bytes, before) != 0 ||
        memcmp(behind, own_user - between, between) != 0)
        return;
    n -= before + between;
    snprintf(t->system, sizeof t->system, "%.*s", n < sizeof t->system ? (int)n : (int)sizeof t->system - 1,
             without->bytes + before);
}

static bool same_text(const struct jinja_text *a, const struct jinja_text *b)
{
    return a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0;
}

/* The named one that writes the same. */
static const char *find_name(const struct template *t)
{
    struct jinja_text own = {0}, other = {0};
    struct err ignored;
    enum small_chat chat = t->no_system ? TWO : TWO_SYSTEM;
    const char *name = "the file's own";
    bool known = !t->one_turn && run_small(t, chat, -1, &own, &ignored) == OK;
    for (int i = 0; known && i < N_NAMED; i++) {
        struct template n = {.source = str_of(named[i].source), .bos = t->bos, .eos = t->eos};
        if (run_small(&n, chat, -1, &other, &ignored) != OK) continue;
        if (begins(&own, t->bos) != begins(&other, t->bos)) drop(begins(&own, t->bos) ? &own : &other, t->bos.n);
        if (same_text(&own, &other)) name = named[i].name, known = false;
    }
    jinja_text_free(&own);
    jinja_text_free(&other);
    return name;
}

/* All but source, bos, eos, now, thinking. */
static int look_at(struct template *t, struct err *err)
{
    struct jinja_text one = {0}, system = {0}, two = {0}, thinking = {0}, not_thinking = {0};
    struct err ignored;
    int rc = run_small(t, ONE, -1, &one, err);
    if (rc == OK) {
        t->no_system = run_small(t, ONE_SYSTEM, -1, &system, &ignored) != OK;
        t->one_turn = run_small(t, TWO, -1, &two, &ignored) != OK || !find_message(&two, ANSWER);
        t->can_think = run_small(t, ONE, 0, &not_thinking, &ignored) == OK &&
                       run_small(t, ONE, 1, &thinking, &ignored) == OK && !same_text(&thinking, &not_thinking);
        const char *behind = t->one_turn ? "" : find_message(&two, ANSWER) + strlen(ANSWER);
        find_end(t, behind, strlen(behind));
        if (!t->no_system) find_system(t, &system, &one);
        t->name = find_name(t);
    }
    jinja_text_free(&one);
    jinja_text_free(&system);
    jinja_text_free(&two);
    jinja_text_free(&thinking);
    jinja_text_free(&not_thinking);
    return rc;
}

/* ---- finding ---- */

/* The text of the token whose id is a key's value; empty: there is none. */
static struct gguf_str token_of(const struct gguf *g, const char *key)
{
    const struct gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    struct gguf_str text = {"", 0};
    int64_t id;
    if (!tokens || tokens->type != GGUF_ARR || tokens->item_type != GGUF_STR || !gguf_get_int(g, key, &id) || id < 0)
        return text;
    const uint8_t *cursor = tokens->data;
    for (int64_t i = 0; i <= id; i++)
        if ((uint64_t)i >= tokens->n_items || !gguf_next_str(g, &cursor, &text)) return (struct gguf_str){"", 0};
    return text;
}

static void read_tokens(struct template *t, const struct gguf *g)
{
    t->bos = token_of(g, "tokenizer.ggml.bos_token_id");
    t->eos = token_of(g, "tokenizer.ggml.eos_token_id");
}

enum template_found template_find(struct template *t, const struct gguf *g, struct err *why)
{
    struct template found = {.thinking = -1, .now = {.tm_mday = 1, .tm_year = 70}};
    struct err ignored;
    if (!gguf_get_str(g, "tokenizer.chat_template", &found.source) || found.source.n == 0) return TEMPLATE_NONE;
    read_tokens(&found, g);
    if (look_at(&found, why ? why : &ignored) != OK) return TEMPLATE_UNKNOWN;
    *t = found;
    return TEMPLATE_OK;
}

int template_named(struct template *t, const char *name, struct err *err)
{
    char all[256] = "";
    for (int i = 0; i < N_NAMED; i++) {
        if (strcmp(named[i].name, name) == 0) {
            *t = (struct template){.thinking = -1, .source = str_of(named[i].source)};
            return look_at(t, err);
        }
        snprintf(all + strlen(all), sizeof all - strlen(all), i > 0 ? ", %s" : "%s", named[i].name);
    }
    return err_set(err, E_USAGE, "no chat template is called %.40s; there are %s", name, all);
}

int template_choose(struct template *t, const struct gguf *g, const struct template_wants *wants,
                    enum template_found *found, struct err *err)
{
    int rc = OK;
    *found = TEMPLATE_OK;
    if (wants->name)
        rc = template_named(t, wants->name, err);
    else
        *found = template_find(t, g, err);
    if (rc != OK || *found != TEMPLATE_OK) return rc;
    if (t->no_system && wants->system && *wants->system)
        return err_set(err, E_USAGE, "the chat template (%s) has no place for --system", t->name);
    if (wants->think >= 0 && !t->can_think)
        return err_set(err, E_USAGE, "the chat template (%s) has no thinking that --think could switch", t->name);
    read_tokens(t, g);
    t->thinking = wants->think;
    localtime_r(&wants->now, &t->now);
    return OK;
}

/* ---- rendering ---- */

/* The message to give; NULL: none. An empty one is needed only where the template would put its own in its place. */
static const char *system_message(const struct template *t, const char *system)
{
    bool none = t->no_system || !system || (!*system && !*t->system);
    return none ? NULL : system;
}

void template_set_bos(struct template *t, struct gguf_str bos, bool added)
{
    if (bos.n) t->bos = bos;
    t->adds_bos = added;
}

/* It ran over the small chats, so these messages are what it does not take. */
static int refuses(const struct template *t, int rc, struct err *err)
{
    err_wrap(err, "the chat template (%s)", t->name);
    return err->code = rc == E_MODEL ? E_USAGE : rc;
}

int template_render(const struct template *t, const char *system, struct gguf_str user, struct jinja_text *out,
                    struct err *err)
{
    const struct jinja_message message = {"user", user};
    return template_render_chat(t, &(struct template_chat){system, &message, 1}, out, err);
}

int template_render_chat(const struct template *t, const struct template_chat *given, struct jinja_text *out,
                         struct err *err)
{
    size_t n_messages = given->n;
    bool own = !strcmp(given->messages[0].role, "system");
    if (own && t->no_system)
        return err_set(err, E_USAGE, "the chat template %s has no place for a system message", t->name);
    if (n_messages > 1 + (size_t)own && t->one_turn)
        return err_set(err, E_USAGE, "the chat template %s takes one message alone", t->name);
    const char *system = own ? NULL : system_message(t, given->system);
    struct jinja_message *all = calloc(n_messages + 1, sizeof *all);
    if (!all) return err_set(err, E_FAIL, "no memory for %zu messages", n_messages);
    all[0] = (struct jinja_message){"system", str_of(system ? system : "")};
    memcpy(all + 1, given->messages, n_messages * sizeof *all);
    const struct jinja_chat chat = {all + !system, n_messages + (system != NULL), t->bos, t->eos, t->thinking, t->now};
    int rc = jinja_render(t->source, &chat, out, err);
    free(all);
    if (rc != OK) return refuses(t, rc, err);
    if (t->adds_bos && begins(out, t->bos)) drop(out, t->bos.n);
    return OK;
}

/* A chat of two turns is run, and what stands behind the answer in it is what follows any. */
int template_next(const struct template *t, const struct template_turn *turn, struct jinja_text *out, struct err *err)
{
    struct jinja_text two = {0};
    const char *system = system_message(t, turn->system);
    const struct jinja_message messages[] = {{"system", str_of(system ? system : "")},
                                             {"user", str_of(USER)},
                                             {"assistant", str_of(ANSWER)},
                                             {"user", turn->user}};
    const struct jinja_chat chat = {messages + !system, system ? 4 : 3, t->bos, t->eos, t->thinking, t->now};
    int rc = jinja_render(t->source, &chat, &two, err);
    if (rc != OK) return refuses(t, rc, err);
    const char *answer = find_message(&two, ANSWER);
    if (!answer) {
        jinja_text_free(&two);
        return err_set(err, E_MODEL, "the chat template (%s) has no place for a second turn", t->name);
    }
    drop(&two, (size_t)(answer - two.bytes) + strlen(ANSWER));
    const char *end = turn->ended && *t->end ? strstr(two.bytes, t->end) : NULL;
    if (end) drop(&two, (size_t)(end - two.bytes) + strlen(t->end));
    *out = two;
    return OK;
}
