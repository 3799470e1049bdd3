#include "coordinator/cli/prompt_ids.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A greater context is only worth a try where the model has one. */
int prompt_check_length(const struct prompt_encoder *e, size_t n_ids, struct err *err)
{
    int most = e->n_ctx, asked = e->o->ctx;
    if (!n_ids) return err_set(err, E_USAGE, "the prompt is empty");
    if (n_ids < (size_t)asked && n_ids < (size_t)most) return OK;
    if (n_ids >= (size_t)most)
        return err_set(err, E_USAGE,
                       "the prompt has %zu tokens, the model's context %d, one of them for the answer: shorten it",
                       n_ids, most);
    return err_set(
        err, E_USAGE,
        "the prompt has %zu tokens, the context %d, one of them for the answer: shorten it, or try --ctx %zu", n_ids,
        asked, n_ids + 1);
}

static int encode(const struct prompt_encoder *e, const struct tokenizer_text *in, int32_t **ids, int *n_ids,
                  struct err *err)
{
    size_t n = 0;
    int rc = tokenizer_encode(e->tokenizer, in, ids, &n, err);
    if (rc == OK) rc = prompt_check_length(e, n, err);
    *n_ids = (int)n;
    return rc;
}

/* By how much a prompt is too long is said where that is little. */
static size_t most_ids(const struct prompt_encoder *e)
{
    return 4 * (size_t)(e->o->ctx < e->n_ctx ? e->o->ctx : e->n_ctx);
}

/* Of a text that is far too long not a byte need be looked at. */
static int check_bytes(const struct prompt_encoder *e, size_t n_bytes, struct err *err)
{
    size_t least = tokenizer_least(e->tokenizer, n_bytes);
    if (least <= most_ids(e)) return OK;
    return err_set(err, E_USAGE, "the prompt has at least %zu tokens, the context %zu: shorten it", least,
                   most_ids(e) / 4);
}

static int encode_chat(const struct prompt_encoder *e, const struct jinja_message *messages, size_t n, int32_t **ids,
                       int *n_ids, struct err *err)
{
    struct jinja_text chat = {0};
    size_t n_bytes = 0;
    for (size_t i = 0; i < n; i++) n_bytes += messages[i].content.n;
    int rc = check_bytes(e, n_bytes, err);
    const struct template_chat given = {e->o->system, messages, n};
    if (rc == OK) rc = template_render_chat(&e->chat, &given, &chat, err);
    if (rc != OK) return rc;
    struct tokenizer_text in = {chat.bytes, chat.n, e->o->special ? NULL : chat.message, true, true, most_ids(e)};
    rc = encode(e, &in, ids, n_ids, err);
    jinja_text_free(&chat);
    return rc;
}

int prompt_encode_plain(const struct prompt_encoder *e, const char *text, size_t n, int32_t **ids, int *n_ids,
                        struct err *err)
{
    const struct tokenizer_text in = {text, n, NULL, true, true, most_ids(e)};
    if (!n) return err_set(err, E_USAGE, "the prompt is empty");
    int rc = check_bytes(e, n, err);
    return rc == OK ? encode(e, &in, ids, n_ids, err) : rc;
}

int prompt_encode_text(const struct prompt_encoder *e, const char *text, size_t n, int32_t **ids, int *n_ids,
                       struct err *err)
{
    if (!n || !e->has_chat) return prompt_encode_plain(e, text, n, ids, n_ids, err);
    return encode_chat(e, &(struct jinja_message){"user", {text, n}}, 1, ids, n_ids, err);
}

/* OpenAI's content: a string, or parts of text, which are joined and kept in the message. */
static int take_content(json_t *message, struct gguf_str *out, struct err *err)
{
    json_t *content = json_object_get(message, "content"), *part;
    size_t i, n = 0;
    char *joined = NULL;
    FILE *f = json_is_array(content) ? open_memstream(&joined, &n) : NULL;
    bool ok = json_is_array(content) ? f != NULL : json_is_string(content);
    json_array_foreach(content, i, part)
    {
        const json_t *text = json_object_get(part, "text");
        if (!json_is_string(text)) ok = false;
        if (ok) fwrite(json_string_value(text), 1, json_string_length(text), f);
    }
    if (f && fclose(f)) ok = false;
    if (f && ok) ok = json_object_set_new(message, "content", json_stringn(joined, n)) == 0;
    free(joined);
    if (!ok) return err_set(err, E_USAGE, "the content of a message must be text");
    content = json_object_get(message, "content");
    *out = (struct gguf_str){json_string_value(content), json_string_length(content)};
    return OK;
}

/* Whether roles may follow one another so is the template's to say. */
static int take_message(json_t *message, bool first, struct jinja_message *out, struct err *err)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    const char *role = json_string_value(json_object_get(message, "role"));
    if (role && !strcmp(role, "developer")) role = "system"; /* its newer name */
    for (int i = 0; i < 3; i++)
        if (role && !strcmp(role, roles[i])) out->role = roles[i];
    if (!out->role) return err_set(err, E_USAGE, "the role of a message must be system, user or assistant");
    if (!first && out->role == roles[0]) return err_set(err, E_USAGE, "a system message must be the first");
    return take_content(message, &out->content, err);
}

int prompt_encode_messages(const struct prompt_encoder *e, json_t *list, int32_t **ids, int *n_ids, struct err *err)
{
    size_t n = json_array_size(list), i;
    json_t *message;
    if (!n) return err_set(err, E_USAGE, "\"messages\" must be a list of messages");
    if (!e->has_chat)
        return err_set(err, E_USAGE, "\"messages\" need a chat template%s",
                       e->o->raw ? ", which --raw leaves out" : ": --template names one");
    struct jinja_message *messages = calloc(n, sizeof *messages);
    if (!messages) return err_set(err, E_FAIL, "no memory for %zu messages", n);
    int rc = OK;
    json_array_foreach(list, i, message)
    {
        if (rc == OK) rc = take_message(message, i == 0, &messages[i], err);
    }
    if (rc == OK && strcmp(messages[n - 1].role, "user") != 0)
        rc = err_set(err, E_USAGE, "the last message must be the user's");
    if (rc == OK) rc = encode_chat(e, messages, n, ids, n_ids, err);
    free(messages);
    return rc;
}

int prompt_encoder_init(struct prompt_encoder *e, const struct options *o, const struct gguf *big,
                        const struct tokenizer *t, int n_ctx, struct err *err)
{
    *e = (struct prompt_encoder){.o = o, .tokenizer = t, .n_ctx = n_ctx};
    if (o->raw) return OK;
    const struct template_wants wants = {o->chat_template, o->system, (int)o->think - 1, time(NULL)};
    enum template_found found;
    int rc = template_choose(&e->chat, big, &wants, &found, err);
    if (rc != OK) return rc;
    if (found == TEMPLATE_UNKNOWN) {
        char why[sizeof err->text];
        memcpy(why, err->text, sizeof why);
        return err_set(err, E_MODEL,
                       "%s: its chat template cannot be run here (%s): --template names another, --raw continues the "
                       "text as it is",
                       big->path, why);
    }
    e->has_chat = found == TEMPLATE_OK;
    template_set_bos(&e->chat, tokenizer_bos(t), tokenizer_adds_bos(t));
    bool homeless = !e->has_chat && o->system;
    return homeless ? err_set(err, E_USAGE, "%s has no chat template, so no place for --system", big->path) : OK;
}
