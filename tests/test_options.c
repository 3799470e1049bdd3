/* The command line: what is read, and the one line about what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wordexp.h>

#include <cmocka.h>

#include "coordinator/cli/option_table.h"

/* Words are parted by single spaces. */
static int parse(struct options *o, const char *line, struct err *err)
{
    static char copy[512]; /* options borrow from argv */
    char *argv[64], *rest = copy;
    int argc = 0;
    snprintf(copy, sizeof copy, "pilotfish%s%s", *line ? " " : "", line);
    while (rest) argv[argc++] = strsep(&rest, " ");
    err->text[0] = 0;
    int rc = options_parse(o, argc, argv, err);
    bool in_one_process = rc == OK && o->command >= CMD_GENERATE && o->command <= CMD_BENCH_PAIR;
    return in_one_process ? options_need_models(o, err) : rc;
}

static void defaults_are_the_ones_that_help_names(void **state)
{
    (void)state;
    struct options o;
    struct err err;
    assert_int_equal(parse(&o, "generate --big B hello", &err), OK);
    assert_int_equal(o.command, CMD_GENERATE);
    assert_string_equal(o.big, "B");
    assert_string_equal(o.prompt, "hello");
    assert_null(o.little);
    assert_null(o.system);
    assert_int_equal(o.drafter, DRAFTER_NONE);
    assert_int_equal(o.draft_max, 8);
    assert_int_equal(o.draft_ctx, 64);
    assert_int_equal(o.draft_vocab, 65536);
    assert_int_equal(o.little_quant, LITTLE_Q4);
    assert_true(o.guard);
    assert_int_equal(o.n_predict, 0);
    assert_int_equal(o.ctx, 4096);
    assert_int_equal(o.threads, 0);
    assert_int_equal(o.tp * o.pp, 1);
    assert_int_equal(o.parallel, 4);
    assert_int_equal(o.color, WHEN_AUTO);
    assert_int_equal(o.format, FORMAT_TEXT);
    assert_false(o.raw || o.check || o.ignore_eos || o.stats || o.logprobs);
}

static void every_option_reaches_its_field(void **state)
{
    (void)state;
    struct options o;
    struct err err;
    assert_int_equal(
        parse(&o,
              "generate -m B -md L -f - -n 7 --draft-max=8 --draft-ctx 99 --draft-memory 5 --draft-vocab 0 "
              "--little-quant file --guard off --check --ignore-eos "
              "--logprobs 3 --ctx 100 --threads 2 --tp 3 --pp 2 --parallel 9 --color never -o jsonl --stats "
              "--system=",
              &err),
        OK);
    assert_string_equal(o.big, "B");
    assert_string_equal(o.little, "L");
    assert_string_equal(o.prompt_file, "-");
    assert_string_equal(o.system, "");
    assert_int_equal(o.drafter, DRAFTER_LITTLE);
    int numbers[] = {o.n_predict, o.draft_max, o.draft_ctx, o.draft_memory_mib, o.logprobs, o.ctx,
                     o.threads,   o.tp,        o.pp,        o.parallel};
    int expected[] = {7, 8, 99, 5, 3, 100, 2, 3, 2, 9};
    assert_memory_equal(numbers, expected, sizeof numbers);
    assert_false(o.guard);
    assert_int_equal(o.draft_vocab, 0);
    assert_int_equal(o.little_quant, LITTLE_FILE);
    assert_true(o.check && o.ignore_eos && o.stats);
    assert_int_equal(o.color, WHEN_NEVER);
    assert_int_equal(o.format, FORMAT_JSONL);
    options_free(&o); /* a note: --parallel, with one prompt */
}

static const char *or_none(const char *text)
{
    return text ? text : "(none)";
}

/* What a line comes to. */
static void describe(const char *line, char *out, size_t n)
{
    struct options o;
    struct err err;
    int rc = parse(&o, line, &err);
    if (rc != OK) fail_msg("'%s': code %d, %s", line, rc, err.text);
    snprintf(out, n, "%d %s %s %s %s %s %s %s %d %d %d %d %d %d %d %d %g %g %d %d %d", o.command, or_none(o.big),
             or_none(o.little), or_none(o.model), or_none(o.prompt), or_none(o.text), or_none(o.system),
             or_none(o.chat_template), o.n_predict, o.ctx, o.threads, o.seed, o.top_k, o.draft_max, o.tp, o.pp,
             (double)o.temp, (double)o.fallback, o.raw, o.color, o.format);
    options_free(&o);
}

