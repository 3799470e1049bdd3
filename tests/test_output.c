/* What people and programs see of a simulated job (sim.h), event by event, written to memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "coordinator/cli/output.h"
#include "coordinator/cli/stats.h"
#include "coordinator/text/stop.h"
#include "proto/prefix_hash.h"
#include "tests/lib/sim.h"

/* An id is a character, as in sim.h. These are tokens of other texts; the rest is itself. */
static const struct gguf_str pieces[128] = {
    ['H'] = {"Hello", 5}, ['W'] = {" world", 6}, ['<'] = {" \xe2\x82", 3}, /* the beginning of a character */
    ['>'] = {"\xac!", 2}, ['B'] = {"a\xff", 2},  ['$'] = {"", 0},
};
static char letters[128];

struct gguf_str tokenizer_piece(const struct tokenizer *t, int32_t id, bool special)
{
    (void)t;
    assert_false(special);
    assert_in_range(id, 0, 127);
    letters[id] = (char)id;
    return pieces[id].s ? pieces[id] : (struct gguf_str){&letters[id], 1};
}

/* A output that writes to memory what a simulated job tells it, token by token, as spec's actions come. */
struct scene {
    struct options o;
    struct sim_config sim;
    const char *names[3]; /* of the prompts */
    int bad;              /* the prompt before which one stands that cannot be answered, from 1 on; 0: none */
    bool terminal;
    int stop_ms, dies_ms;   /* all are cancelled, the drafter dies; 0: never */
    struct settings own[3]; /* of a text whose n_top is not 0: its own */

    char *out, *notes; /* what was shown; in out a '|' behind each event */
    size_t n_out, n_notes;
    struct sim *s;
    struct output *f;
    struct output_io io;
    struct prompt prompts[8];
    struct seq seen[8];
};

static int event(struct scene *c, int rc)
{
    if (c->o.format == FORMAT_TEXT) fputc('|', c->io.out), fflush(c->io.out);
    return rc;
}

/* The sequence as it is numbered where a prompt before it cannot be answered. */
static const struct seq *in_input(struct scene *c, const struct seq *s)
{
    struct seq *seen = &c->seen[s->request.index];
    if (!c->bad) return s;
    *seen = *s;
    seen->request.index += s->request.index >= c->bad - 1;
    return seen;
}

static int on_tokens(void *arg, const struct seq *s, struct err *err)
{
    struct scene *c = arg;
    return event(c, output_tokens(c->f, in_input(c, s), err));
}

static int on_done(void *arg, const struct seq *s, struct err *err)
{
    struct scene *c = arg;
    return event(c, output_done(c->f, in_input(c, s), err));
}

static char bad_name[] = "bad", bad_error[] = "f:2: no";

static void play(struct scene *c, const struct sim_text *texts, int n_texts)
{
    struct stops stops = {c->o.stops, c->o.n_stops, NULL};
    struct job_watch watch = {.tokens = on_tokens, .done = on_done, .arg = c};
    c->io = (struct output_io){open_memstream(&c->out, &c->n_out), open_memstream(&c->notes, &c->n_notes), c->terminal};
    const struct prompts prompts = {.n = n_texts + (c->bad > 0), .items = c->prompts};
    assert_int_equal(output_open_io(&c->f, &c->o, NULL, &prompts, &c->io, NULL), OK);
    for (int i = 0; i < 3; i++) c->prompts[i].name = (char *)(uintptr_t)c->names[i];
    if (c->bad) c->prompts[c->bad - 1] = (struct prompt){.name = bad_name, .error = bad_error};
    c->sim.watch = &watch;
    c->sim.stops = stop_reached;
    c->sim.stops_of = c->o.n_stops ? &stops : NULL;
    c->s = sim_open(&c->sim, texts, n_texts);
    for (int i = 0; i < 3; i++)
        if (c->own[i].n_top) sim_request(c->s, i, 0, 0, &c->own[i]);
    if (c->dies_ms) sim_fault(c->s, c->dies_ms, SIM_DRAFTER_DIES, 0);
    if (c->stop_ms) sim_fault(c->s, c->stop_ms, SIM_CANCEL_ALL, 0);
    sim_run(c->s);
    assert_int_equal(output_finish(c->f, 1000000000, c->stop_ms > 0, NULL), OK);
}

static void scene_close(struct scene *c)
{
    output_close(c->f);
    sim_close(c->s);
    fclose(c->io.out);
    fclose(c->io.notes);
    free(c->out);
    free(c->notes);
}

