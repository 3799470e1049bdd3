#include "coordinator/serve/calls.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/serve/choice.h"
#include "coordinator/serve/call_report.h"
#include "coordinator/serve/page.h"
#include "coordinator/text/json_text.h"
#include "proto/clock.h"
#include "proto/prefix_hash.h"

enum { SIGN_OF_LIFE_S = 5 };
static const uint64_t second_ns = 1000000000;

struct call {
    struct calls *all;
    struct exchange *x; /* NULL: it is over */
    struct ask ask;
    struct choice *choices;     /* [n] owns */
    int n, n_submitted, n_done; /* choices; submitted in order */
    uint64_t turn;              /* when one of it was submitted last, or it came */
    char id[48];
    time_t created;
    uint64_t asked_ns, shown_ns; /* shown: when its stream last got something */
    struct refusal why;          /* it ends with this; status 0: well */
    bool ended;                  /* its reply is complete */
    bool held;                   /* is being walked over: not freed meanwhile */
    struct call *next, **link;
};

struct calls {
    struct calls_config c;
    struct job_watch watch;
    struct call *first;
    uint64_t n_begun, turn;
    bool closed_to_new, failed;
    char why_closed[256];
    int rc;
    struct err err;
};

/* ---- replies ---- */

/* The bytes, without a second look at the value if they fit into what a part of a stream mostly takes. */
static char *text_of(const json_t *value, size_t *n)
{
    static const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(9);
    enum { USUAL = 1024 };
    char *text = value ? malloc(USUAL) : NULL, *more = NULL;
    *n = text ? json_dumpb(value, text, USUAL, flags) : 0;
    if (*n > 0 && *n <= USUAL) return text;
    if (*n > USUAL) more = realloc(text, *n);
    if (more && json_dumpb(value, more, *n, flags) == *n) return more;
    free(more ? more : text);
    return NULL;
}

static void reply(struct exchange *x, int status, json_t *value, struct http_header extra)
{
    size_t n;
    char *text = text_of(value, &n);
    json_decref(value);
    exchange_reply(x, status, "application/json", text, n, extra);
}

void exchange_reply_json(struct exchange *x, int status, json_t *value)
{
    reply(x, status, value, (struct http_header){0});
}

void exchange_refuse(struct exchange *x, const struct refusal *why)
{
    struct http_header extra = {0};
    if (why->status == 429 || why->status == 503) extra = (struct http_header){"Retry-After", "1"};
    if (why->status == 401) extra = (struct http_header){"WWW-Authenticate", "Bearer"};
    if (why->status == 405) extra = (struct http_header){"Allow", why->allow};
    reply(x, why->status, refusal_json(why), extra);
}

/* ---- streams ---- */

static json_t *head_of(const struct call *call)
{
    const struct calls_config *c = &call->all->c;
    bool chat = call->ask.kind == ASK_CHAT;
    const char *object = !chat ? "text_completion" : call->ask.stream ? "chat.completion.chunk" : "chat.completion";
    int lost = 0;
    json_t *head = json_pack("{ss ss sI ss ss}", "id", call->id, "object", object, "created", (json_int_t)call->created,
                             "model", c->from.model, "system_fingerprint", c->fingerprint);
    if (call->ask.settings.sampler.temp > 0)
        lost = json_object_set_new(head, "seed", json_integer(call->ask.settings.sampler.seed));
    return json_unless(lost, head);
}

/* Takes the reference. What cannot be written ends the exchange. */
static void put_event(struct call *call, json_t *value)
{
    size_t n;
    char *text = text_of(value, &n);
    json_decref(value);
    bool written = text && exchange_write(call->x, "data: ", 6) && exchange_write(call->x, text, n) &&
                   exchange_write(call->x, "\n\n", 2);
    if (!written) exchange_drop(call->x);
    free(text);
    call->shown_ns = clock_now_ns();
}

/* A part of the stream with this entry of "choices"; NULL: none. Takes the reference. */
static json_t *part_of(const struct call *call, json_t *entry)
{
    json_t *part = head_of(call);
    int lost = json_object_set_new(part, "choices", entry ? json_pack("[o]", entry) : json_array());
    if (call->ask.with_usage) lost |= json_object_set_new(part, "usage", json_null());
    return json_unless(lost, part);
}

