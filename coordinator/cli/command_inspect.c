/* Facts are gathered once, as JSON; the text is printed from them. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/plan_json.h"
#include "coordinator/text/json_text.h"
#include "coordinator/text/template.h"
#include "coordinator/text/tokenizer.h"
#include "proto/files/gguf_blocks.h"
#include "proto/files/gguf_open.h"
#include "proto/files/side.h"
#include "proto/show.h"

/* --- gathering ------------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name, *key; /* the key follows the architecture's name in the file */
} shapes[] = {
    {"blocks", "block_count"},         {"embedding", "embedding_length"},
    {"heads", "attention.head_count"}, {"kv_heads", "attention.head_count_kv"},
    {"head", "attention.key_length"},  {"feed_forward", "feed_forward_length"},
    {"experts", "expert_count"},       {"experts_used", "expert_used_count"},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* What the file does not say, or says for each block apart, is left out. */
static json_t *shape_facts(const struct gguf *g)
{
    json_t *facts = json_object();
    int lost = 0;
    int64_t n, heads, embedding;
    for (size_t i = 0; i < N_SHAPES; i++)
        if (gguf_get_own_int(g, shapes[i].key, &n)) lost |= json_object_set_new(facts, shapes[i].name, json_integer(n));
    if (gguf_context(g) < INT_MAX) lost |= json_object_set_new(facts, "context", json_integer(gguf_context(g)));
    heads = json_integer_value(json_object_get(facts, "heads"));
    embedding = json_integer_value(json_object_get(facts, "embedding"));
    if (heads > 0 && !json_object_get(facts, "head"))
        lost |= json_object_set_new(facts, "head", json_integer(embedding / heads));
    lost |= json_object_set_new(facts, "tied", json_boolean(!gguf_tensor(g, "output.weight")));
    return json_unless(lost, facts);
}

/* Formats in the order of their first tensor. */
static json_t *format_facts(const struct gguf *g, uint64_t *n_parameters)
{
    json_t *facts = json_object();
    int lost = 0;
    *n_parameters = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        const struct gguf_type *type = gguf_type(t->type);
        json_t *before = json_object_get(facts, type->name);
        json_int_t n = json_integer_value(json_object_get(before, "tensors"));
        json_int_t n_bytes = json_integer_value(json_object_get(before, "bytes"));
        lost |= json_object_set_new(facts, type->name,
                                    json_pack("{sI sI}", "tensors", n + 1, "bytes", n_bytes + (json_int_t)t->n_bytes));
        *n_parameters += t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
    }
    return json_unless(lost, facts);
}

static json_t *tokenizer_facts(const struct gguf *g, struct err *err)
{
    struct tokenizer *t = NULL;
    const int32_t *ends;
    if (tokenizer_open(&t, g, err) != OK) return json_pack("{so}", "unknown", json_text(err->text, strlen(err->text)));
    json_t *end_ids = json_array();
    int lost = 0;
    size_t n_ends = tokenizer_end_ids(t, &ends);
    for (size_t i = 0; i < n_ends; i++) {
        struct gguf_str text = tokenizer_piece(t, ends[i], true);
        lost |=
            json_array_append_new(end_ids, json_pack("{si so}", "id", (int)ends[i], "text", json_text(text.s, text.n)));
    }
    json_t *facts =
        json_pack("{ss si so}", "kind", tokenizer_model(t), "tokens", tokenizer_n_vocab(t), "end_ids", end_ids);
    tokenizer_close(t);
    return json_unless(lost, facts);
}

static json_t *template_facts(const struct gguf *g)
{
    struct template chat;
    struct err why;
    switch (template_find(&chat, g, &why)) {
    case TEMPLATE_OK:
        return json_pack("{ss so}", "name", chat.name, "system", json_text(chat.system, strlen(chat.system)));
    case TEMPLATE_UNKNOWN: return json_pack("{ss so}", "name", "unknown", "why", json_text(why.text, strlen(why.text)));
    case TEMPLATE_NONE: break;
    }
    return json_null();
}

static json_t *string_fact(const struct gguf *g, const char *key)
{
    struct gguf_str text;
    return gguf_get_str(g, key, &text) ? json_text(text.s, text.n) : json_null();
}