/* ---- one text ---- */

static const struct shown {
    const char *why, *stops[3];
    int draft_max;
    const char *big;
    int n;             /* tokens at most */
    const char *shown; /* a '|' behind each event: tokens, and at last the end */
} rows[] = {
    {"a text is shown as it is accepted", {0}, 0, "HW$", 9, "Hello| world||\n|"},
    {"a draft is shown as a whole", {0}, 4, "HW$", 9, "Hello| world|\n|"},
    {"bytes of an unfinished character wait for the rest", {0}, 0, "<>B", 3, " |\xe2\x82\xac!|a\xff|\n|"},
    {"a character that is never finished comes at the end, as it is", {0}, 0, "a<", 2, "a| |\xe2\x82\n|"},

    {"a stop that is a token", {" world"}, 0, "HWa", 9, "Hello||\n|"},
    {"a stop inside a token", {"el"}, 0, "HWa", 9, "H|\n|"},
    {"a stop over two tokens", {"o w"}, 0, "HWa", 9, "|Hell|\n|"},
    {"a stop at the end of a token", {"rld"}, 0, "HWa", 9, "Hello| wo|\n|"},
    {"a stop of many tokens", {"realm"}, 0, "a realm.", 9, "a| ||||||\n|"},
    {"a stop inside an accepted block", {"o w"}, 6, "abcHWde", 9, "a|bcHell|\n|"},
    {"a stop that begins before the block", {"realm"}, 6, "realms", 9, "||\n|"},
    {"a stop at the end of a block", {"ef"}, 4, "abcdefgh", 9, "a|bcd|\n|"},
    {"of several the one that ends first", {"world", "lo w", "o"}, 0, "HWa", 9, "Hell|\n|"},
    {"of two that end in one token the one that begins first", {"rld", "or"}, 4, "aHWb", 9, "a|Hello w|\n|"},
    {"a stop that begins another", {"abc", "ab"}, 0, "xabc", 9, "x|||\n|"},
    {"a stop that is the end of another", {"xab", "b"}, 0, "ab", 2, "a||\n|"},
    {"a beginning inside a beginning", {"aab"}, 0, "aaab", 9, "||a||\n|"},
    {"what only began to be a stop is text", {"ox"}, 0, "HWa", 3, "|Hello world|a|\n|"},
    {"what only began when the text ends is text", {"world!"}, 0, "HW", 2, "Hello| world|\n|"},
    {"a stop that is a character of two tokens", {"\xe2\x82\xac"}, 0, "a<>b", 9, "a|| |\n|"},
    {"a stop that ends inside a token of bytes", {"\xac"}, 0, "<>", 9, " ||\xe2\x82\n|"},
    {"a stop behind a character of two tokens", {"!"}, 6, "a<>b", 9, "a| \xe2\x82\xac|\n|"},
    {"a token without text is no stop, nor the end of one", {"ab"}, 0, "a$b", 9, "|a|\n|"},
};

static void a_text_is_shown_up_to_its_end_and_no_stop_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct shown *row = &rows[i];
        struct scene c = {.sim = {.draft_max = row->draft_max}};
        while (c.o.n_stops < 3 && row->stops[c.o.n_stops]) c.o.n_stops++;
        memcpy(c.o.stops, row->stops, sizeof row->stops);
        play(&c, &(struct sim_text){"?", row->big, NULL, row->n}, 1);
        if (strcmp(c.out, row->shown) != 0) fail_msg("%s: '%s', not '%s'", row->why, c.out, row->shown);
        scene_close(&c);
    }
}