static void put_piece(struct call *call, struct choice *choice)
{
    json_t *entry = choice_piece(choice);
    if (!entry) {
        exchange_drop(call->x);
        return;
    }
    json_t *part = part_of(call, entry);
    bool reports = call->n_done == call->n && !call->ask.with_usage;
    int lost = reports ? report_put(part, call->all->c.from.o, &call->ask, call->choices) : 0;
    put_event(call, json_unless(lost, part));
}

/* ---- the end of a call ---- */

static void free_call(struct call *call)
{
    *call->link = call->next;
    if (call->next) call->next->link = call->link;
    for (int i = 0; i < call->n; i++) choice_free(&call->choices[i]);
    free(call->choices);
    ask_free(&call->ask);
    free(call);
}

static void free_if_over(struct call *call)
{
    if (!call->x && !call->held && (call->n_done == call->n)) free_call(call);
}

static json_t *whole_of(struct call *call)
{
    json_t *whole = head_of(call), *list = json_array();
    int lost = 0;
    for (int i = 0; i < call->n; i++) lost |= json_array_append_new(list, choice_piece(&call->choices[i]));
    lost |= json_object_set_new(whole, "choices", list);
    lost |= json_object_set_new(whole, "usage", report_usage(&call->ask, call->choices));
    lost |= report_put(whole, call->all->c.from.o, &call->ask, call->choices);
    return json_unless(lost, whole);
}

static void end_stream(struct call *call)
{
    if (call->why.status) {
        put_event(call, refusal_json(&call->why));
    } else {
        if (call->ask.with_usage) {
            json_t *part = part_of(call, NULL);
            int lost = json_object_set_new(part, "usage", report_usage(&call->ask, call->choices));
            lost |= report_put(part, call->all->c.from.o, &call->ask, call->choices);
            put_event(call, json_unless(lost, part));
        }
        exchange_write(call->x, "data: [DONE]\n\n", 14);
    }
    exchange_end(call->x);
}

/* All choices are done, or nothing more will come of them. */
static void end_call(struct call *call)
{
    if (call->ended) return;
    call->ended = true;
    if (!call->x) return;
    if (call->ask.stream)
        end_stream(call);
    else if (call->why.status)
        exchange_refuse(call->x, &call->why);
    else
        exchange_reply_json(call->x, 200, whole_of(call));
}

static void fail(struct calls *c, const struct err *why)
{
    if (c->rc != OK) return;
    c->rc = why->code;
    c->err = *why;
}

static int on_done(void *arg, const struct seq *s, struct err *err);

static void cancel(struct call *call)
{
    struct calls *c = call->all;
    struct err err;
    call->held = true;
    for (; call->n_submitted < call->n; call->n_submitted++) {
        struct seq *s = &call->choices[call->n_submitted].seq;
        s->state = SEQ_DONE;
        s->end = SEQ_ABORTED;
        on_done(c, s, &err);
    }
    for (int i = 0; i < call->n && !c->failed && c->rc == OK; i++)
        if (!call->choices[i].done && job_cancel(c->c.job, &call->choices[i].seq, &err) != OK) fail(c, &err);
    call->held = false;
}

void calls_over(struct calls *c, struct exchange *x)
{
    struct call *call = exchange_owner(x);
    (void)c;
    if (!call) return;
    call->x = NULL;
    cancel(call);
    free_if_over(call);
}

/* ---- what the job calls ---- */

static void note_tokens(struct calls *c, struct choice *choice)
{
    int n = seq_n_generated(&choice->seq);
    uint64_t now = clock_now_ns();
    if (n == choice->n_timed) return;
    if (choice->told_ns) counts_add_tokens(c->c.counts, n - choice->n_timed, now - choice->told_ns);
    choice->told_ns = now;
    choice->n_timed = n;
}

static int on_tokens(void *arg, const struct seq *s, struct err *err)
{
    struct choice *choice = (struct choice *)s;
    struct call *call = choice->call;
    (void)err;
    note_tokens(arg, choice);
    if (!call->x || call->ended || !call->ask.stream) return OK;
    if (!choice_take(choice))
        exchange_drop(call->x);
    else if (s->end == SEQ_RUNNING && choice_has_news(choice))
        put_piece(call, choice);
    return OK;
}

static void fail_with(struct call *call, const struct seq *s)
{
    if (call->why.status) return;
    if (s->end == SEQ_FAILED)
        refuse(&call->why, s->why.code == E_PEER ? 503 : 500, NULL, "%s", s->why.text);
    else
        refuse(&call->why, 503, NULL, "the answer was ended");
}