/* What --plan makes of the model. NULL: err says why it makes nothing. */
static json_t *plan_facts(const struct gguf *g, const char *spelled, int n_blocks, struct err *err)
{
    struct plan plan = {0}, plain = {0};
    struct side side = {0};
    char *text = NULL, runs[PLAN_TEXT_MOST];
    struct block_bytes *bytes = NULL;
    json_t *facts = NULL;
    int rc = plan_text(&text, spelled, err);
    if (rc == OK) rc = plan_read(&plan, text, n_blocks, err);
    if (rc == OK) rc = plan_plain(&plain, n_blocks, err);
    if (rc == OK && plan.side) rc = side_open(&side, plan.side, err);
    if (rc == OK && plan.side) rc = plan_join_side(&plan, &side, gguf_fingerprint(g), err);
    if (rc != OK) err_wrap(err, "--plan");
    if (rc == OK && !(bytes = gguf_bytes_of_blocks(g, n_blocks, &side)))
        err_set(err, E_FAIL, "out of memory for a plan");
    if (bytes) {
        plan_spell(&plan, runs, sizeof runs);
        if (*runs)
            facts = json_pack("{so ss si si sI sI si so}", "spelled", json_text(spelled, strlen(spelled)), "runs", runs,
                              "caches", plan.n_caches, "caches_plain", plain.n_caches, "bytes",
                              (json_int_t)plan_bytes(g, &plan, bytes), "bytes_plain",
                              (json_int_t)plan_bytes(g, &plain, bytes), "ids", plan.n_ids, "entries", plan_json(&plan));
        if (!facts) err_set(err, E_FAIL, "out of memory for a plan");
    }
    side_close(&side);
    free(bytes);
    free(text);
    plan_free(&plain);
    plan_free(&plan);
    return facts;
}

/* *why: that it does not run here, code OK if it does. */
static json_t *file_facts(const struct gguf *g, int (*runs)(const char *, struct err *), struct err *why)
{
    uint64_t n_parameters;
    char print[17];
    snprintf(print, sizeof print, "%016llx", (unsigned long long)gguf_fingerprint(g));
    json_t *formats = format_facts(g, &n_parameters);
    json_t *tokens = tokenizer_facts(g, why);
    if (!json_object_get(tokens, "unknown")) runs(g->path, why);
    return json_pack("{so sI si so so so so sI sI so so so sb so ss}", "file", json_text(g->path, strlen(g->path)),
                     "bytes", (json_int_t)gguf_file_bytes(g), "files", gguf_n_files(g), "gguf_version",
                     g->made ? json_null() : json_integer(g->version), "architecture",
                     string_fact(g, "general.architecture"), "name", string_fact(g, "general.name"), "shape",
                     shape_facts(g), "parameters", (json_int_t)n_parameters, "tensors", (json_int_t)g->n_tensors,
                     "formats", formats, "tokenizer", tokens, "template", template_facts(g), "runs", why->code == OK,
                     "why_not", json_text(why->text, strlen(why->text)), "fingerprint", print);
}

/* --- printing -------------------------------------------------------------------------------------------------------
 */

static long long integer(const json_t *facts, const char *name)
{
    return (long long)json_integer_value(json_object_get(facts, name));
}

static const char *string(const json_t *facts, const char *name)
{
    const char *s = json_string_value(json_object_get(facts, name));
    return s ? s : "not said";
}

static void print_shape(const json_t *shape)
{
    printf("  blocks        %lld\n", integer(shape, "blocks"));
    printf("  embedding     %lld\n", integer(shape, "embedding"));
    printf("  heads         %lld of %lld, %lld for keys and values\n", integer(shape, "heads"), integer(shape, "head"),
           integer(shape, "kv_heads"));
    printf("  feed forward  %lld\n", integer(shape, "feed_forward"));
    if (integer(shape, "experts") > 0)
        printf("  experts       %lld, %lld for a token\n", integer(shape, "experts"), integer(shape, "experts_used"));
    printf("  output        %s\n", json_is_true(json_object_get(shape, "tied")) ? "the embedding (tied)" : "its own");
    printf("  context       %lld tokens\n", integer(shape, "context"));
}