static void colours_tell_drafts_from_bigs_own(void **state)
{
    (void)state;
    struct {
        enum when when;
        bool terminal, colored;
    } cases[] = {
        {WHEN_AUTO, true, true}, {WHEN_AUTO, false, false}, {WHEN_ALWAYS, false, true}, {WHEN_NEVER, true, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scene c = {.o = {.color = cases[i].when}, .sim = {.draft_max = 3}, .terminal = cases[i].terminal};
        play(&c, &(struct sim_text){"?", "HWWHa", "HWWBa", 5}, 1);
        assert_string_equal(c.out, cases[i].colored ? "Hello|\033[32m world world\033[33mHello|\033[0ma|\n|"
                                                    : "Hello| world worldHello|a|\n|");
        scene_close(&c);
    }
}

/* ---- several ---- */

static void several_texts_come_out_in_input_order(void **state)
{
    (void)state;
    struct scene c = {.names = {"first", NULL, "third"}, .sim = {.n_slots = 3}};
    const struct sim_text texts[] = {{"one", "HWH", NULL, 3}, {"two", "WWWW", NULL, 4}, {"three", "H", NULL, 1}};
    play(&c, texts, 3);
    /* One pass after the other: the third is done first, and the second waits for its turn, then streams. */
    assert_string_equal(c.out, "Hello|||| world||Hello|\n world world| world| world|\nHello\n|");
    assert_int_equal(strncmp(c.notes, "== first\n== 1\n== third\n", 23), 0);
    scene_close(&c);
}

enum { N_MANY = 5, N_SEEDS = 60 };

/* The index-th of lines of JSON. */
static json_t *line_of(const char *lines, int index)
{
    for (const char *at = lines; *at; at = strchr(at, '\n') + 1) {
        json_t *line = json_loadb(at, (size_t)(strchr(at, '\n') - at), 0, NULL);
        assert_non_null(line);
        if (index-- == 0) return line;
        json_decref(line);
    }
    return NULL;
}

/* Letters of which stops are likely, in any order of events: what a person sees is what a program reads, in input
 * order, and what a stop leaves of the tokens. */
static void text_and_json_lines_are_the_same_answers(void **state)
{
    (void)state;
    static const char *const stops[][3] = {{"ab"}, {"ba", "c"}, {"aab", "bbc"}, {"ca", "abca", "b"}};
    static const int n_stops[] = {1, 2, 2, 3};
    for (unsigned seed = 0; seed < N_SEEDS; seed++) {
        struct sim_text texts[N_MANY];
        char prompts[N_MANY][8], scripts[N_MANY][24];
        struct scene c[2] = {{.o = {.format = FORMAT_TEXT}}, {.o = {.format = FORMAT_JSONL}}};
        uint64_t random = seed;
        for (int i = 0; i < N_MANY; i++) {
            snprintf(prompts[i], sizeof prompts[i], "(%d)", i);
            for (size_t k = 0; k < sizeof scripts[i]; k++)
                scripts[i][k] = "abcabcabcc"[(random = prefix_hash_mix(random + 1)) % 10];
            scripts[i][sizeof scripts[i] - 1] = 0;
            texts[i] = (struct sim_text){prompts[i], scripts[i], NULL, 12};
        }
        for (int w = 0; w < 2; w++) {
            c[w].sim = (struct sim_config){
                .n_slots = 1 + (int)(seed % 3), .draft_max = (int)(seed % 5), .max_jobs = 12, .jitter = seed + 1};
            c[w].o.n_stops = n_stops[seed % 4];
            memcpy(c[w].o.stops, stops[seed % 4], sizeof stops[0]);
            play(&c[w], texts, N_MANY);
        }
        char *text = c[0].out, *to = text;
        for (char *from = text; *from; from++)
            if (*from != '|') *to++ = *from;
        *to = 0;
        for (int i = 0; i < N_MANY; i++) {
            json_t *line = line_of(c[1].out, i);
            const char *answer = json_string_value(json_object_get(line, "text"));
            bool stopped = !strcmp(json_string_value(json_object_get(line, "end")), "stop");
            size_t n = strlen(answer);
            assert_true(!strncmp(text, answer, n) && text[n] == '\n' && !strncmp(scripts[i], answer, n));
            for (int k = 0; k < c[0].o.n_stops; k++) assert_null(strstr(answer, c[0].o.stops[k]));
            if (!stopped) assert_int_equal(n, 12);
            text += n + 1;
            json_decref(line);
        }
        assert_int_equal(*text, 0);
        scene_close(&c[0]);
        scene_close(&c[1]);
    }
}

/* ---- what programs read, and what it cost ---- */

static const struct seq *the_seq(const struct scene *c)
{
    return sim_seq(c->s, 0);
}

static void a_line_of_json_gives_every_float_back(void **state)
{
    (void)state;
    struct scene c = {.o = {.format = FORMAT_JSONL}, .names = {"q81"}, .sim = {.draft_max = 2}};
    play(&c, &(struct sim_text){"??", "B<>a", "B<ba", 4}, 1);
    const struct seq *s = the_seq(&c);
    assert_ptr_equal(strchr(c.out, '\n'), c.out + c.n_out - 1);
    json_t *line = json_loads(c.out, 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "id")), "q81");
    assert_string_equal(json_string_value(json_object_get(line, "text")), "a\xef\xbf\xbd \xe2\x82\xac!a");
    assert_string_equal(json_string_value(json_object_get(line, "end")), "length");
    assert_int_equal(json_integer_value(json_object_get(line, "prompt_tokens")), 2);
    const char *origins[] = {"big", "draft", "correction", "big"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(json_integer_value(json_array_get(json_object_get(line, "ids"), i)), s->ids[2 + i]);
        float lp = (float)json_real_value(json_array_get(json_object_get(line, "logprobs"), i));
        assert_memory_equal(&lp, &s->lp[2 + i], sizeof lp);
        assert_string_equal(json_string_value(json_array_get(json_object_get(line, "origin"), i)), origins[i]);
    }
    json_t *top = json_array_get(json_array_get(json_object_get(line, "top"), 0), 0);
    assert_int_equal(json_integer_value(json_array_get(top, 0)), 'B');
    assert_int_equal(json_integer_value(json_object_get(json_object_get(line, "stats"), "tokens")), 4);
    json_decref(line);
    scene_close(&c);
}

