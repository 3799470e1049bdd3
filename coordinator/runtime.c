#include "coordinator/runtime.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "coordinator/cli/note.h"
#include "coordinator/cli/settings.h"
#include "coordinator/cli/trace.h"
#include "coordinator/text/template.h"
#include "proto/clock.h"
#include "proto/files/gguf_open.h"
#include "proto/prefix_hash.h"

/* The launch configuration has asked the workers for the metadata of models whose files are not here. */
static int receive_metadata(struct runtime *s, struct err *err)
{
    int n = 0;
    const struct layout *l = &s->launch->layout;
    if (!s->o.big) s->metadata[n++].peer = group_leader(layout_verifier(l, 0));
    if (!s->o.little && s->o.drafter == DRAFTER_LITTLE) s->metadata[n++].peer = group_leader(layout_drafter(l, 0));
    for (struct metadata *m = s->metadata; m < s->metadata + n; m++) {
        int rank = layout_rank(l, m->peer);
        const char *host = s->launch->host_of ? s->launch->host_of(rank) : "";
        snprintf(m->who, sizeof m->who, "rank %d on host %s", rank, host);
    }
    return n ? metadata_receive(s->launch->router, s->metadata, n, s->o.start_wait_s, err) : OK;
}

static int open_model(struct runtime *s, const char *path, const struct group *group, struct gguf *g,
                      struct tokenizer **t, struct err *err)
{
    int peer = group_leader(group);
    const struct metadata *m = &s->metadata[s->metadata[0].peer != peer];
    char name[64];
    snprintf(name, sizeof name, "the model of peer %d", peer);
    int rc = path ? gguf_open(g, path, err) : gguf_parse(g, name, m->bytes, m->n, err);
    return rc == OK ? tokenizer_open(t, g, err) : rc;
}

/* The file's own template is known to its tokenizer. */
static int end_as_template(struct runtime *s, const char *name, struct err *err)
{
    struct template chat;
    int rc = template_named(&chat, name, err);
    return rc == OK ? tokenizer_add_end(s->big_t, chat.end, err) : rc;
}

int runtime_open(struct runtime *s, const struct options *o, const struct launch *launch, struct err *err)
{
    *s = (struct runtime){.o = *o, .launch = launch};
    progress_init(&s->progress);
    if (s->o.seed < 0) s->o.seed = (int)(prefix_hash_mix(clock_now_ns() ^ (uint64_t)getpid() << 40) & INT_MAX);
    int rc = receive_metadata(s, err);
    if (rc == OK) rc = open_model(s, o->big, layout_verifier(&launch->layout, 0), &s->big, &s->big_t, err);
    if (rc == OK && o->chat_template) rc = end_as_template(s, o->chat_template, err);
    if (rc != OK) return rc;
    s->stops = (struct stops){s->o.stops, s->o.n_stops, s->big_t};
    s->n_ids = tokenizer_n_vocab(s->big_t);
    if (o->drafter != DRAFTER_LITTLE) return OK;
    rc = open_model(s, o->little, layout_drafter(&launch->layout, 0), &s->little, &s->little_t, err);
    if (rc == OK) rc = tokenizer_compatible(s->big_t, s->little_t, &s->n_ids, err);
    return rc == OK ? OK : err_wrap(err, "--little");
}

static void note_devices(const struct runtime *s)
{
    char line[800];
    for (int i = 0; job_device_note(s->job, i, s->o.device == DEVICE_AUTO, line, sizeof line); i++) note("%s", line);
}