/* Two lines that say the same: `line` as people know it from other programs. */
static void spellings_of_other_programs_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *line, *ours;
    } rows[] = {
        {"generate --model B -c 99 -t 3 -s 7 --temp 1 -sys S x",
         "generate --big B --ctx 99 --threads 3 --seed 7 --temp 1 --system S x"},
        {"generate -m B --model-draft L --ctx-size 99 --temperature 1 --max-tokens 9 x",
         "generate --big B --little L --ctx 99 --temp 1 --n-predict 9 x"},
        {"generate -m B --ctx_size=99 --n_predict=9 --temp .5 --top_k 4 x",
         "generate --big B --ctx 99 --n-predict 9 --temp .5 --top-k 4 x"},
        {"generate -m B -n -1 x", "generate --big B -n 0 x"},
        {"generate -m B --chat-template chatml --num-speculative-tokens 4 -md L --draft-p-min .5 x",
         "generate --big B --template chatml --draft-max 4 --little L --fallback .5 x"},
        {"generate -m B -tp 2 -pp 3 -no-cnv --colour never x", "generate --big B --tp 2 --pp 3 --raw --color never x"},
        {"generate -m B --temp 1 --seed -1 x", "generate --big B --temp 1 x"},
        {"tokenize -m M T", "tokenize --model M T"},
        {"tokenize --big M T", "tokenize --model M T"},
        {"worker --big M -t 2", "worker --model M --threads 2"},
        {"inspect -m F", "inspect F"},
        {"inspect F -o json", "inspect --model F -o json"},
        {"eval perplexity --model B T", "eval perplexity --big B T"},
        {"bench step -m B", "bench step --big B"},
        {"doctor --model B -c 99", "doctor --big B --ctx 99"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char theirs[400], ours[400];
        describe(rows[i].line, theirs, sizeof theirs);
        describe(rows[i].ours, ours, sizeof ours);
        assert_string_equal(theirs, ours);
    }
}

static void other_commands_take_their_argument(void **state)
{
    (void)state;
    struct options o;
    struct err err;
    assert_int_equal(parse(&o, "inspect F -o json", &err), OK);
    assert_string_equal(o.model, "F");
    assert_int_equal(o.format, FORMAT_JSON);
    assert_int_equal(parse(&o, "inspect F -o jsonl", &err), OK);
    assert_int_equal(o.format, FORMAT_JSONL);
    assert_int_equal(parse(&o, "tokenize --model M --no-special --detokenize T", &err), OK);
    assert_string_equal(o.model, "M");
    assert_string_equal(o.text, "T");
    assert_true(o.no_special && o.detokenize);
    assert_int_equal(parse(&o, "doctor --tp 2", &err), OK);
    assert_int_equal(o.command, CMD_DOCTOR);
}