/* A pass takes 10 ms, a drafted token 1, a letter 1. */
static void the_closing_line_counts_what_it_cost(void **state)
{
    (void)state;
    struct scene c = {.o = {.n_predict = 11}, .sim = {.draft_max = 4}};
    play(&c, &(struct sim_text){"?", "abcdefghijk", "abcdefgXijk", 11}, 1);
    /* The first token comes at 12 ms, after "a" and "bcdef" the draft "gX.." is cut at X, and the last token comes
     * at 64. */
    assert_string_equal(c.notes,
                        "192.3 token/s, first token after 0.01 s; drafts: 7 of 10 accepted (70 %; 88 % of 8 judged), "
                        "3.3 tokens a verify; draft 0.01 s, verify 0.04 s, network 0.01 s; cut at -n 11\n");
    scene_close(&c);
}

static void stats_say_how_drafts_were_chosen_and_why(void **state)
{
    (void)state;
    static const struct {
        struct sim_config sim;
        const char *line;
    } chosen[] = {
        {{.prior = {.1, .1}},
         "\ndrafts run ahead, up to 26 without a verdict at last: a drafted token takes 1.0 ms, one of the big model's "
         "own 10.0 ms, a row more in its pass 0.0 ms, a message there and back 4.0 ms, and a draft is right in 17 % of "
         "cases\n"},
        {{.prior = {.1, .1}, .shares_cores = true, .pass_ms = 40},
         "\ndrafts of up to 4 tokens, one after the other's verdict at last: a drafted token takes "},
        {{.prior = {2, 2}, .shares_cores = true}, "\nno drafts at last: a drafted token takes 20.0 ms, "},
    };
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        struct scene c = {.o = {.format = FORMAT_TEXT, .n_predict = 26, .stats = true}, .sim = chosen[i].sim};
        c.sim.draft_max = 4;
        c.sim.adaptive = true;
        c.sim.self_max = 64;
        c.sim.rtt_ms = 4;
        c.sim.shares_passes = true;
        play(&c, &(struct sim_text){"?", "abcdefghijklmnopqrstuvwxyz", NULL, 26}, 1);
        if (!strstr(c.notes, chosen[i].line)) fail_msg("it says %s", c.notes);
        scene_close(&c);
    }
}

/* The round trip is measured within the first second; the link is slower than the drafter. */
static void stats_say_nothing_of_a_round_trip_before_it_is_known(void **state)
{
    (void)state;
    struct stats t = {
        .choice = {
            .timed = true, .ahead = true, .window = 10, .block = 2, .draft_ns = 2e6, .plain_ns = 30e6, .right = .5}};
    char line[400];
    assert_true(stats_choice(&t, line, sizeof line));
    assert_string_equal(line, "drafts run ahead, up to 10 without a verdict, two in a message at last: a drafted token "
                              "takes 2.0 ms, one of the big model's own 30.0 ms, a row more in its pass 0.0 ms, and a "
                              "draft is right in 50 % of cases");
    t.choice.timed = false;
    assert_false(stats_choice(&t, line, sizeof line));
}