static void print_tokenizer(const json_t *facts)
{
    size_t i;
    json_t *end;
    if (json_object_get(facts, "unknown")) {
        printf("  tokenizer     unknown\n");
        return;
    }
    printf("  tokenizer     %s, %lld tokens\n  end ids      ", string(facts, "kind"), integer(facts, "tokens"));
    json_array_foreach(json_object_get(facts, "end_ids"), i, end)
    {
        printf("%s %lld %s", i ? "," : "", integer(end, "id"), string(end, "text"));
    }
    printf("\n");
}

static void print_template(const json_t *facts)
{
    const char *system = json_string_value(json_object_get(facts, "system"));
    if (json_is_null(facts))
        printf("  template      none: prompts are continued as they are\n");
    else if (!system)
        printf("  template      cannot be run here: %s; --raw, or --template NAME\n", string(facts, "why"));
    else if (!*system)
        printf("  template      %s, no system message of its own\n", string(facts, "name"));
    else
        printf("  template      %s, system message \"%s\"\n", string(facts, "name"), system);
}

/* How often the plan runs a part of a block: . never, # once, 2 to 9, + more often. */
static char times_run(const json_t *entries, int block, const char *part)
{
    size_t i;
    json_t *e;
    int n = 0;
    json_array_foreach(entries, i, e)
    {
        const char *runs = string(e, "part");
        n += json_is_integer(json_object_get(e, "block")) && integer(e, "block") == block &&
             (!strcmp(runs, part) || !strcmp(runs, plan_part_names[PART_BOTH]));
    }
    return n < 2 ? ".#"[n] : n < 10 ? (char)('0' + n) : '+';
}

/* The model's blocks from left to right, and above them every tenth's number. */
static void print_plan(const json_t *facts, int n_blocks)
{
    double bytes = (double)integer(facts, "bytes"), plain = (double)integer(facts, "bytes_plain");
    printf("  plan          %s\n    runs        %s, then the output norm and the head", string(facts, "spelled"),
           string(facts, "runs") + strlen("ode:"));
    if (integer(facts, "ids")) printf(", of %lld ids", integer(facts, "ids"));
    printf("\n                ");
    for (int i = 0; i < n_blocks; i += 10) printf("%-10d", i);
    printf("\n");
    for (int p = PART_ATTENTION; p <= PART_MLP; p++) {
        printf("    %-9s   ", plan_part_names[p]);
        for (int i = 0; i < n_blocks; i++) putchar(times_run(json_object_get(facts, "entries"), i, plan_part_names[p]));
        printf("\n");
    }
    printf("    weights     %.0f of %.0f bytes of the file (%.1f %%), as often as they run\n", bytes, plain,
           100 * bytes / plain);
    printf("    KV caches   %lld of %lld\n", integer(facts, "caches"), integer(facts, "caches_plain"));
}

/* What the file says of itself goes to a terminal. */
static int show_strings(json_t *facts)
{
    const char *key;
    size_t i;
    json_t *of;
    int lost = 0;
    if (json_is_string(facts)) {
        size_t n = json_string_length(facts);
        char *shown = malloc(4 * n + 1);
        if (shown) show_text(shown, 4 * n + 1, json_string_value(facts), n);
        lost = !shown || json_string_set_nocheck(facts, shown);
        free(shown);
    }
    json_array_foreach(facts, i, of) lost |= show_strings(of);
    json_object_foreach(facts, key, of) lost |= show_strings(of);
    return lost;
}

static void print_facts(json_t *facts)
{
    const char *format;
    json_t *of;
    printf("%s\n", string(facts, "file"));
    printf("  architecture  %s (", string(facts, "architecture"));
    if (integer(facts, "gguf_version"))
        printf("GGUF version %lld", integer(facts, "gguf_version"));
    else
        printf("safetensors");
    printf(", %lld bytes", integer(facts, "bytes"));
    if (integer(facts, "files") > 1) printf(" in %lld files", integer(facts, "files"));
    printf(")\n");
    printf("  name          %s\n", string(facts, "name"));
    print_shape(json_object_get(facts, "shape"));
    printf("  parameters    %.4g million in %lld tensors\n", (double)integer(facts, "parameters") * 1e-6,
           integer(facts, "tensors"));
    json_object_foreach(json_object_get(facts, "formats"), format, of)
    {
        printf("    %-6s %11lld tensors %13lld bytes\n", format, integer(of, "tensors"), integer(of, "bytes"));
    }
    printf("  fingerprint   %s\n", string(facts, "fingerprint"));
    print_tokenizer(json_object_get(facts, "tokenizer"));
    print_template(json_object_get(facts, "template"));
    if (json_is_true(json_object_get(facts, "runs")))
        printf("  runs here     yes\n");
    else
        printf("  runs here     no: %s\n", string(facts, "why_not"));
    const json_t *plan = json_object_get(facts, "plan");
    if (plan) print_plan(plan, (int)integer(json_object_get(facts, "shape"), "blocks"));
}