static void help_is_asked_for_in_every_way(void **state)
{
    (void)state;
    struct {
        const char *line, *topic;
    } rows[] = {
        {"", NULL},
        {"help", NULL},
        {"-h", NULL},
        {"--help", NULL},
        {"help generate", "generate"},
        {"generate -h", "generate"},
        {"generate --big B --help", "generate"},
        {"inspect -h", "inspect"},
        {"help -h", "help"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct options o;
        struct err err;
        assert_int_equal(parse(&o, rows[i].line, &err), OK);
        assert_int_equal(o.command, CMD_HELP);
        if (rows[i].topic)
            assert_string_equal(o.help_topic, rows[i].topic);
        else
            assert_null(o.help_topic);
    }
    struct options o;
    struct err err;
    assert_int_equal(parse(&o, "--version", &err), OK);
    assert_int_equal(o.command, CMD_VERSION);
}

static void drafters_follow_from_what_is_given(void **state)
{
    (void)state;
    struct {
        const char *line;
        enum drafter drafter;
    } rows[] = {
        {"generate -m B x", DRAFTER_NONE},
        {"generate -m B -md L x", DRAFTER_LITTLE},
        {"generate -m B -md L --draft little x", DRAFTER_LITTLE},
        {"generate -m B --draft suffix x", DRAFTER_SUFFIX},
        {"generate -m B --draft ngram x", DRAFTER_SUFFIX},
        {"generate -m B -md L --draft none x", DRAFTER_NONE},
        {"generate -m B -md L --no-draft x", DRAFTER_NONE},
        {"doctor -m B --draft suffix", DRAFTER_SUFFIX},
        {"generate -m B --draft-plan layerskip:2 x", DRAFTER_PLAN},
        {"generate -m B --draft-plan layerskip:2 --no-draft x", DRAFTER_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct options o;
        struct err err;
        assert_int_equal(parse(&o, rows[i].line, &err), OK);
        assert_int_equal(o.drafter, rows[i].drafter);
    }
}

/* A file whose own name would be taken for one is given with its folder. */
static void a_draft_plan_may_have_a_name(void **state)
{
    (void)state;
    static const struct {
        const char *spelled, *plan;
        size_t n_name;
    } rows[] = {
        {"layerskip:2", "layerskip:2", 0}, {"half=layerskip:2", "layerskip:2", 4},
        {"a.b-c_1=ode:0x2", "ode:0x2", 7}, {"./a=b.json", "./a=b.json", 0},
        {"a=b=c.json", "b=c.json", 1},     {"=layerskip:2", "=layerskip:2", 0},
        {"balcony:a=b", "balcony:a=b", 0}, {"half=", "", 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct options o = {.draft_plans = {rows[i].spelled}};
        size_t n_name;
        assert_string_equal(options_draft_plan(&o, 0, &n_name), rows[i].plan);
        assert_int_equal(n_name, rows[i].n_name);
    }
}

static void draft_plans_are_told_apart_by_their_names(void **state)
{
    (void)state;
    struct options o;
    struct err err;
    assert_int_equal(
        parse(&o, "serve -m B --draft-plan a=skip:1 --draft-plan a2=layerskip:2 --draft-plan b=ode:0", &err), OK);
    assert_int_equal(o.drafter, DRAFTER_PLAN);
    assert_int_equal(o.n_draft_plans, 3);
    static const struct {
        const char *name;
        int depth, i;
    } rows[] = {{"a", 0, 0},     {"a2", 0, 1}, {"b", 0, 2}, {"a=", 0, -1}, {"skip:1", 0, -1},
                {"none", 0, -1}, {"a2", 2, 1}, {"", 2, 1},  {"a", 2, -1},  {"a2", 3, -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(options_find_draft_plan(&o, rows[i].name, strlen(rows[i].name), rows[i].depth), rows[i].i);
    options_free(&o);
}

/* --depth with several exits: a plan for each, of one name. */
static void depths_are_plans_of_one_name(void **state)
{
    (void)state;
    static const struct {
        const char *line, *plans[4];
    } rows[] = {
        {"serve -m B --depth 2,8", {"layerskip:2", "layerskip:8"}},
        {"serve -m B --draft-plan half=layerskip:3 --depth 2,8,1",
         {"half=layerskip:2", "half=layerskip:8", "half=layerskip:1"}},
        {"serve -m B --depth 10,20 --draft-plan balcony:a.gguf", {"balcony:a.gguf:10", "balcony:a.gguf:20"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct options o;
        struct err err;
        int n = 0;
        if (parse(&o, rows[i].line, &err) != OK) fail_msg("%s: %s", rows[i].line, err.text);
        for (; rows[i].plans[n]; n++) assert_string_equal(o.draft_plans[n], rows[i].plans[n]);
        assert_int_equal(o.n_draft_plans, n);
        for (int k = 0; k < n; k++) {
            size_t n_name;
            int depth = plan_depth(options_draft_plan(&o, k, &n_name));
            assert_true(depth > 0);
            assert_int_equal(options_find_draft_plan(&o, NULL, 0, depth), k);
            assert_true(!options_is_new_name(&o, k) || (n_name && k == 0));
        }
        options_free(&o);
    }
}

static void a_depth_is_the_exit_of_the_draft_plan(void **state)
{
    (void)state;
    static const struct {
        const char *line, *plan;
    } rows[] = {
        {"generate -m B --depth 8 x", "layerskip:8"},
        {"generate -m B --depth 2-8 x", "layerskip:2-8"},
        {"generate -m B --draft-plan layerskip:20 --depth 8 x", "layerskip:8"},
        {"generate -m B --depth 10 --draft-plan balcony:side.gguf x", "balcony:side.gguf:10"},
        {"generate -m B --depth 10 --draft-plan balcony:a:20 x", "balcony:a:10"},
        {"serve -m B --depth 3 --draft-plan half=layerskip:2", "half=layerskip:3"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct options o;
        struct err err;
        assert_int_equal(parse(&o, rows[i].line, &err), OK);
        assert_int_equal(o.drafter, DRAFTER_PLAN);
        assert_string_equal(o.draft_plans[0], rows[i].plan);
        assert_int_equal(o.n_draft_plans, 1);
        options_free(&o);
    }
}

static void what_is_wrong_is_said_in_one_line(void **state)
{
    (void)state;
    struct {
        const char *line, *says;
    } rows[] = {
        {"generate -m B -md L --draft-plan layerskip:2 x", "--draft-plan and --little: two drafters"},
        {"generate -m B --draft ngram --draft-plan layerskip:2 x", "--draft-plan and --draft: two drafters"},
        {"generate -m B -md L --depth 2 x", "--depth and --little: two drafters"},
        {"generate -m B --depth 0 x", "--depth 0: blocks before the exit: 8, or 2-8"},
        {"generate -m B --depth 8-2 x", "--depth 8-2: blocks before the exit"},
        {"serve -m B --depth 2,4-8", "--depth 2,4-8: a search of exits goes alone"},
        {"serve -m B --depth 2,", "blocks before the exit"},
        {"serve -m B --depth 1,2,3,4,5,6,7,8,9", "--depth 1,2,3,4,5,6,7,8,9: at most 8 exits"},
        {"serve -m B --depth 2,2", "--depth 2,2: an exit is given twice"},
        {"generate -m B --depth 2 --draft-plan skip:3 x", "chooses an exit, which skip:3 has not"},
        {"generate -m B --depth 2 --draft-plan swift x", "chooses an exit, which swift has not"},
        {"generate -m B --draft-plan none=layerskip:2 x", "by the name none a request asks for no drafts"},
        {"serve -m B --draft-plan a=skip:1 --draft-plan a=skip:2", "--draft-plan a=skip:2: another one has this name"},
        {"serve -m B --draft-plan a=skip:1 --draft-plan skip:2",
         "skip:2: of several plans each has a name: NAME=skip:2"},
        {"serve -m B --draft-plan skip:1 --draft-plan a=skip:2", "skip:1: of several plans each has a name"},
        {"serve -m B --draft-plan a=skip:1 --draft-plan b=swift", "--draft-plan b=swift: a search of plans goes alone"},
        {"serve -m B --draft-plan a=skip:1 --draft-plan b=skip:2 --depth 2", "--depth chooses the exit of one plan"},
        {"serve -m B --draft-plan 1=skip:1 --draft-plan 2=skip:1 --draft-plan 3=skip:1 --draft-plan 4=skip:1 "
         "--draft-plan 5=skip:1 --draft-plan 6=skip:1 --draft-plan 7=skip:1 --draft-plan 8=skip:1 --draft-plan "
         "9=skip:1",
         "--draft-plan: at most 8 plans"},
        {"generate -m B --draft-plan a=swift --accept bild x", "its plan depends on the time"},
        {"generate -m B --pp 2 --stage-share 20 x", "--stage-share: 20: not the weights of 2 stages"},
        {"generate -m B --tp 2 --shard-share 3 x", "--shard-share: 3: not the weights of 2 shards"},
        {"plan search -m B", "plan search needs a text"},
        {"plan", "plan needs hosts: --hosts FILE or --measure"},
        {"plan --hosts F --measure -m B", "plan needs hosts: only one of --hosts FILE or --measure"},
        {"plan --measure", "plan needs models: --big FILE [--little FILE], or --synthetic tD=MS,tT=MS"},
        {"plan --measure -m B --goal speed", "--goal speed: must be one of latency|throughput"},
        {"plan --hosts F --synthetic tD=1,tT=2 --slope 3", "--slope: --synthetic has its own"},
        {"generte", "did you mean generate?"},
        {"help tokenise", "did you mean tokenize?"},
        {"bake", "unknown command bake: see pilotfish help"},
        {"--big B", "a command comes first"},
        {"generate --prmpt x", "unknown option --prmpt: did you mean --prompt?"},
        {"generate --prmpt=x", "unknown option --prmpt: did you mean --prompt?"},
        {"generate --n_predit 3", "did you mean --n-predict?"},
        {"generate --max-tokns 3", "did you mean --max-tokens?"},
        {"generate --tok 3", "see pilotfish help generate"},
        {"generate --zzzzzzzzz", "see pilotfish help generate"},
        {"generate -prompt x", "write --prompt"},
        {"generate -n64", "write -n 64"},
        {"generate -m B --jinja", "--jinja: the file's own chat template is run"},
        {"generate -m B -v", "-v: --stats prints"},
        {"generate -m B -ngl 99",
         "-ngl: a worker computes all of its layers on CPU cores (--threads N sets how many), or all on a card"},
        {"chat -hf some/model", "-hf: no model is fetched here: scripts/fetch-model"},
        {"generate -m B --port=8080", "--port: pilotfish serve --big FILE"},
        {"server -m B", "server: pilotfish serve --big FILE"},
        {"run some-model", "run: an answer to one prompt: pilotfish generate"},
        {"get some-model", "get: scripts/fetch-model fetches"},
        {"-hf some/model", "-hf: no model is fetched here"},
        {"tokenize --max-tokens 3", "tokenize has no option --max-tokens"},
        {"generate -temp 1", "write --temp"},
        {"generate -temperature 1", "write --temperature"},
        {"tokenize --logprobs 3", "tokenize has no option --logprobs"},
        {"generate x", "generate needs a model: --big"},
        {"tokenize", "tokenize needs a model: --model"},
        {"inspect", "inspect needs a file"},
        {"inspect A B", "more than one FILE"},
        {"generate -m B one two", "more than one PROMPT: \"one\" and \"two\""},
        {"doctor x", "doctor takes no argument"},
        {"generate -m B -p x -f y", "two prompts"},
        {"generate -m B -p x y", "two prompts: \"y\" and --prompt"},
        {"generate -m B - -f y", "two prompts"},
        {"generate -m B --raw --system x y", "give only one of them"},
        {"generate -m B -md L --draft suffix x", "drafts without a model"},
        {"generate -m B --draft little x", "--little FILE"},
        {"doctor --draft little", "--little FILE"},
        {"generate -m B --draft suffix --no-draft x", "give only one of them"},
        {"generate -m B -m C x", "--big is given twice"},
        {"generate -m B x --prompt", "--prompt needs a value"},
        {"generate --big --prompt x", "--prompt is an option"},
        {"generate -m B --raw=1 x", "--raw takes no value"},
        {"generate -m B --tp two x", "not a whole number"},
        {"generate -m B --tp 2x x", "not a whole number"},
        {"generate -m B --tp= x", "not a whole number"},
        {"generate -m B --draft-max 0 x", "must be from 1 to 64"},
        {"generate -m B --draft-max 65 x", "must be from 1 to 64"},
        {"generate -m B --draft-vocab -1 x", "must be from 0 to"},
        {"generate -m B --little-quant q3 x", "must be one of q4|file"},
        {"generate -m B --logprobs 21 x", "must be from 0 to 20"},
        {"generate -m B --ctx 1 x", "must be from 2 to"},
        {"generate -m B --threads 1025 x", "must be from 0 to 1024"},
        {"generate -m B --parallel 257 x", "must be from 1 to 256"},
        {"generate -m B --pp 99999999999999999999 x", "must be from 1 to"},
        {"generate -m B -n -2 x", "--n-predict -2: must be from -1 to"},
        {"generate -m B --temp -1 x", "--temp -1: must be from 0 to 100"},
        {"generate -m B --temp nan x", "not a number"},
        {"generate -m B --temp 1 --top-p 1.5 x", "must be from 0 to 1"},
        {"generate -m B --temp 1 --top-p 0 x", "--top-p 0 leaves no id"},
        {"generate -m B --temp 1 --min-p 2 x", "must be from 0 to 1"},
        {"generate -m B --temp 1 --top-k -3 x", "must be from 0 to"},
        {"generate -m B --temp 1 --seed -2 x", "must be from -1 to"},
        {"generate -m B --top-k 3 x", "--top-k: it needs sampling (--temp T)"},
        {"generate -m B --seed 3 x", "--seed: it needs sampling"},
        {"generate -m B --accept foo x", "must be one of exact|sample|bild"},
        {"generate -m B --accept sample --temp 0 x", "needs a --temp over 0"},
        {"generate -m B --accept exact --temp 1 x", "--accept exact is greedy"},
        {"generate -m B -md L --accept bild --temp 1 x", "--accept bild is greedy"},
        {"generate -m B -md L --accept bild --check x", "does not promise"},
        {"generate -m B --accept bild x", "--accept bild needs a drafter"},
        {"generate -m B -md L --fallback -1 x", "must be from 0 to"},
        {"generate -m B -md L --rollback 3 x", "--rollback: it needs --accept bild"},
        {"generate -m B -md L --rollback-rule repo x", "--rollback-rule: it needs --accept bild"},
        {"generate -m B -md L --accept bild --rollback -1 x", "must be from 0 to"},
        {"generate -m B -md L --accept bild --rollback-rule foo x", "must be one of strict|repo"},
        {"generate -m B --stop= x", "an empty text is found everywhere"},
        {"generate -m B --net-delay x x", "not milliseconds as in 20, or in 20,drafter=5"},
        {"generate -m B --net-delay= x", "not milliseconds"},
        {"generate -m B --net-delay 20ms x", "not milliseconds"},
        {"generate -m B --net-delay nan x", "not milliseconds"},
        {"generate -m B --net-delay drafter=3 x", "not milliseconds"},
        {"generate -m B --net-delay 20,drafter= x", "not milliseconds"},
        {"generate -m B --net-delay 20,drafter=nan x", "not milliseconds"},
        {"generate -m B --net-delay 20,drafter=3,drafter=4 x", "not milliseconds"},
        {"generate -m B --net-delay 20,dafter=3 x", "not milliseconds"},
        {"generate -m B --net-delay -1 x", "--net-delay -1: must be from 0 to 10000"},
        {"generate -m B --net-delay inf x", "must be from 0 to 10000"},
        {"generate -m B --net-delay 5,drafter=10001 x", "must be from 0 to 10000"},
        {"generate -m B --net-jitter 1e9 x", "must be from 0 to 10000"},
        {"generate -m B --net-rate -3 x", "must be from 0 to"},
        {"tokenize --model B --net-delay 3", "tokenize has no option --net-delay"},
        {"generate -m B --color red x", "must be one of auto|always|never"},
        {"inspect F -o yaml", "must be one of text|jsonl|json"},
        {"inspect F --model G", "two files: F and --model"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct options o;
        struct err err;
        int rc = parse(&o, rows[i].line, &err);
        if (rc != E_USAGE || !strstr(err.text, rows[i].says) || strchr(err.text, '\n')) {
            fail_msg("'%s': code %d, \"%s\" does not say \"%s\"", rows[i].line, rc, err.text, rows[i].says);
        }
    }
}

static void help_of_prompts_names_the_options_that_a_line_may_have(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_options; i++) {
        char name[WORD_ROOM];
        snprintf(name, sizeof name, "%s", option_table[i].name);
        for (char *c = name; *c; c++)
            if (*c == '-') *c = '_';
        if (option_table[i].commands & OF_ROWS && !strstr(option_named("prompts")->help, name)) fail_msg("%s", name);
    }
}

/* Of --accept and --temp the one that was said nearer counts; what is said at one place must go together. */
static void the_method_is_the_one_of_the_higher_origin(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *line; /* of a variable; the command line */
        enum accept accept;
        float temp;
        int draft_max;
    } rows[] = {
        {"PILOTFISH_TEMP", ".5", "generate -m B -md L x", ACCEPT_SAMPLE, .5f, 8},
        {"PILOTFISH_TEMP", ".5", "generate -m B -md L --accept bild x", ACCEPT_BILD, 0, 10},
        {"PILOTFISH_TEMP", ".5", "generate -m B -md L --accept exact x", ACCEPT_EXACT, 0, 8},
        {"PILOTFISH_TEMP", ".5", "generate -m B -md L --accept sample x", ACCEPT_SAMPLE, .5f, 8},
        {"PILOTFISH_TEMP", "0", "generate -m B -md L --accept sample x", ACCEPT_SAMPLE, 1, 8},
        {"PILOTFISH_ACCEPT", "bild", "generate -m B -md L --temp 2 x", ACCEPT_SAMPLE, 2, 8},
        {"PILOTFISH_ACCEPT", "bild", "generate -m B -md L --temp 0 x", ACCEPT_BILD, 0, 10},
        {"PILOTFISH_ACCEPT", "sample", "generate -m B -md L --temp 0 x", ACCEPT_EXACT, 0, 8},
        {"PILOTFISH_ROLLBACK", "2", "generate -m B -md L x", ACCEPT_EXACT, 0, 8}, /* not in use */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct options o;
        struct err err;
        setenv(rows[i].name, rows[i].value, 1);
        int rc = parse(&o, rows[i].line, &err);
        unsetenv(rows[i].name);
        if (rc != OK || o.accept != rows[i].accept || o.temp != rows[i].temp || o.draft_max != rows[i].draft_max)
            fail_msg("%s=%s %s: %s, %d, %g, %d", rows[i].name, rows[i].value, rows[i].line, rc == OK ? "" : err.text,
                     o.accept, (double)o.temp, o.draft_max);
        options_free(&o);
    }
}

static void a_value_may_look_like_an_option_after_an_equals_sign(void **state)
{
    (void)state;
    struct options o;
    struct err err;
    assert_int_equal(parse(&o, "generate -m B --prompt=--raw", &err), OK);
    assert_string_equal(o.prompt, "--raw");
    assert_int_equal(parse(&o, "generate -m B -- --raw", &err), OK);
    assert_string_equal(o.prompt, "--raw");
    assert_false(o.raw);
    assert_int_equal(parse(&o, "generate -m B -", &err), OK);
    assert_string_equal(o.prompt_file, "-");
    assert_null(o.prompt);
}

static void what_has_no_effect_is_noted(void **state)
{
    (void)state;
    static const struct {
        const char *line, *notes; /* NULL: none */
    } rows[] = {
        {"generate -m B x", NULL},
        {"generate -m B -md L --fallback .5 --draft-max 4 --guard off --check x", NULL},
        {"generate -m B --fallback .5 x", "note: --fallback has no effect: the little model does not draft here"},
        {"generate -m B -md L --no-draft --draft-max 4 x", "note: --draft-max has no effect: there is no drafter"},
        {"generate -m B --draft-memory 9 x", "note: --draft-memory has no effect: there is no drafter"},
        {"worker --model B --draft-memory 9", NULL},
        {"generate -m B --draft suffix --draft-ctx 9 x",
         "note: --draft-ctx has no effect: the little model does not draft here"},
        {"generate -m B --draft-ahead 8 x", "note: --draft-ahead has no effect: the little model does not draft here"},
        {"generate -m B -md L --draft-ahead 8 --draft-block 2 x", NULL},
        {"generate -m B -md L --draft-ahead 8 --draft-block 2 --self-max 0 x", NULL},
        {"generate -m B -md L --draft-block 2 --self-max 0 x",
         "note: --draft-block has no effect: the little model waits for each verdict (--self-max)"},
        {"generate -m B -md L --draft-ahead 0 --self-max 0 --accept bild x", NULL},
        {"generate -m B --guard off x", "note: --guard has no effect: there is no drafter"},
        {"generate -m B -md L --accept bild --guard on x", "note: --guard has no effect: the text of --accept bild"},
        {"generate -m B --check x", "note: --check has no effect: there is no drafter"},
        {"generate -m B --draft-plan a=skip:1 --draft-plan b=skip:2 x", "note: of 2 plans for drafts the first drafts"},
        {"generate -m B --depth 2,3,4 x", "note: of 3 plans for drafts the first drafts"},
        {"serve -m B --draft-plan a=skip:1 --draft-plan b=skip:2", NULL},
        {"config --show -m B --draft-plan a=skip:1 --draft-plan b=skip:2", NULL},
        {"generate -m B --device-number 0 x", "note: --device-number has no effect: no device computes"},
        {"generate -m B --device auto --device-number 0 x", NULL},
        {"generate -m B --logprobs 3 x",
         "note: --logprobs has no effect: it is printed in lines of JSON only (-o jsonl)"},
        {"generate -m B --logprobs 3 -o json x", NULL},
        {"generate -m B --color always -o jsonl x", "note: --color has no effect: lines of JSON"},
        {"generate -m B --special x", NULL},
        {"generate -m B --special --raw x", "note: --special has no effect: the text of --raw is no message"},
        {"generate -m B --parallel 3 x", "note: --parallel has no effect: there is one prompt"},
        {"generate -m B --parallel 3 --prompts x", NULL},
        {"chat -m B --groups 2", "note: --groups has no effect: requests are computed one after the other"},
        {"bench pair -m B -md L --groups 2 --prompts x", "note: --groups has no effect: requests are computed one"},
        {"serve -m B --groups 2", NULL},
        {"serve -m B --drafters 2", "note: --drafters has no effect: the little model does not draft here"},
        {"chat -m B -md L --drafters 2", "note: --drafters has no effect: requests are computed one after the other"},
        {"serve -m B -md L --drafters 2", NULL},
        {"bench step -m B --draft-vocab 9", "note: --draft-vocab has no effect: the little model does not draft here"},
        {"bench step -m B -md L --draft-vocab 9", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct options o;
        struct err err;
        assert_int_equal(parse(&o, rows[i].line, &err), OK);
        if (!rows[i].notes != !o.notes || (o.notes && !strstr(o.notes, rows[i].notes)))
            fail_msg("'%s': notes '%s', not '%s'", rows[i].line, or_none(o.notes), or_none(rows[i].notes));
        options_free(&o);
    }
}

/* The help of a command (NULL: all) as text; the caller frees it. NULL: no such command. */
static char *help_of(const char *command)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    dup2(fileno(file), STDOUT_FILENO);
    bool known = options_help(command);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    char *text = calloc(1, 1 << 16);
    rewind(file);
    size_t n = fread(text, 1, (1 << 16) - 1, file);
    assert_in_range(n, known, (1 << 16) - 2);
    fclose(file);
    if (known) return text;
    free(text);
    return NULL;
}

/* Every call of pilotfish among them, up to a pipe, a redirection or a ':'. Returns how many there are. */
static int parse_calls(const char *examples)
{
    int n_calls = 0;
    char *text = strdup(examples);
    for (char *at = text; (at = strstr(at, "pilotfish ")); n_calls++) {
        wordexp_t words;
        struct options o;
        struct err err = {0};
        char *end = at + strcspn(at, "|<>\n"), *colon = strstr(at, " : ");
        if (colon && colon < end) end = colon;
        char *call = strndup(at, (size_t)(end - at));
        assert_int_equal(wordexp(call, &words, WRDE_NOCMD | WRDE_UNDEF), 0);
        if (options_parse(&o, (int)words.we_wordc, words.we_wordv, &err) != OK) fail_msg("%s: %s", call, err.text);
        assert_null(o.notes);
        options_free(&o);
        wordfree(&words);
        free(call);
        at = end;
    }
    free(text);
    return n_calls;
}

static void examples_of_help_are_taken(void **state)
{
    (void)state;
    for (int i = 0; i < N_COMMANDS; i++)
        if (i != CMD_HELP && i != CMD_VERSION) assert_in_range(parse_calls(command_texts[i].examples), 2, 3);
}

static void help_fits_a_terminal_of_100_columns(void **state)
{
    (void)state;
    char *all = help_of(NULL);
    assert_null(help_of("bake"));
    for (size_t i = 0; i <= N_COMMANDS; i++) {
        char *text = i < N_COMMANDS ? help_of(command_texts[i].name) : all;
        for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
            size_t n = strlen(line);
            if (n > 100 || (n && line[n - 1] == ' ')) fail_msg("'%s': over 100 columns, or a blank at its end", line);
        }
        free(text);
    }
}

/* `config --show` prints what options_parse made of an empty line; help prints the table's word. */
static void help_and_config_agree_on_defaults(void **state)
{
    (void)state;
    struct options o;
    struct err err;
    int n_defaults = 0;
    assert_int_equal(parse(&o, "config --show", &err), OK);
    for (size_t i = 0; i < n_options; i++) {
        const struct option *p = &option_table[i];
        char line[128], word[128];
        if (!p->preset) continue;
        n_defaults++;
        snprintf(line, sizeof line, "; %s = %s ; default\n", p->name, p->preset);
        if (!strstr(o.settings, line)) fail_msg("config --show has no line '%s'", line);
        snprintf(line, sizeof line, "--%s %s", p->name, p->value);
        snprintf(word, sizeof word, "(default: %s%s", p->preset, p->preset_of[ACCEPT_BILD] ? ";" : "");
        for (int k = 0; k < N_COMMANDS; k++) {
            if (!(p->commands & 1u << k)) continue;
            char *help = help_of(command_texts[k].name), *at = strstr(help, line),
                 *shown = at ? strstr(at, word) : NULL;
            char *next = at ? strstr(at + 1, "\n  -") : NULL;
            if (!shown || (next && shown > next)) fail_msg("help %s: no %s at %s", command_texts[k].name, word, line);
            free(help);
        }
    }
    assert_in_range(n_defaults, 20, n_options);
    options_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_ones_that_help_names),
        cmocka_unit_test(every_option_reaches_its_field),
        cmocka_unit_test(other_commands_take_their_argument),
        cmocka_unit_test(help_is_asked_for_in_every_way),
        cmocka_unit_test(drafters_follow_from_what_is_given),
        cmocka_unit_test(a_draft_plan_may_have_a_name),
        cmocka_unit_test(draft_plans_are_told_apart_by_their_names),
        cmocka_unit_test(depths_are_plans_of_one_name),
        cmocka_unit_test(a_depth_is_the_exit_of_the_draft_plan),
        cmocka_unit_test(what_is_wrong_is_said_in_one_line),
        cmocka_unit_test(help_of_prompts_names_the_options_that_a_line_may_have),
        cmocka_unit_test(the_method_is_the_one_of_the_higher_origin),
        cmocka_unit_test(a_value_may_look_like_an_option_after_an_equals_sign),
        cmocka_unit_test(spellings_of_other_programs_are_taken),
        cmocka_unit_test(what_has_no_effect_is_noted),
        cmocka_unit_test(help_and_config_agree_on_defaults),
        cmocka_unit_test(examples_of_help_are_taken),
        cmocka_unit_test(help_fits_a_terminal_of_100_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