static void where_nothing_is_drafted_a_line_says_why(void **state)
{
    (void)state;
    static const char text[] = "abcdefghijklmnopqrstuvwxyz", wrong[] = "00000000000000000000000000";
    static const struct {
        const char *prompt, *little;
        int n_predict;
        struct sim_config sim;
        const char *line;
    } withheld[] = {
        {"?", NULL, 2, {.prior = {.1, .1}}, "no drafts: they begin after the second token, and the text ended before"},
        {"?", wrong, 26, {.prior = {.1, .1}}, "drafts paused 2 times: the last ones were all wrong; 0 % are accepted"},
        {"?", NULL, 12, {.suffix = true, .self_max = 64}, "no drafts: nothing in the text repeats"},
        {"????????????????????????????????????????",
         NULL,
         12,
         {.prior = {.5, .5}},
         "no drafts: the little model would take 0.02 s to read 42 tokens, to save 0.01 s of the next 9"},
        {"?",
         NULL,
         12,
         {.prior = {2, 2}},
         "no drafts: a drafted token would take 24.0 ms, one of the big model's own 12.0 ms, and 33 % would be right"},
        {"?",
         NULL,
         26,
         {.prior = {.1, .1}, .draft_ms = 30},
         "drafts paused 2 times: a drafted token takes 27.6 ms and 0.5 ms more to check, one of the big model's own "
         "12.0 ms, and 100 % are accepted"},
        {"?~?",
         NULL,
         12,
         {.prior = {.1, .1}, .n_ids = '~'},
         "no drafts: a token of the text is not in the little model's vocabulary"},
    };
    for (size_t i = 0; i < 2 * sizeof withheld / sizeof *withheld; i++) {
        const char *want = withheld[i / 2].line;
        struct scene c = {.o = {.format = i % 2 ? FORMAT_JSONL : FORMAT_TEXT, .n_predict = withheld[i / 2].n_predict},
                          .sim = withheld[i / 2].sim};
        c.sim.draft_max = 4;
        c.sim.adaptive = true;
        play(&c, &(struct sim_text){withheld[i / 2].prompt, text, withheld[i / 2].little, withheld[i / 2].n_predict},
             1);
        const char *line = strchr(c.notes, '\n') + 1;
        if (strncmp(line, want, strlen(want)) || strcmp(line + strlen(want), "\n")) fail_msg("it says %s", line);
        if (i % 2) {
            json_t *json = json_loads(c.out, 0, NULL);
            const json_t *stats = json_object_get(json, "stats");
            assert_string_equal(json_string_value(json_object_get(stats, "drafts_withheld")), want);
            json_decref(json);
        }
        scene_close(&c);
    }
}

static void totals_run_from_the_first_token_of_any_to_the_last(void **state)
{
    (void)state;
    struct scene c = {.o = {.stats = true, .n_predict = 2}, .names = {"a", "b"}};
    const struct sim_text texts[] = {{"one", "HW", NULL, 2}, {"two", "HW", NULL, 2}};
    play(&c, texts, 2);
    /* Tokens at 12, 24, 36 and 48 ms. */
    assert_non_null(strstr(c.notes, "\n2 prompts, 4 tokens in 1.0 s; 83.3 token/s, first token after 0.01 s (mean); "
                                    "summed over requests: draft 0.00 s, verify 0.04 s, network and one another's "
                                    "passes 0.01 s; 2 cut at -n 2\n"));
    assert_non_null(strstr(c.notes, "\na "));
    assert_non_null(strstr(c.notes, "\nall "));
    assert_non_null(strstr(c.notes, "\ndraft, verify, net: seconds, summed over requests"));
    scene_close(&c);
}

/* What is wrong with one stands where its answer would, whenever it is known. */
static void a_prompt_that_cannot_be_answered_has_its_turn(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"one", "H", NULL, 1}, {"two", "WW", NULL, 2}};
    for (int bad = 0; bad < 3; bad++) {
        for (int json = 0; json < 2; json++) {
            struct scene c = {.o = {.format = json ? FORMAT_JSONL : FORMAT_TEXT, .n_predict = 2}, .bad = bad + 1};
            play(&c, texts, 2);
            const char *at = c.out;
            for (int i = 0; json && i < 3; i++, at = strchr(at, '\n') + 1) {
                const char *begins = i == bad ? "{\"id\": \"bad\", \"error\": \"f:2: no\"}\n" : "{\"id\": \"";
                assert_int_equal(strncmp(at, begins, strlen(begins)), 0);
            }
            if (json) assert_int_equal(*at, 0);
            if (!json) assert_non_null(strstr(c.notes, "== bad\nf:2: no\n"));
            if (!json) assert_non_null(strstr(c.notes, "2 of 3 prompts, 3 tokens in "));
            scene_close(&c);
        }
    }
}