int runtime_start(struct runtime *s, int n_slots, struct err *err)
{
    struct job_config config = {
        .layout = s->launch->layout,
        .vocab_big = gguf_vocab_hash(&s->big),
        .vocab_little = s->little_t ? gguf_vocab_hash(&s->little) : 0,
        .n_ctx = s->o.ctx,
        .n_slots = n_slots,
        .start_s = s->o.start_wait_s,
        .host_of = s->launch->host_of,
        .n_ids = s->n_ids,
        .n_proposed = s->o.draft_vocab && s->o.draft_vocab < s->n_ids ? s->o.draft_vocab : s->n_ids,
        .interruptible = s->o.command == CMD_CHAT || s->o.command == CMD_SERVE,
        .self_max = s->o.self_max,
        .auto_stages = layout_share_is_auto(s->o.stage_share),
        .auto_shards = layout_share_is_auto(s->o.shard_share),
        .prompt_rows = s->o.prompt_rows,
        .stops = stop_reached,
        .on_lost = s->launch->on_lost,
        .on_lost_arg = s->launch->arg,
        .guest = s->guest,
        .progress = &s->progress,
    };
    int rc = s->launch->start(s->launch->arg, err);
    if (rc == OK) rc = job_open(&s->job, &config, s->launch->router, err);
    if (rc != OK) return rc;
    job_set_trace(s->job, s->trace);
    job_info(s->job, &s->info);
    if (s->o.ctx_given && s->o.ctx > s->info.n_ctx)
        note("--ctx %d is more than the big model was trained for: its context is %d tokens", s->o.ctx, s->info.n_ctx);
    if (s->info.little_bytes > s->info.weights_bytes - s->info.little_bytes)
        note("the little model is larger than the big one: drafts will not pay; are --big and --little mixed up?");
    note_devices(s);
    fprintf(stderr, "%llu MiB of weights, %llu MiB of KV (%d x %d positions)\n",
            (unsigned long long)(s->info.weights_bytes >> 20), (unsigned long long)(s->info.kv_bytes >> 20),
            s->info.n_slots, s->info.n_ctx);
    if (drafter_is_leader(s->o.drafter) && s->o.self_max >= 0 && s->o.self_max < 2)
        note("--self-max %d: exact and sampled texts have no drafts, because the big model's workers draft where they "
             "go on by themselves",
             s->o.self_max);
    if (s->o.plan && s->o.command == CMD_SERVE) note("lossy: the big model is served under the plan %s", s->o.plan);
    if (s->o.stats) job_list_workers(s->job, stderr);
    return OK;
}

int runtime_trace(struct runtime *s, struct err *err)
{
    if (!s->o.trace) return OK;
    int rc = trace_open(&s->trace, s->o.trace, err);
    if (rc != OK) return rc;
    const struct layout *l = &s->launch->layout;
    trace_begin(s->trace, "pilotfish", layout_n_drafters(l), layout_n_verifiers(l));
    return OK;
}

struct settings runtime_settings(const struct runtime *s)
{
    return settings_of(&s->o, s->big_t, &s->stops);
}

int runtime_prompts(const struct runtime *s, struct prompts *out, struct err *err)
{
    struct prompts_from from = {.big = &s->big,
                                .tokenizer = s->big_t,
                                .stops = &s->stops,
                                .n_ctx = gguf_context(&s->big),
                                .in = stdin,
                                .notes = stderr};
    return prompts_read(out, &s->o, &from, err);
}

int runtime_n_slots(const struct runtime *s, const struct prompts *p)
{
    return p->n_good < s->o.parallel ? p->n_good : s->o.parallel;
}

int runtime_seq(const struct runtime *s, const struct prompt *p, int index, bool drafting, struct seq *out,
                struct err *err)
{
    struct request r = {.index = index, .prompt = p->ids, .n_prompt = p->n_ids, .settings = p->settings};
    r.settings.drafting &= drafting;
    r.settings.fresh = !drafting; /* a text to compare with owes nothing to the one with drafts */
    return seq_init(out, &r, s->info.n_ctx, err);
}

int runtime_seqs(const struct runtime *s, const struct prompts *p, bool drafting, struct seq **out, struct err *err)
{
    struct seq *seqs = calloc((size_t)p->n_good + 1, sizeof *seqs);
    if (!seqs) return err_set(err, E_FAIL, "out of memory for %d sequences", p->n_good);
    *out = seqs;
    int rc = OK, n = 0;
    for (int i = 0; i < p->n && rc == OK; i++)
        if (!p->items[i].error) rc = runtime_seq(s, &p->items[i], i, drafting, &seqs[n++], err);
    return rc;
}

int runtime_close(struct runtime *s, int rc, struct err *why)
{
    progress_clear(&s->progress);
    if (s->job && s->o.stats) job_list_links(s->job, stderr);
    job_close(s->job);
    job_quit(s->launch->router, &s->launch->layout, rc, rc == OK ? "" : why->text);
    tokenizer_close(s->little_t);
    tokenizer_close(s->big_t);
    gguf_close(&s->little);
    gguf_close(&s->big);
    for (int i = 0; i < 2; i++) metadata_free(&s->metadata[i]);
    struct err ignored;
    int closed = trace_close(s->trace, rc == OK ? why : &ignored);
    return rc == OK ? closed : rc;
}
