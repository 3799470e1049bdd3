#include "coordinator/serve/choice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/text/json_text.h"
#include "coordinator/text/stop.h"
#include "proto/utf8.h"

static const double lp_least = -9999; /* JSON has no infinities; OpenAI's */

static bool append(struct choice *c, const char *bytes, size_t n)
{
    if (c->n_text + n > c->room) {
        size_t room = 2 * c->room + n + 64;
        char *more = realloc(c->text, room);
        if (!more) return false;
        c->text = more;
        c->room = room;
    }
    if (n) memcpy(c->text + c->n_text, bytes, n);
    c->n_text += n;
    return true;
}

bool choice_begin(struct choice *c, const struct ask_prompt *p)
{
    if (!append(c, p->text, p->n_text)) return false;
    c->n_echo = c->n_told_end = p->n_text;
    return true;
}

bool choice_take(struct choice *c)
{
    for (; c->n_taken < seq_n_generated(&c->seq); c->n_taken++) {
        struct gguf_str piece = tokenizer_piece(c->t, c->seq.ids[c->seq.n_prompt + c->n_taken], false);
        if (!append(c, piece.s, piece.n)) return false;
    }
    return true;
}

void choice_free(struct choice *c)
{
    free(c->text);
    seq_free(&c->seq);
}

/* How much of the text may be shown. */
static size_t shown_most(const struct choice *c)
{
    const char *text = c->text + c->n_echo;
    size_t n = c->n_text - c->n_echo;
    if (c->seq.end != SEQ_RUNNING) return c->n_echo + stop_cut(&c->seq, text, n);
    n -= stop_held(c->seq.request.settings.stops, text, n);
    return c->n_echo + utf8_complete(text, n);
}

bool choice_has_news(const struct choice *c)
{
    return shown_most(c) > c->n_shown;
}

/* ---- tokens ---- */

static double lp_of(float lp)
{
    return isfinite(lp) ? (double)lp : lp_least;
}

static struct gguf_str token_text(const struct choice *c, int32_t id)
{
    return tokenizer_piece(c->t, id, true);
}

static json_t *json_bytes(struct gguf_str s)
{
    json_t *list = json_array();
    int lost = 0;
    for (size_t i = 0; i < s.n; i++) lost |= json_array_append_new(list, json_integer((unsigned char)s.s[i]));
    return json_unless(lost, list);
}

static json_t *chat_token(const struct choice *c, int32_t id, float lp)
{
    struct gguf_str s = token_text(c, id);
    return json_pack("{so sf so si}", "token", json_text(s.s, s.n), "logprob", lp_of(lp), "bytes", json_bytes(s), "id",
                     (int)id);
}

static json_t *chat_top(const struct choice *c, int at)
{
    json_t *list = json_array();
    int lost = 0, n;
    const struct top *top = seq_top(&c->seq, at, &n);
    for (int i = 0; i < n; i++) lost |= json_array_append_new(list, chat_token(c, top[i].id, top[i].lp));
    return json_unless(lost, list);
}

static const char *origin_of(const struct choice *c, int at)
{
    static const char *const names[] = {
        [ORIGIN_BIG] = "big", [ORIGIN_DRAFT] = "draft", [ORIGIN_CORRECTION] = "correction"};
    return names[c->seq.origin[at]];
}

static int tell_chat(json_t *out, const struct choice *c, int at)
{
    json_t *token = chat_token(c, c->seq.ids[at], c->seq.lp[at]);
    int lost = json_object_set_new(token, "top_logprobs", chat_top(c, at));
    lost |= json_object_set_new(token, "origin", json_string(origin_of(c, at)));
    return lost | json_array_append_new(json_object_get(out, "content"), json_unless(lost, token));
}

static json_t *completion_top(const struct choice *c, int at)
{
    json_t *all = json_object();
    int lost = 0, n;
    const struct top *top = seq_top(&c->seq, at, &n);
    for (int i = 0; i < n; i++) {
        struct gguf_str s = token_text(c, top[i].id);
        json_t *text = json_text(s.s, s.n);
        lost |= json_object_set_new(all, text ? json_string_value(text) : "", json_real(lp_of(top[i].lp)));
        json_decref(text);
    }
    return json_unless(lost, all);
}

/* Characters, as clients count them. */
static int n_characters(const char *text, size_t n)
{
    int n_chars = 0;
    for (size_t i = 0; i < n; i++) n_chars += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n_chars;
}

static int tell_completion(json_t *out, const struct choice *c, int at)
{
    struct gguf_str s = token_text(c, c->seq.ids[at]);
    int lost = json_array_append_new(json_object_get(out, "tokens"), json_text(s.s, s.n));
    lost |= json_array_append_new(json_object_get(out, "token_logprobs"), json_real(lp_of(c->seq.lp[at])));
    lost |= json_array_append_new(json_object_get(out, "top_logprobs"), completion_top(c, at));
    lost |=
        json_array_append_new(json_object_get(out, "text_offset"), json_integer(n_characters(c->text, c->n_told_end)));
    lost |= json_array_append_new(json_object_get(out, "ids"), json_integer(c->seq.ids[at]));
    return lost | json_array_append_new(json_object_get(out, "origin"), json_string(origin_of(c, at)));
}

/* Of the tokens whose text is shown; at the end, of all. */
static json_t *piece_logprobs(struct choice *c)
{
    bool chat = c->ask->kind == ASK_CHAT, over = c->seq.end != SEQ_RUNNING;
    json_t *out = chat ? json_pack("{s[] sn}", "content", "refusal")
                       : json_pack("{s[] s[] s[] s[] s[] s[]}", "tokens", "token_logprobs", "top_logprobs",
                                   "text_offset", "ids", "origin");
    int lost = 0;
    for (; c->n_told < c->n_taken; c->n_told++) {
        int at = c->seq.n_prompt + c->n_told;
        size_t end = c->n_told_end + tokenizer_piece(c->t, c->seq.ids[at], false).n;
        if (end > c->n_shown && !over) break;
        lost |= chat ? tell_chat(out, c, at) : tell_completion(out, c, at);
        c->n_told_end = end;
    }
    return json_unless(lost, out);
}

/* ---- the piece ---- */

static json_t *finish_reason(const struct choice *c)
{
    switch (c->seq.end) {
    case SEQ_RUNNING: return json_null();
    case SEQ_LENGTH:
    case SEQ_CONTEXT: return json_string("length");
    default: return json_string("stop");
    }
}

json_t *choice_piece(struct choice *c)
{
    size_t from = c->n_shown, most = shown_most(c);
    if (most > from) c->n_shown = most;
    json_t *text = json_text(c->text + from, c->n_shown - from);
    json_t *logprobs = c->ask->logprobs ? piece_logprobs(c) : json_null();
    if (c->ask->kind == ASK_COMPLETIONS)
        return json_pack("{si so so so}", "index", c->index, "text", text, "logprobs", logprobs, "finish_reason",
                         finish_reason(c));
    if (c->ask->stream) {
        const char *role = c->has_role ? NULL : "assistant";
        c->has_role = true;
        return json_pack("{si s{ss* so} so so}", "index", c->index, "delta", "role", role, "content", text, "logprobs",
                         logprobs, "finish_reason", finish_reason(c));
    }
    return json_pack("{si s{ss so sn} so so}", "index", c->index, "message", "role", "assistant", "content", text,
                     "refusal", "logprobs", logprobs, "finish_reason", finish_reason(c));
}