static void each_answer_ends_at_the_stops_of_its_request(void **state)
{
    (void)state;
    const char *const first[] = {"ell"}, *const third[] = {"x", "o w"};
    const struct stops stops[] = {{first, 1, NULL}, {0}, {third, 2, NULL}};
    const struct sim_text texts[] = {{"one", "HWa", NULL, 3}, {"two", "HWa", NULL, 3}, {"three", "HWa", NULL, 3}};
    for (int json = 0; json < 2; json++) {
        struct scene c = {.o = {.format = json ? FORMAT_JSONL : FORMAT_TEXT}};
        for (int i = 0; i < 3; i++) {
            c.own[i] = sim_settings(&c.sim);
            c.own[i].stops = stops[i].n ? &stops[i] : NULL;
        }
        play(&c, texts, 3);
        static const char *const answers[] = {"\"text\": \"H\", \"end\": \"stop\"",
                                              "\"text\": \"Hello worlda\", \"end\": \"length\"",
                                              "\"text\": \"Hell\", \"end\": \"stop\""};
        const char *at = c.out;
        for (int i = 0; i < 3 && json; i++, at = strchr(at, '\n') + 1)
            if (!strstr(at, answers[i]) || strstr(at, answers[i]) > strchr(at, '\n')) fail_msg("%d: %s", i, c.out);
        if (!json) assert_string_equal(c.out, "H|\n|Hello| world|a|\n||Hell|\n|");
        scene_close(&c);
    }
}

enum way { GREEDY, WARM, HOT, SEEDED, BILD, NARROW }; /* WARM: by the run's seed; NARROW: bild too */

static struct settings settings_of_way(const struct sim_config *config, enum way way)
{
    struct settings s = sim_settings(config);
    bool sampled = way == WARM || way == HOT || way == SEEDED;
    s.sampler.seed = way == SEEDED ? 5 : 9;
    if (sampled) s.sampler = (struct sampler){.seed = s.sampler.seed, .temp = way == HOT ? 2 : .5f, .top_p = 1};
    if (way == BILD || way == NARROW) s.rule = (struct rule){RULE_STRICT, 3};
    if (way == NARROW) s.draft_max = 2;
    return s;
}

#define ONE "temperature 0.5, top-k 0, top-p 1, min-p 0"
#define BILD_END "; 0 fallbacks (0.0 % of tokens), "

/* Of three, each as its own settings have it; and of one. */
static void closing_lines_say_how_each_text_was_chosen(void **state)
{
    (void)state;
    static const struct {
        enum way ways[3];
        int n;
        const char *lines; /* "": nothing is said; how it ends, of a lossy one begins */
    } said_of[] = {
        {{GREEDY, GREEDY, GREEDY}, 3, ""},
        {{WARM, WARM, WARM}, 3, "sampled: " ONE "; --seed 9 gives these texts again\n"},
        {{WARM, WARM, GREEDY}, 3, "sampled (2 of 3 prompts): " ONE "; --seed 9 gives these texts again\n"},
        {{WARM, SEEDED, GREEDY}, 3, "sampled (2 of 3 prompts): " ONE "; --seed 9 gives these texts again\n"},
        {{SEEDED, GREEDY, GREEDY}, 3, "sampled (1 of 3 prompts): " ONE "\n"},
        {{GREEDY, WARM, HOT},
         3,
         "sampled (2 of 3 prompts): with settings of their own; --seed 9 gives these texts again\n"},
        {{WARM}, 1, "sampled: " ONE "; --seed 9 gives this text again\n"},
        {{SEEDED}, 1, "sampled: " ONE "\n"},
        {{BILD}, 1, "lossy: bild, fallback 0, rollback 3 (strict), window 4" BILD_END},
        {{BILD, GREEDY, BILD}, 3, "lossy: bild (2 of 3 prompts), fallback 0, rollback 3 (strict), window 4" BILD_END},
        {{BILD, NARROW, WARM},
         3,
         "sampled (1 of 3 prompts): " ONE "; --seed 9 gives this text again\n"
         "lossy: bild (2 of 3 prompts), with settings of their own" BILD_END},
    };
    const struct sim_text texts[] = {{"one", "HWHW", NULL, 4}, {"two", "HWHW", NULL, 4}, {"three", "HWHW", NULL, 4}};
    for (size_t i = 0; i < sizeof said_of / sizeof *said_of; i++) {
        struct scene c = {.o = {.format = FORMAT_JSONL, .seed = 9}, .sim = {.draft_max = 4}};
        for (int k = 0; k < said_of[i].n; k++) c.own[k] = settings_of_way(&c.sim, said_of[i].ways[k]);
        play(&c, texts, said_of[i].n);
        const char *said = strchr(c.notes, '\n') + 1, *line = c.out;
        if (strncmp(said, said_of[i].lines, strlen(said_of[i].lines)) || (!*said_of[i].lines && *said))
            fail_msg("%zu: '%s', not '%s'", i, said, said_of[i].lines);
        for (int k = 0; k < said_of[i].n; k++) {
            json_t *answer = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
            const json_t *seed = json_object_get(answer, "seed");
            bool sampled = said_of[i].ways[k] == WARM || said_of[i].ways[k] == HOT || said_of[i].ways[k] == SEEDED;
            assert_int_equal(seed != NULL, sampled);
            if (sampled) assert_int_equal(json_integer_value(seed), said_of[i].ways[k] == SEEDED ? 5 : 9);
            json_decref(answer);
            line = strchr(line, '\n') + 1;
        }
        scene_close(&c);
    }
}