/* A side file is no model: it says of which one it is a part. */
static int inspect_side(const struct gguf *g, bool text, struct err *err)
{
    struct side s = {0};
    char base[17];
    uint64_t n_parameters;
    int rc = side_read(&s, g, err), lost = 0;
    json_t *facts = NULL, *exits = json_array();
    for (int i = 0; i < s.n_exits; i++) lost |= json_array_append_new(exits, json_integer(s.exits[i]));
    snprintf(base, sizeof base, "%016llx", (unsigned long long)s.base);
    if (rc == OK)
        facts = json_unless(lost, json_pack("{so ss sI sO si so}", "file", json_text(g->path, strlen(g->path)), "base",
                                            base, "bytes", (json_int_t)gguf_file_bytes(g), "exits", exits, "ids",
                                            s.n_ids, "formats", format_facts(g, &n_parameters)));
    if (rc == OK && (!facts || (text && show_strings(facts))))
        rc = err_set(err, E_FAIL, "%s: no memory to describe it", g->path);
    if (rc == OK && !text) {
        rc = json_put_line(json_incref(facts), 0, stdout, err);
    } else if (rc == OK) {
        printf("%s\n  side file     a block and a norm for an exit after", string(facts, "file"));
        for (int i = 0; i < s.n_exits; i++) printf("%s%d", i ? ", " : " ", s.exits[i]);
        printf(" blocks (%lld bytes)\n  base          %s\n  head          the base's", integer(facts, "bytes"), base);
        if (s.n_ids) printf(s.ids ? ", of %d listed ids" : ", of ids below %d", s.n_ids);
        printf("\n  parameters    %.4g million\n", (double)n_parameters * 1e-6);
    }
    json_decref(exits);
    json_decref(facts);
    side_close(&s);
    return rc;
}

static int add_plan(json_t *facts, const struct gguf *g, const char *spelled, struct err *err)
{
    json_t *plan = plan_facts(g, spelled, (int)integer(json_object_get(facts, "shape"), "blocks"), err);
    if (!plan) return err->code;
    return json_object_set_new(facts, "plan", plan) ? err_set(err, E_FAIL, "out of memory for a plan") : OK;
}

int command_inspect(const struct options *o, int (*runs)(const char *path, struct err *err), struct err *err)
{
    struct gguf g = {0};
    int rc = gguf_open(&g, o->model, err);
    if (rc != OK) return rc;
    if (side_is(&g)) {
        rc = o->plan ? err_set(err, E_MODEL, "--plan: %s is a side file: inspect its base with balcony:FILE", o->model)
                     : inspect_side(&g, o->format == FORMAT_TEXT, err);
        gguf_close(&g);
        return rc;
    }
    struct err why = {0};
    json_t *facts = file_facts(&g, runs, &why);
    if (facts && o->plan && why.code == OK) rc = add_plan(facts, &g, o->plan, err);
    if (why.code == E_FAIL || why.code == E_LAYOUT) { /* of this machine, not of the file */
        *err = why;
        rc = why.code;
    }
    if (rc == OK && (!facts || (o->format == FORMAT_TEXT && show_strings(facts))))
        rc = err_set(err, E_FAIL, "%s: no memory to describe it", o->model);
    if (rc == OK && o->format != FORMAT_TEXT)
        rc = json_put_line(json_incref(facts), o->format == FORMAT_JSON ? JSON_INDENT(2) : 0, stdout, err);
    else if (rc == OK)
        print_facts(facts);
    json_decref(facts);
    gguf_close(&g);
    return rc;
}
