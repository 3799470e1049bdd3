#include "coordinator/text/ends.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/text/template.h"

static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                   "tokenizer.ggml.eom_token_id"};

#define WHALE_BAR "\xEF\xBD\x9C" /* DeepSeek's */
#define WHALE_SPACE "\xE2\x96\x81"

/* As llama.cpp has them (llama-vocab.cpp), and Llama 4's and Cohere's. What is written <|like this|> is nothing else
 * in a text; the others are words of some vocabularies (Gemma has </s>, of HTML), and count where they are control
 * tokens. */
static const char *const marks[] = {
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<|eom|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<|END_OF_TURN_TOKEN|>",
    ("<" WHALE_BAR "end" WHALE_SPACE "of" WHALE_SPACE "sentence" WHALE_BAR ">"),
};
static const char *const words[] = {"</s>",  "<eos>", "<end_of_turn>", "<turn|>",           "<EOT>",
                                    "[EOT]", "[EOS]", "_<EOT>",        "<end_of_utterance>"};
#define N(list) (sizeof(list) / sizeof *(list))

static int add(struct ends *e, int32_t id, struct err *err)
{
    size_t at = 0;
    while (at < e->n && e->ids[at] < id) at++;
    if (at < e->n && e->ids[at] == id) return OK;
    int32_t *ids = realloc(e->ids, (e->n + 1) * sizeof *ids);
    if (!ids) return err_set(err, E_FAIL, "out of memory for end ids");
    memmove(&ids[at + 1], &ids[at], (e->n - at) * sizeof *ids);
    ids[at] = id;
    e->ids = ids;
    e->n++;
    return OK;
}

static int add_checked(struct ends *e, const struct vocab *v, const char *key, int64_t id, struct err *err)
{
    if (id >= 0 && id < v->n) return add(e, (int32_t)id, err);
    return err_set(err, E_MODEL, "%s is %lld, the vocabulary ends at %d", key, (long long)id, v->n - 1);
}

static int add_key(struct ends *e, const struct vocab *v, const struct gguf *g, const char *key, struct err *err)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    int64_t id;
    if (!kv) return OK;
    bool list = kv->type == GGUF_ARR && kv->item_type != GGUF_STR && kv->item_type != GGUF_F32 &&
                kv->item_type != GGUF_F64 && kv->n_items > 0;
    if (!list) {
        int one = gguf_read_int(g, key, &id, err);
        return one == OK ? add_checked(e, v, key, id, err) : one;
    }
    int rc = OK;
    for (uint64_t i = 0; i < kv->n_items && rc == OK; i++) rc = add_checked(e, v, key, gguf_item_int(kv, i), err);
    return rc;
}

static bool is_there(const struct vocab *v, const char *text)
{
    return vocab_find(v, text, strlen(text)) >= 0;
}

int ends_add_text(struct ends *e, struct vocab *v, const char *text, struct err *err)
{
    int32_t id = *text ? vocab_find(v, text, strlen(text)) : -1;
    if (id < 0) return OK;
    int rc = vocab_make_control(v, id, err);
    return rc == OK ? add(e, id, err) : rc;
}

int ends_read(struct ends *e, struct vocab *v, const struct gguf *g, struct err *err)
{
    struct template chat;
    bool has_template = template_find(&chat, g, NULL) == TEMPLATE_OK;
    /* Of gpt-oss and Solar <|end|> ends a message, and the answer goes on. */
    bool goes_on = is_there(v, "<|return|>") || is_there(v, "<|flush|>");
    int32_t id;
    int rc = OK;
    for (size_t i = 0; i < N(keys) && rc == OK; i++) rc = add_key(e, v, g, keys[i], err);
    for (size_t i = 0; i < N(marks) && rc == OK; i++)
        if (!goes_on || strcmp(marks[i], "<|end|>") != 0) rc = ends_add_text(e, v, marks[i], err);
    for (size_t i = 0; i < N(words) && rc == OK; i++)
        if ((id = vocab_find(v, words[i], strlen(words[i]))) >= 0 && v->type[id] == TOKEN_CONTROL) rc = add(e, id, err);
    if (has_template && goes_on && strcmp(chat.end, "<|end|>") == 0) has_template = false;
    return rc == OK && has_template ? ends_add_text(e, v, chat.end, err) : rc;
}

void ends_free(struct ends *e)
{
    free(e->ids);
    *e = (struct ends){0};
}