static void where_answers_have_lengths_of_their_own_no_one_is_named(void **state)
{
    (void)state;
    const struct sim_text texts[] = {{"one", "HWHW", NULL, 2}, {"two", "HWHW", NULL, 3}};
    struct scene c = {0};
    play(&c, texts, 2);
    assert_non_null(strstr(c.notes, "; 2 cut at -n, each at its own\n"));
    scene_close(&c);
}

/* A lossy text cannot go on without its drafter; the others do. The error of the only one is the program's to print. */
static void a_request_that_failed_says_why_beside_what_it_had(void **state)
{
    (void)state;
    static const struct sim_text texts[] = {
        {"one", "abcdefgh", NULL, 8}, {"two", "HWHWHWHW", NULL, 8}, {"three", "ab", NULL, 2}};
    static const struct {
        int n, lossy, dies_ms, n_slots;
        bool json;
        const char *out, *notes; /* parts of them; in out without the ends of events */
        bool says;               /* why, in notes */
    } failed[] = {
        {3, 1, 30, 2, false, "abcdefgh\nHello\nab\n", "== 0\n== 1\nthe drafter died\n== 2\n2 of 3 prompts, ", true},
        {3, 1, 30, 2, true, "\"text\": \"Hello\", \"end\": \"failed\", ", "2 of 3 prompts, ", false},
        {3, 1, 30, 2, true, ", \"error\": \"the drafter died\"}\n{\"id\": \"2\", ", "", false},
        {3, 2, 30, 1, false, "abcdefgh\nHello worldHello worldHello worldHello world\n", "", true}, /* it never began */
        {3, 2, 30, 1, false, "", "== 2\nthe drafter died\n2 of 3 prompts, ", true},
        {3, 2, 30, 1, true, "\"ids\": [], \"logprobs\": [], \"origin\": [], \"text\": \"\", \"end\": \"failed\", ", "",
         false},
        {1, 0, 30, 1, false, "a\n", "", false},
        {1, 0, 30, 1, true, ", \"error\": \"the drafter died\"}\n", "", false},
        {1, 0, 1, 1, false, "", "", false},
    };
    for (size_t i = 0; i < sizeof failed / sizeof *failed; i++) {
        struct scene c = {.o = {.format = failed[i].json ? FORMAT_JSONL : FORMAT_TEXT},
                          .sim = {.draft_max = 4, .n_slots = failed[i].n_slots},
                          .dies_ms = failed[i].dies_ms};
        c.own[failed[i].lossy] = settings_of_way(&c.sim, BILD);
        play(&c, texts, failed[i].n);
        char *shown = strdup(c.out), *to = shown;
        for (const char *from = c.out; *from; from++)
            if (*from != '|') *to++ = *from;
        *to = 0;
        bool says = strstr(c.notes, "the drafter died") != NULL;
        if (!strstr(shown, failed[i].out) || !strstr(c.notes, failed[i].notes) || says != failed[i].says)
            fail_msg("%zu: '%s' '%s'", i, shown, c.notes);
        free(shown);
        scene_close(&c);
    }
}

/* Of three the third never began; of the second no token is there yet. */
static void an_interrupted_text_is_kept(void **state)
{
    (void)state;
    const struct sim_text texts[] = {
        {"one", "HWHWHWHW", NULL, 8}, {"two", "HWHWHWHW", NULL, 8}, {"three", "H", NULL, 1}};
    for (int json = 0; json < 2; json++) {
        struct scene c = {.o = {.format = json ? FORMAT_JSONL : FORMAT_TEXT}, .sim = {.n_slots = 2}, .stop_ms = 30};
        play(&c, texts, 3);
        if (!json)
            assert_string_equal(c.out, "Hello|||\nHello|\n|");
        else
            assert_non_null(strstr(c.out, "\"end\": \"aborted\""));
        assert_non_null(strstr(c.notes, "interrupted; "));
        scene_close(&c);
    }
}