static int on_done(void *arg, const struct seq *s, struct err *err)
{
    struct calls *c = arg;
    struct choice *choice = (struct choice *)s;
    struct call *call = choice->call;
    (void)err;
    choice->done = true;
    note_tokens(c, choice);
    call->n_done++;
    counts_add(c->c.counts, s, call->asked_ns, clock_now_ns());
    if (s->end == SEQ_FAILED || s->end == SEQ_ABORTED) fail_with(call, s);
    bool wanted = call->x && !call->ended;
    if (wanted && !choice_take(choice)) exchange_drop(call->x);
    if (wanted && call->ask.stream && !call->why.status) put_piece(call, choice);
    if (call->n_done == call->n) end_call(call);
    free_if_over(call);
    return OK;
}

static void on_message(void *arg, int group, const struct message *m, uint64_t now_ns)
{
    page_message(((struct calls *)arg)->c.page, group, m, now_ns);
}

/* ---- a call begins ---- */

struct calls_load calls_load(const struct calls *c)
{
    struct calls_load load = {0};
    for (const struct call *call = c->first; call; call = call->next)
        for (int i = 0; i < call->n; i++) {
            const struct seq *s = &call->choices[i].seq;
            bool runs = s->state == SEQ_PROMPT || s->state == SEQ_DECODING;
            load.n_waiting += s->state == SEQ_WAITING;
            load.n_running += runs;
            if (runs) load.n_tokens += (uint64_t)seq_n_generated(s);
        }
    return load;
}

static int admit(const struct calls *c, struct refusal *why)
{
    if (c->closed_to_new) return refuse(why, 503, NULL, "%s", c->why_closed);
    int n_waiting = calls_load(c).n_waiting;
    if (n_waiting < c->c.n_queued) return OK;
    refuse(why, 429, NULL, "%d answers wait already: try again later (--queue)", n_waiting);
    why->code = "queue_full";
    return E_USAGE;
}

static struct call *new_call(struct calls *c, struct exchange *x)
{
    struct call *call = calloc(1, sizeof *call);
    if (!call) return NULL;
    call->all = c;
    call->x = x;
    call->created = time(NULL);
    call->asked_ns = call->shown_ns = clock_now_ns();
    call->link = &c->first;
    call->next = c->first;
    if (call->next) call->next->link = &call->next;
    c->first = call;
    exchange_set_owner(x, call);
    return call;
}

static int make_choice(struct call *call, int i, struct err *err)
{
    const struct calls_config *c = &call->all->c;
    const struct ask_prompt *p = &call->ask.prompts[i / call->ask.n_each];
    struct choice *choice = &call->choices[i];
    struct request r = {.index = i, .prompt = p->ids, .n_prompt = p->n_ids, .settings = call->ask.settings};
    r.settings.sampler.sample = (uint32_t)i;
    *choice = (struct choice){.call = call, .ask = &call->ask, .t = c->from.encoder->tokenizer, .index = i};
    int rc = seq_init(&choice->seq, &r, c->n_ctx, err);
    if (rc != OK) return rc;
    return choice_begin(choice, p) ? OK : err_set(err, E_FAIL, "out of memory");
}

static int make_choices(struct call *call)
{
    int n = ask_n_choices(&call->ask), rc = OK;
    struct err err;
    call->choices = calloc((size_t)n, sizeof *call->choices);
    if (!call->choices) return refuse(&call->why, 500, NULL, "out of memory");
    for (int i = 0; i < n && rc == OK; i++) rc = make_choice(call, i, &err);
    if (rc == OK) return OK;
    for (int i = 0; i < n; i++) choice_free(&call->choices[i]);
    return refuse_for(&call->why, NULL, &err);
}

/* Whether a is before b: it has fewer choices that run; else its last turn was earlier. */
static bool is_before(const struct call *a, const struct call *b)
{
    int n_a = a->n_submitted - a->n_done, n_b = b->n_submitted - b->n_done;
    return n_a != n_b ? n_a < n_b : a->turn < b->turn;
}

/* Whose choice is next; NULL: no slot is free, or nothing waits. */
static struct call *next_call(const struct calls *c)
{
    struct call *next = NULL;
    int n_running = 0;
    for (struct call *call = c->first; call; call = call->next) {
        n_running += call->n_submitted - call->n_done;
        if (call->n_submitted < call->n && (!next || is_before(call, next))) next = call;
    }
    return n_running < c->c.n_slots ? next : NULL;
}

