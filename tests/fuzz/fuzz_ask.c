/* fuzz_ask -- any bytes as the body of a request: refused with a status and words, or prompts and settings that a job
 * can take. The first byte chooses the path, and whether the server drafts of earlier text or by one of several plans.
 */
#include <stdlib.h>

#include "coordinator/serve/ask.h"
#include "proto/policy.h"
#include "tests/lib/toy_vocab.h"

static void require(bool holds)
{
    if (!holds) abort();
}

enum { CTX = 200, SERVERS = 2 };

static struct {
    bool open;
    struct toy toy;
    struct gguf g;
    struct tokenizer *t;
    struct options o[SERVERS];
    struct prompt_encoder encoder;
    struct stops stops;
} w;

static void set_up(void)
{
    static const struct toy_token extra[] = {{"<|im_start|>", 3}, {"<|im_end|>", 3}, {NULL, 0}};
    char *suffix[] = {"pilotfish", "serve", "--draft", "suffix", "--template", "chatml", "--ctx", "200"};
    char *plans[] = {"pilotfish",    "serve",         "--template",   "chatml",   "--ctx",        "200",
                     "--draft-plan", "a=layerskip:1", "--draft-plan", "b=skip:2", "--draft-plan", "c=layerskip:3"};
    struct err err;
    toy_vocab(&w.toy, &(struct toy_vocab){.extra = extra});
    toy_int(&w.toy, "tokenizer.ggml.eos_token_id", 257);
    toy_open(&w.toy, &w.g);
    require(tokenizer_open(&w.t, &w.g, &err) == OK);
    require(options_parse(&w.o[0], sizeof suffix / sizeof *suffix, suffix, &err) == OK);
    require(options_parse(&w.o[1], sizeof plans / sizeof *plans, plans, &err) == OK);
    require(prompt_encoder_init(&w.encoder, &w.o[0], &w.g, w.t, CTX, &err) == OK);
    w.stops.t = w.t;
    w.open = true;
}

static void check_prompt(const struct ask_prompt *p)
{
    require(p->n_ids > 0 && p->n_ids < CTX);
    for (int i = 0; i < p->n_ids; i++) require(p->ids[i] >= 0 && p->ids[i] < tokenizer_n_vocab(w.t));
}

static void check(const struct ask *a, const struct options *o)
{
    const struct settings *s = &a->settings;
    require(s->draft_plan >= 0 && s->draft_plan < (o->n_draft_plans ? o->n_draft_plans : 1));
    require(ask_n_choices(a) >= 1 && ask_n_choices(a) <= CHOICES_MOST);
    for (int i = 0; i < a->n_prompts; i++) check_prompt(&a->prompts[i]);
    require(s->n_top >= 0 && s->n_top <= TOP_MOST && (a->logprobs || !s->n_top));
    require(s->draft_max >= 1 && s->draft_max <= DRAFTS_MOST && s->n_predict >= 0);
    require(s->sampler.temp == 0 || (s->sampler.temp > 0 && s->sampler.top_p > 0 && s->sampler.top_p <= 1));
    require(!settings_lossy(s) || s->sampler.temp == 0);
    for (int i = 0; s->stops && i < s->stops->n; i++) require(s->stops->texts[i][0] != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct ask a;
    struct refusal why = {0};
    if (!w.open) set_up();
    if (!n_bytes) return 0;
    const struct options *o = &w.o[bytes[0] >> 1 & 1];
    const struct ask_from from = {o, &w.stops, &w.encoder, "model", 5};
    enum ask_kind kind = bytes[0] & 1 ? ASK_CHAT : ASK_COMPLETIONS;
    if (ask_read(&a, kind, (const char *)bytes + 1, n_bytes - 1, &from, &why) == OK) {
        check(&a, o);
    } else {
        json_t *reply = refusal_json(&why);
        require(why.status >= 400 && why.status < 500 && why.text[0] && reply);
        json_decref(reply);
    }
    ask_free(&a);
    return 0;
}