/* A reader that has gone: no event is said to have gone well. */
static void a_write_that_fails_is_an_error(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        struct sim *s = sim_open(&(struct sim_config){0}, &(struct sim_text){"?", "H", NULL, 1}, 1);
        sim_run(s);
        struct options o = {.format = json ? FORMAT_JSONL : FORMAT_TEXT};
        struct output_io io = {fopen("/dev/full", "w"), stderr, false};
        struct output *f;
        struct err err = {0};
        if (!io.out) skip();
        const struct prompts prompts = {.n = 1, .items = &(struct prompt){0}};
        assert_int_equal(output_open_io(&f, &o, NULL, &prompts, &io, NULL), OK);
        assert_int_equal(output_done(f, sim_seq(s, 0), &err), E_FAIL);
        assert_non_null(strstr(err.text, "standard output: No space left on device"));
        output_close(f);
        fclose(io.out);
        sim_close(s);
    }
}

static int n_given; /* allocations that go well */

static void *give_some(size_t n)
{
    return n_given-- > 0 ? malloc(n) : NULL;
}

/* Whatever of the line there is no memory for: no line then, and an error; never a line that lacks a part. */
static void a_line_of_json_is_whole_or_an_error(void **state)
{
    (void)state;
    struct options o = {.format = FORMAT_JSONL};
    const struct settings sampled = settings_of_way(&(struct sim_config){0}, WARM);
    struct sim *s = sim_open(&(struct sim_config){0}, &(struct sim_text){"?", "HWB", NULL, 3}, 1);
    sim_request(s, 0, 0, 0, &sampled);
    sim_run(s);
    int rc = E_FAIL, n_lost = 0;
    for (; rc != OK; n_lost++) {
        char *out;
        size_t n_out;
        struct output_io io = {open_memstream(&out, &n_out), stderr, false};
        struct output *f;
        struct err err = {0};
        const struct prompts prompts = {.n = 1, .items = &(struct prompt){0}};
        assert_int_equal(output_open_io(&f, &o, NULL, &prompts, &io, NULL), OK);
        n_given = n_lost;
        json_set_alloc_funcs(give_some, free);
        rc = output_done(f, sim_seq(s, 0), &err);
        json_set_alloc_funcs(malloc, free);
        output_close(f);
        fclose(io.out);
        if (rc != OK && (n_out || rc != E_FAIL || !strstr(err.text, "no memory for a line")))
            fail_msg("%d allocations: %d %s '%s'", n_lost, rc, err.text, out);
        if (rc == OK) assert_non_null(strstr(out, "\"ids\": [72, 87, 66]"));
        if (rc == OK) assert_non_null(strstr(out, "\"seed\": 9"));
        free(out);
    }
    assert_in_range(n_lost, 50, 1000);
    sim_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_shown_up_to_its_end_and_no_stop_is),
        cmocka_unit_test(colours_tell_drafts_from_bigs_own),
        cmocka_unit_test(several_texts_come_out_in_input_order),
        cmocka_unit_test(text_and_json_lines_are_the_same_answers),
        cmocka_unit_test(a_line_of_json_gives_every_float_back),
        cmocka_unit_test(the_closing_line_counts_what_it_cost),
        cmocka_unit_test(stats_say_how_drafts_were_chosen_and_why),
        cmocka_unit_test(stats_say_nothing_of_a_round_trip_before_it_is_known),
        cmocka_unit_test(where_nothing_is_drafted_a_line_says_why),
        cmocka_unit_test(totals_run_from_the_first_token_of_any_to_the_last),
        cmocka_unit_test(a_prompt_that_cannot_be_answered_has_its_turn),
        cmocka_unit_test(each_answer_ends_at_the_stops_of_its_request),
        cmocka_unit_test(closing_lines_say_how_each_text_was_chosen),
        cmocka_unit_test(where_answers_have_lengths_of_their_own_no_one_is_named),
        cmocka_unit_test(a_request_that_failed_says_why_beside_what_it_had),
        cmocka_unit_test(an_interrupted_text_is_kept),
        cmocka_unit_test(a_write_that_fails_is_an_error),
        cmocka_unit_test(a_line_of_json_is_whole_or_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