void calls_go_on(struct calls *c)
{
    struct err err;
    for (struct call *call; c->rc == OK && !c->failed && (call = next_call(c));) {
        call->turn = ++c->turn;
        if (job_submit(c->c.job, &call->choices[call->n_submitted++].seq, &err) != OK) fail(c, &err);
    }
}

static void enter(struct call *call)
{
    call->n = ask_n_choices(&call->ask);
    call->turn = ++call->all->turn;
    if (call->ask.stream) exchange_stream(call->x);
    calls_go_on(call->all);
}

void calls_begin(struct calls *c, enum ask_kind kind, struct exchange *x)
{
    struct refusal why;
    if (admit(c, &why) != OK) {
        exchange_refuse(x, &why);
        return;
    }
    struct call *call = new_call(c, x);
    if (!call) {
        exchange_drop(x);
        return;
    }
    uint64_t number = prefix_hash_mix(call->asked_ns ^ ++c->n_begun << 48);
    struct ask_from from = c->c.from;
    size_t n;
    const char *body = exchange_body(x, &n);
    from.seed = (uint32_t)(number & INT32_MAX);
    snprintf(call->id, sizeof call->id, "%s-%016llx", kind == ASK_CHAT ? "chatcmpl" : "cmpl",
             (unsigned long long)number);
    int rc = ask_read(&call->ask, kind, body, n, &from, &call->why);
    if (rc == OK) rc = make_choices(call);
    if (rc == OK)
        enter(call);
    else
        exchange_refuse(x, &call->why);
}

/* ---- all calls ---- */

static void give_up(struct call *call, int status, const char *why)
{
    refuse(&call->why, status, NULL, "%s", why);
    call->held = true; /* the reply is made now, of what there is */
    end_call(call);
    cancel(call);
}

static bool has_begun(const struct call *call)
{
    for (int i = 0; i < call->n; i++)
        if (call->choices[i].seq.state != SEQ_WAITING) return true;
    return false;
}

void calls_look(struct calls *c)
{
    uint64_t now = clock_now_ns();
    for (struct call *call = c->first, *next; call; call = next) {
        next = call->next;
        if (!call->x || call->ended || !call->n) continue;
        if (c->c.timeout_s && now - call->asked_ns > (uint64_t)c->c.timeout_s * second_ns) {
            char why[96];
            snprintf(why, sizeof why, "the answer took longer than %d s (--timeout)", c->c.timeout_s);
            give_up(call, 503, why);
        } else if (call->ask.stream && now - call->shown_ns > SIGN_OF_LIFE_S * second_ns) {
            exchange_write(call->x, ": waiting\n\n", 11);
            call->shown_ns = now;
        }
    }
}

void calls_drain(struct calls *c, const char *why)
{
    snprintf(c->why_closed, sizeof c->why_closed, "%s", why);
    c->closed_to_new = true;
    for (struct call *call = c->first, *next; call; call = next) {
        next = call->next;
        if (!call->ended && call->n && !has_begun(call)) give_up(call, 503, why);
    }
}

void calls_end(struct calls *c, const char *why, bool lost)
{
    snprintf(c->why_closed, sizeof c->why_closed, "%s", why);
    c->closed_to_new = true;
    c->failed = lost;
    for (struct call *call = c->first, *next; call; call = next) {
        next = call->next;
        if (!call->ended && call->n) give_up(call, 503, why);
    }
}

bool calls_idle(const struct calls *c)
{
    return c->first == NULL;
}

int calls_error(const struct calls *c, struct err *err)
{
    if (c->rc != OK) *err = c->err;
    return c->rc;
}

int calls_open(struct calls **out, const struct calls_config *config, struct err *err)
{
    struct calls *c = calloc(1, sizeof *c);
    if (!c) return err_set(err, E_FAIL, "out of memory");
    c->c = *config;
    c->watch = (struct job_watch){.tokens = on_tokens, .done = on_done, .message = on_message, .arg = c};
    job_set_watch(config->job, &c->watch);
    *out = c;
    return OK;
}

void calls_close(struct calls *c)
{
    if (!c) return;
    while (c->first) free_call(c->first);
    free(c);
}
