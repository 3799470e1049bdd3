#include "coordinator/cli/option_table.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "proto/wire.h"

#define BIT(command) (1u << (command))
#define AT(member) offsetof(struct options, member)

enum {
    GEN = BIT(CMD_GENERATE),
    CHAT = BIT(CMD_CHAT),
    SERVE = BIT(CMD_SERVE),
    CMP = BIT(CMD_COMPARE),
    PPL = BIT(CMD_PERPLEXITY),
    SEARCH = BIT(CMD_PLAN_SEARCH),
    PARETO = BIT(CMD_PARETO),
    SCORE = PPL | SEARCH | PARETO, /* they score a text */
    ROWS = BIT(CMD_ROWS),
    PAIR = BIT(CMD_BENCH_PAIR),
    STEP = BIT(CMD_BENCH_STEP),
    KERNELS = BIT(CMD_BENCH_KERNELS),
    SPEC = BIT(CMD_BENCH_SPEC),
    SIM = BIT(CMD_SIMULATE),
    CLIENT = BIT(CMD_BENCH_SERVE), /* of a server */
    SWEEP = SPEC | SIM,
    MANY = GEN | CMP | PAIR | SPEC, /* a file of prompts */
    PRINTS = MANY | CHAT,           /* they print text */
    TEXT = PRINTS | SERVE,          /* they write text */
    TOK = BIT(CMD_TOKENIZE),
    INS = BIT(CMD_INSPECT),
    DOC = BIT(CMD_DOCTOR),
    PLAN = BIT(CMD_PLAN), /* of a layout */
    CONFIG = BIT(CMD_CONFIG),
    WORKER = BIT(CMD_WORKER),
    WORK = TEXT | CLIENT | WORKER | STEP | KERNELS | SWEEP | SCORE | ROWS | TOK | INS | DOC | PLAN,
    ALL = BIT(CMD_HELP) | BIT(CMD_VERSION) | CONFIG | WORK,
    LONGEST_CONTEXT = CONTEXT_MOST,
    NET_MOST_MS = 10000 /* a job waits for no worker longer than minutes */
};

/* clang-format off: a row is an option, its help begins a line */
const struct option option_table[] = {
    {"big", "-m --model", TEXT | STEP | SCORE | ROWS | DOC | PLAN, OPTION_TEXT, AT(big), "FILE", 0, 0,
     .heading = "Models",
     .help = "the big model, which decides the text: a GGUF file, or a\n"
             "directory of config.json, tokenizer.json and safetensors"},
    {"little", "-md --model-draft --draft-model --speculative-model", TEXT | STEP | DOC | PLAN, OPTION_TEXT, AT(little),
     "FILE", 0, 0, .help = "the little model, which drafts: smaller, with the same\nvocabulary"},
    {"plan", NULL, TEXT | STEP | PPL | INS, OPTION_TEXT, AT(plan), "PLAN", 0, 0,
     .help = "run only a part of the big model (lossy): skip:3,7-9,12a (all\n"
             "blocks but these; a, m: its attention, its MLP), layerskip:8\n"
             "(the first 8), balcony:FILE (and the block of a side file),\n"
             "ode:0,1x4@2.5,2 (in this order; x: times, @: step), or a\n"
             "file of JSON (proto/plan.h)"},
    {"model", "-m --big", TOK | INS | WORKER, OPTION_TEXT, AT(model), "FILE", 0, 0,
     .help = "the model: a GGUF file, or a directory of config.json,\ntokenizer.json and safetensors"},

    {"synthetic", NULL, SWEEP | PLAN, OPTION_SYNTHETIC, AT(synthetic), "tD=MS,tT=MS", 0, 0,
     .help =
         "no models: tD: what a drafted token takes; tT: what a pass of\none row takes, or of 1, 2, ... rows, "
         "tT=30:30:31; slope=P:\neach row more takes P percent of the first (default: 0).\nsimulate has also beside=F: "
         "how many times as long a draft and a\npass of one row take beside each other, as bench step shows for\n"
         "cores that share a memory (default: 1)"},
    {"accept-rate", NULL, SWEEP | PLAN | OF_SWEEPS, OPTION_NUMBER, AT(accept_rate), "A", 0, 1,
     .help = "the chance that a synthetic draft is right"},
    {"accept-curve", NULL, SWEEP, OPTION_CURVE, AT(accept_curve), "S1,S2,...", 0, 1,
     .help = "in place of it, the chances that 1, 2, ... drafts in a row\nare right"},
    {"accept-trace", NULL, SIM, OPTION_TEXT, AT(accept_trace), "FILE", 0, 0,
     .help = "in place of both: drafts are right where those of real texts\nwere, lines of generate -o jsonl "
             "--draft-max 64\n--draft-ahead 0 --guard off"},

    {"prompt", "-p", GEN, OPTION_TEXT, AT(prompt), "TEXT", 0, 0, .heading = "Prompt",
     .help = "the prompt; it may also be the argument; piped standard input\nfollows it"},
    {"file", "-f", GEN, OPTION_TEXT, AT(prompt_file), "FILE", 0, 0,
     .help = "the prompt is this file, without its last newline\n(-: standard input, also read if no prompt is given)"},
    {"prompts", NULL, MANY | CLIENT, OPTION_TEXT, AT(prompts_file), "FILE", 0, 0,
     .help = "JSON lines, each a prompt: \"messages\" (OpenAI's), \"turns\"\n(the first one), \"prompt\" or \"text\"; "
             "its name is \"id\" or\n\"question_id\"; a line may have settings of its own:\n"
             "n_predict, stop, temp, top_k, top_p, min_p, seed, draft_max,\nfallback, accept, rollback, rollback_rule"},
    {"system", "-sys --system-prompt", TEXT, OPTION_TEXT, AT(system), "TEXT", 0, 0,
     .help = "the system message; \"\" is an empty one (default: the chat\ntemplate's own)"},
    {"template", "--chat-template", TEXT, OPTION_TEXT, AT(chat_template), "NAME", 0, 0,
     .help =
         "the chat template, if the file has none or one that cannot\nbe run here: chatml, llama2, llama3, gemma, "
         "phi3, zephyr,\nmistral, mistral-v1, mistral-v3, mistral-tekken, deepseek,\nllama4, phi4, phi4-mini, granite, "
         "deepseek-r1, deepseek-coder"},
    {"think", NULL, TEXT, OPTION_CHOICE, AT(think), "auto|off|on", 0, 0, .preset = "auto",
     .help = "whether an answer may begin with thoughts, if the chat\ntemplate can switch that; auto: the template's "
             "default"},
    {"special", NULL, TEXT, OPTION_FLAG, AT(special), NULL, 0, 0, .needs = NEEDS_MESSAGES,
     .help = "text like <|im_end|> in a message is that token, not plain\ntext; with --raw it always is"},
    {"raw", "--no-conversation -no-cnv", MANY | SERVE | CLIENT, OPTION_FLAG, AT(raw), NULL, 0, 0,
     .help = "no chat template: continue the text as it is"},
    {"ctx", "-c --ctx-size --context-size --n-ctx --max-model-len", TEXT | DOC | PLAN, OPTION_COUNT, AT(ctx), "N", 2,
     LONGEST_CONTEXT, .preset = "4096", .help = "tokens that a sequence may have, prompt included"},

    {"n-predict", "-n --predict --max-tokens --max-new-tokens --max-completion-tokens", TEXT | SWEEP | CLIENT | OF_ROWS,
     OPTION_COUNT, AT(n_predict), "N", -1, LONGEST_CONTEXT, .preset = "0", .heading = "Length of the answer",
     .help = "tokens to generate, at most; 0 or -1: until the model ends\nits text or the context is full"},
    {"stop", NULL, TEXT | OF_ROWS, OPTION_STOP, 0, "TEXT", 0, 0,
     .help = "end the text before this one; may be given several times"},
    {"ignore-eos", NULL, MANY | SERVE | CLIENT, OPTION_FLAG, AT(ignore_eos), NULL, 0, 0,
     .help = "go on after the ids that end a text"},

    {"temp", "--temperature", TEXT | CLIENT | OF_ROWS, OPTION_NUMBER, AT(temp), "T", 0, 100, .preset = "0",
     .preset_of = {[ACCEPT_SAMPLE] = "1"}, .heading = "Sampling",
     .help = "sample at this temperature; 0: the likeliest token"},
    {"top-k", NULL, TEXT | OF_ROWS, OPTION_COUNT, AT(top_k), "N", 0, INT_MAX, .preset = "0", .needs = NEEDS_SAMPLING,
     .help = "sample from the N likeliest ids only; 0: from all"},
    {"top-p", NULL, TEXT | OF_ROWS, OPTION_NUMBER, AT(top_p), "P", 0, 1, .preset = "1", .needs = NEEDS_SAMPLING,
     .help = "then from the likeliest ids that make up P of the rest"},
    {"min-p", NULL, TEXT | OF_ROWS, OPTION_NUMBER, AT(min_p), "P", 0, 1, .preset = "0", .needs = NEEDS_SAMPLING,
     .help = "then from ids at least P times as likely as the best"},
    {"seed", "-s", TEXT | SWEEP | CLIENT | OF_ROWS, OPTION_COUNT, AT(seed), "N", -1, INT_MAX, .preset = "-1",
     .needs = NEEDS_SAMPLING,
     .help = "the same seed gives the same text; lines of --prompts differ\nby their place, unless a line has its own "
             "\"seed\"; -1: a\nrandom one"},

    {"draft", NULL, TEXT | DOC, OPTION_CHOICE, AT(draft), "none|little|suffix", 0, 0, .heading = "Drafts",
     .help =
         "the drafter; suffix (or ngram) needs no model: the big model's\nworkers go on as earlier text did, after the "
         "longest match of\nthe text's end (default: little with --little, else none)"},
    {"draft-plan", NULL, TEXT, OPTION_PLAN, 0, "[NAME=]PLAN", 0, 0,
     .help = "the big model drafts for itself, by a part of its blocks that\n"
             "the first stage has: spelled as --plan; swift: it looks for such\na part while it decodes, in 3 % of its "
             "time (swift:P: P %);\nlayerskip:E-F: for an exit; balcony:FILE:E-F: for one of a side\nfile's. May be "
             "given again: requests of serve ask for a plan by\nNAME, all others have the first"},
    {"depth", NULL, TEXT, OPTION_TEXT, AT(depth), "E", 0, 0,
     .help = "exit behind E blocks: --draft-plan layerskip:E, or the exit E of\nits balcony:FILE; E-F: the best of "
             "these; E,F: requests of serve\nask for one by its depth, all others have the first"},
    {"no-draft", NULL, TEXT | DOC | PLAN, OPTION_FLAG, AT(no_draft), NULL, 0, 0, .help = "the big model alone"},
    {"draft-max", "--draft-n --num-speculative-tokens", TEXT | SWEEP | OF_ROWS | OF_SWEEPS, OPTION_COUNT, AT(draft_max),
     "N", 1, DRAFTS_MOST, .preset = "8", .preset_of = {[ACCEPT_BILD] = "10"}, .needs = NEEDS_DRAFTER,
     .help = "the most drafts of a round, checked in one pass; a little\nmodel that runs ahead goes by --draft-ahead"},
    {"draft-ahead", NULL, TEXT | SWEEP | OF_SWEEPS, OPTION_COUNT, AT(draft_ahead), "N", -1, LONGEST_CONTEXT,
     .preset = "-1", .needs = NEEDS_AHEAD,
     .help =
         "drafts that the little model may write before earlier ones\nare checked; 0: it waits; -1: as many as pay, if "
         "it has\ncores of its own. bild: 0: no window is written before the\nverdict on the one before"},
    {"draft-block", NULL, TEXT | SWEEP | OF_SWEEPS, OPTION_COUNT, AT(draft_block), "N", 0, DRAFTS_MOST, .preset = "0",
     .needs = NEEDS_AHEAD,
     .help = "of those, how many go in one message; 0: one, or two\nwhere the link is slower than the little model"},
    {"draft-ctx", NULL, TEXT, OPTION_COUNT, AT(draft_ctx), "N", 1, LONGEST_CONTEXT, .preset = "64",
     .needs = NEEDS_LITTLE, .help = "the most tokens of the prompt that the little model reads"},
    {"draft-memory", NULL, GEN | CHAT | CMP | WORKER, OPTION_COUNT, AT(draft_memory_mib), "MIB", 0, 1 << 16,
     .preset = "0", .needs = NEEDS_DRAFTER,
     .help =
         "suffix: also go on as earlier answers of this job did, of\nwhich the big model's first worker keeps the last "
         "in so much\nmemory, 65536 tokens a MiB, and never on disk; requests share\nit; 0: each has its own text "
         "only"},
    {"draft-vocab", NULL, TEXT | STEP, OPTION_COUNT, AT(draft_vocab), "N", 0, INT_MAX, .preset = "65536",
     .needs = NEEDS_LITTLE,
     .help = "the little model proposes ids below this, which are the\nfrequent ones, and those of the text; 0: all"},
    {"little-quant", NULL, TEXT | STEP, OPTION_CHOICE, AT(little_quant), "q4|file", 0, 0, .preset = "q4",
     .needs = NEEDS_LITTLE,
     .help = "the little model's weights: q4: 5 bits where the file has\nmore, made at load; file: as they are"},
    {"fallback", "--draft-p-min", TEXT | OF_ROWS | OF_SWEEPS, OPTION_NUMBER, AT(fallback), "P", 0, INT_MAX,
     .preset = "0", .preset_of = {[ACCEPT_BILD] = "0.6"}, .needs = NEEDS_OPINION,
     .help = "a draft ends before a token for which the little model's\nhighest probability is below this"},
    {"guard", NULL, TEXT, OPTION_SWITCH, AT(guard), "off|on", 0, 0, .preset = "on", .needs = NEEDS_GUARD,
     .help = "stop drafting while it does not pay"},
    {"accept", NULL, TEXT | OF_ROWS, OPTION_CHOICE, AT(accept), "exact|sample|bild", 0, 0, .preset = "exact",
     .help = "which drafts stay. exact: the big model's likeliest tokens;\nsample: its samples (--temp implies it); "
             "bild: tokens that it\nfinds likely enough (lossy)"},
    {"rollback", NULL, TEXT | OF_ROWS | OF_SWEEPS, OPTION_NUMBER, AT(rollback), "D", 0, INT_MAX, .preset = "3",
     .needs = NEEDS_BILD,
     .help =
         "bild: a drafted token is taken back if the big model's\n-ln p of it is above this, and it prefers another"},
    {"rollback-rule", NULL, TEXT | OF_ROWS, OPTION_CHOICE, AT(rollback_rule), "strict|repo", 0, 0, .preset = "strict",
     .needs = NEEDS_BILD,
     .help = "bild: test all drafted tokens (strict), or only the first\nabove --rollback, as its authors' code does "
             "(repo)"},
    {"check", NULL, GEN, OPTION_FLAG, AT(check), NULL, 0, 0, .needs = NEEDS_DRAFTER,
     .help =
         "also run the big model alone, and compare ids and\nlog-probabilities, bit for bit (exit 6 if they differ)"},

    {"threads", "-t", TEXT | WORKER | STEP | KERNELS | SCORE | ROWS | DOC, OPTION_COUNT, AT(threads), "N", 0, 1024,
     .preset = "0", .heading = "Machine", .help = "threads of each worker; 0: the cores it may use"},
    {"groups", "--data-parallel-size -dp", TEXT | DOC, OPTION_COUNT, AT(groups), "N", 1, GROUPS_MOST, .preset = "1",
     .needs = NEEDS_PROMPTS,
     .help = "groups of tp x pp workers that each hold the big model; each\nrequest is computed by one of them"},
    {"drafters", NULL, TEXT | DOC, OPTION_COUNT, AT(drafters), "N", 1, DRAFTERS_MOST, .preset = "1",
     .needs = NEEDS_LITTLES,
     .help = "workers that each hold the little model; each request has one\nof them: a group's own, where there are "
             "as many"},
    {"device", NULL, TEXT | WORKER | STEP | DOC, OPTION_CHOICE, AT(device), "cpu|cuda|auto|reference", 0, 0,
     .preset = "cpu",
     .help =
         "what computes the big model's passes. auto: cuda if a device\nanswers; reference, for tests: the engine's "
         "side for devices,\nwith the slow kernels of the CPU behind it"},
    {"draft-device", NULL, TEXT, OPTION_CHOICE, AT(draft_device), "cpu|cuda|auto|reference", 0, 0, .preset = "cpu",
     .needs = NEEDS_LITTLE, .help = "what computes the little model's passes"},
    {"device-number", NULL, TEXT | WORKER | STEP | DOC, OPTION_COUNT, AT(device_number), "N", -1, 1 << 10,
     .preset = "-1", .needs = NEEDS_DEVICE,
     .help = "which device of its host, from 0, each worker takes; -1: they\ntake them in turn, the little model the "
             "first one"},
    {"arithmetic", NULL, TEXT | WORKER | STEP | DOC, OPTION_CHOICE, AT(arithmetic), "device|cpu", 0, 0,
     .preset = "device", .needs = NEEDS_DEVICE,
     .help = "of cuda; cpu: the CPU's bits, by slow kernels, for tests and for\njobs whose other verifiers are CPUs"},
    {"tp", "--tensor-parallel-size -tp", TEXT | SCORE | DOC, OPTION_COUNT, AT(tp), "N", 1, SHARDS_MOST, .preset = "1",
     .help = "shards that compute each layer together"},
    {"pp", "--pipeline-parallel-size -pp", TEXT | SCORE | DOC, OPTION_COUNT, AT(pp), "N", 1, SHARDS_MOST, .preset = "1",
     .help = "stages that the layers are cut into"},
    {"stage-share", NULL, TEXT | SCORE | DOC, OPTION_TEXT, AT(stage_share), "LIST|auto", 0, 0,
     .help = "weights by which the stages take the layers, as in 20,10\n(default: so that each reads as many bytes); "
             "auto: by how fast\neach reads, within the memory it has"},
    {"shard-share", NULL, TEXT | SCORE | DOC, OPTION_TEXT, AT(shard_share), "LIST|auto", 0, 0,
     .help =
         "weights by which the shards of a stage take heads, MLP and\nvocabulary, as in 3,1 (default: equal; auto)"},
    {"parallel", "--max-num-seqs -np", GEN | CMP | SCORE | DOC | SERVE | PLAN, OPTION_COUNT, AT(parallel), "N", 1,
     SLOTS_MOST, .preset = "4", .needs = NEEDS_PROMPTS,
     .help = "requests that are computed at once (shared out evenly over\n--groups)"},
    {"max-rows", NULL, TEXT | PLAN, OPTION_COUNT, AT(max_rows), "N", 0, CONTEXT_MOST, .preset = "0",
     .help = "rows (tokens of all requests) of a pass of the big model, at\nmost, from 2; 0: as many as its workers "
             "take"},
    {"prompt-rows", NULL, GEN | CMP | SERVE, OPTION_COUNT, AT(prompt_rows), "N", 0, 128, .preset = "16",
     .needs = NEEDS_PROMPTS,
     .help = "tokens of prompts that a pass reads beside texts that are\nwritten, so that these do not wait long for a "
             "long prompt; 0:\nas many as a pass has room for"},
    {"role", NULL, WORKER, OPTION_CHOICE, AT(role), "any|drafter|verifier", 0, 0, .preset = "any",
     .help = "the role that this rank must have: a place of another role\nin the layout is an error"},
    {"start-wait", NULL, TEXT | SCORE | WORKER | DOC | PLAN, OPTION_COUNT, AT(start_wait_s), "SECONDS", 1, 3600,
     .preset = "60",
     .help =
         "how long a rank may be silent before it is ready: it opens its\nmodel and device, or loads from a slow disk"},
    {"self-max", NULL, TEXT | SWEEP, OPTION_COUNT, AT(self_max), "N", -1, CONTEXT_MOST, .preset = "-1",
     .help = "tokens that the big model's workers may generate by\nthemselves before they know that earlier ones have "
             "arrived, so\n"
             "that a token without drafts takes no round trip; -1: as many as\n"
             "the network asks for; 0: none, and the little model waits for each\n"
             "verdict unless --draft-ahead says otherwise"},

    {"net-delay", NULL, TEXT | SCORE | SWEEP | OF_SWEEPS, OPTION_DELAYS, AT(net_delay), "MS[,drafter=MS]", 0,
     NET_MOST_MS, .preset = "0", .heading = "Emulated network",
     .help = "run as over a slower network: messages between the\n"
             "coordinator and the big model's workers take MS each way;\n"
             "drafter=MS: messages to and from the drafter too"},
    {"net-jitter", NULL, TEXT | SCORE | SWEEP | OF_SWEEPS, OPTION_NUMBER, AT(net_jitter_ms), "MS", 0, NET_MOST_MS,
     .preset = "0", .help = "each message takes up to MS more; their order is kept"},
    {"net-rate", NULL, TEXT | SCORE | SWEEP | OF_SWEEPS, OPTION_NUMBER, AT(net_mbit_per_s), "MBIT", 0, 1000000,
     .preset = "0",
     .help = "rate of each worker's link in Mbit/s, each way: messages wait\nfor those before them; 0: no limit"},

    {"hosts", NULL, PLAN, OPTION_TEXT, AT(hosts), "FILE", 0, 0, .heading = "Hosts",
     .help = "a line for each host: name, cores, memory in GiB, GB/s that its\n"
             "cores read; round trip in ms and Mbit/s to the first host"},
    {"measure", NULL, PLAN, OPTION_FLAG, AT(measure), NULL, 0, 0,
     .help = "the hosts that scripts/mpirun starts ranks on, as they are now;\n"
             "prints them as such a file first, unless with -o jsonl"},
    {"goal", NULL, PLAN, OPTION_CHOICE, AT(goal), "latency|throughput", 0, 0, .preset = "latency",
     .help = "latency: of one request while it is alone; throughput: of\n--parallel requests together"},
    {"slope", NULL, PLAN, OPTION_NUMBER, AT(slope), "P", 0, 1000,
     .help = "a pass takes P percent of one row's time more for each row\nmore, as bench step shows (default: by the "
             "bytes it reads and\nby its multiply-adds, whichever takes longer)"},

    {"url", "--base-url", CHAT | CLIENT, OPTION_TEXT, AT(url), "URL", 0, 0, .heading = "Server",
     .help = "a server of OpenAI's API, as http://HOST:PORT: it computes"},
    {"host", NULL, SERVE, OPTION_TEXT, AT(host), "ADDRESS", 0, 0, .preset = "127.0.0.1",
     .help = "the address to listen on; 0.0.0.0: all of this machine's,\nwhich other machines reach too (then set "
             "--api-key-file)"},
    {"port", NULL, SERVE, OPTION_COUNT, AT(port), "N", 0, 65535, .preset = "8080",
     .help = "the port; 0: any free one, which is printed"},
    {"api-key", NULL, SERVE | CHAT | CLIENT | SECRET, OPTION_TEXT, AT(api_key), "KEY", 0, 0,
     .help = "requests must have this key (Authorization: Bearer KEY)"},
    {"api-key-file", NULL, SERVE | CHAT | CLIENT, OPTION_TEXT, AT(api_key_file), "FILE", 0, 0,
     .help = "or one of the keys in this file, a line each; other users of\nthis machine do not see them"},
    {"alias", "-a --served-model-name", SERVE, OPTION_TEXT, AT(alias), "NAME", 0, 0,
     .help = "the model's name for clients (default: its file's)"},
    {"queue", NULL, SERVE, OPTION_COUNT, AT(queue), "N", 0, 100000, .preset = "64",
     .help = "answers that may wait for one of the --parallel slots; a\nrequest beyond them gets 429"},
    {"timeout", "-to", SERVE, OPTION_COUNT, AT(timeout_s), "S", 0, 86400, .preset = "0",
     .help = "seconds until an answer is given up, waiting included; 0: never"},
    {"drain", NULL, SERVE, OPTION_COUNT, AT(drain_s), "S", 0, 86400, .preset = "30",
     .help = "seconds that answers have to end after SIGTERM"},

    {"output", "-o", PRINTS | CLIENT | STEP | KERNELS | SWEEP | SCORE | TOK | INS | PLAN, OPTION_CHOICE, AT(format),
     "text|jsonl|json|csv", 0, 0, .preset = "text", .heading = "Output",
     .help = "text, or lines of JSON (json is the same; inspect then\nprints its JSON over several lines); csv: of "
             "bench spec,\nsimulate and eval pareto"},
    {"trace", NULL, GEN | CHAT | SERVE | SWEEP, OPTION_TEXT, AT(trace), "FILE", 0, 0,
     .help =
         "write what happens to this file, for Perfetto or\nchrome://tracing: drafts, messages on their way, passes,\n"
         "rollbacks. bench spec and simulate: of the first text of each\nway"},
    {"keep", NULL, SWEEP, OPTION_TEXT, AT(keep), "FILE", 0, 0,
     .help = "also append the rows to this file, as lines of JSON, as soon\nas they are known"},
    {"resume", NULL, SWEEP | SEARCH, OPTION_FLAG, AT(resume), NULL, 0, 0,
     .help = "the file of --keep, or the log of --save, may exist: what is\nin it is not run again"},
    {"color", "--colour -co", GEN | CHAT, OPTION_CHOICE, AT(color), "auto|always|never", 0, 0, .preset = "auto",
     .needs = NEEDS_TEXT, .help = "green: accepted drafts; yellow: corrections"},
    {"logprobs", NULL, GEN | CHAT, OPTION_COUNT, AT(logprobs), "N", 0, 20, .preset = "0", .needs = NEEDS_JSONL,
     .help = "also the N best ids of each position (-o jsonl)"},
    {"stats", NULL, GEN, OPTION_FLAG, AT(stats), NULL, 0, 0,
     .help = "print the workers, and at the end a table of counts and times"},
    {"no-special", NULL, TOK, OPTION_FLAG, AT(no_special), NULL, 0, 0,
     .help = "text like <|im_start|> is text, not one token;\nwith --detokenize: control tokens are left out"},
    {"detokenize", NULL, TOK, OPTION_FLAG, AT(detokenize), NULL, 0, 0, .help = "ids in, text out"},

    {"window", NULL, SCORE | ROWS, OPTION_COUNT, AT(window), "N", 2, LONGEST_CONTEXT, .preset = "512",
     .heading = "What is measured",
     .help = "tokens of a window, which begins anew; of those that are\nscored the later half counts"},
    {"agreement", NULL, PPL, OPTION_TEXT, AT(agreement), "PLAN", 0, 0,
     .help = "also how often the likeliest token under --plan is that under\nthis one, of which --plan runs a part; "
             "whole: all of the model"},
    {"plans", NULL, PARETO, OPTION_TEXT, AT(plans), "FILE", 0, 0,
     .help = "the plans: a line each, spelled as --plan, or with \"plan\" in\nJSON, as in the log of plan search"},
    {"baseline", NULL, SWEEP, OPTION_LIST, AT(baseline), "LIST", 0, DRAFTS_MOST, .preset = "1,2,4,8",
     .help = "lengths of sequential drafts, of which the best in hindsight\nis compared with; 0: none"},
    {"texts", NULL, SWEEP, OPTION_COUNT, AT(texts), "N", 1, SYNTHETIC_PROMPTS, .preset = "4",
     .help = "texts, each with other luck"},
    {"warmup", NULL, SWEEP, OPTION_COUNT, AT(warmup), "N", 0, 8, .preset = "1",
     .help = "texts before these, which do not count"},
    {"repeat", NULL, SPEC, OPTION_COUNT, AT(repeat), "N", 1, 100, .preset = "3",
     .help = "times that each text is timed; the median counts"},
    {"remove", NULL, SEARCH, OPTION_COUNT, AT(remove), "N", 1, 1024, .preset = "1",
     .help = "blocks to leave out, or sub-layers with --parts"},
    {"by", NULL, SEARCH, OPTION_CHOICE, AT(by), "perplexity|agreement", 0, 0, .preset = "perplexity",
     .help = "what must stay best: how well the text is predicted, or how\noften the likeliest token is the whole "
             "model's"},
    {"parts", NULL, SEARCH, OPTION_FLAG, AT(parts), NULL, 0, 0,
     .help = "leave out attention and MLPs one by one, not whole blocks"},
    {"exit", NULL, ROWS, OPTION_LIST, AT(exits), "LIST", 1, 1024,
     .help = "write the rows behind so many blocks: 20, or 10,20"},
    {"save", NULL, SEARCH | ROWS, OPTION_TEXT, AT(save), "FILE", 0, 0,
     .help = "the plan found so far, for --plan and --draft-plan (default:\nplan.json); FILE.log has every plan that "
             "was scored; eval\nrows: the rows (default: rows.bin)"},
    {"num-prompts", NULL, CLIENT, OPTION_COUNT, AT(num_prompts), "N", 0, 1000000, .preset = "0",
     .help = "requests; prompts are used again in turn; 0: each once"},
    {"request-rate", NULL, CLIENT, OPTION_NUMBER, AT(request_rate), "R", 0, INT_MAX, .preset = "inf",
     .help = "requests that begin a second, at random times (Poisson);\ninf: all at once"},
    {"max-concurrency", NULL, CLIENT, OPTION_COUNT, AT(max_concurrency), "N", 0, 10000, .preset = "0",
     .help = "requests that run beside each other, at most; 0: any number"},
    {"goodput", NULL, CLIENT, OPTION_TEXT, AT(goodput), "NAME:MS,...", 0, 0,
     .help = "a request is good if these take at most so many ms: ttft (to\nthe first token), tpot (for each token "
             "after it), e2el (in all)"},
    {"min-goodput", NULL, CLIENT, OPTION_NUMBER, AT(min_goodput), "PERCENT", 0, 100, .preset = "0",
     .help = "exit 6 if fewer of the requests are good"},
    {"seconds", NULL, PAIR, OPTION_NUMBER, AT(seconds), "S", 0, 3600, .preset = "0",
     .help = "repeat a request until both ways have taken S seconds"},
    {"first", NULL, PAIR, OPTION_CHOICE, AT(first), "plain|drafts", 0, 0, .preset = "plain",
     .help = "the way that is first on the first prompt"},
    {"rows", NULL, STEP | KERNELS, OPTION_LIST, AT(rows), "LIST", 1, 256, .preset = "1,2,4,8,16",
     .help = "rows of a pass: 1,2,4 or 1-16"},
    {"contexts", NULL, STEP, OPTION_LIST, AT(contexts), "LIST", 0, LONGEST_CONTEXT - 256, .preset = "0",
     .help = "positions before these rows, rising; the reading up to each\nis timed as a prompt"},
    {"rounds", NULL, STEP | KERNELS, OPTION_COUNT, AT(rounds), "N", 1, 1000, .preset = "9",
     .help = "rounds, of which the median is printed"},
    {"min-exact", NULL, CMP, OPTION_NUMBER, AT(min_exact), "PERCENT", 0, 100, .preset = "0",
     .help = "exit 6 if fewer texts are equal to the big model's own"},
    {"min-bleu", NULL, CMP, OPTION_NUMBER, AT(min_bleu), "B", 0, 100, .preset = "0", .help = "exit 6 if BLEU is lower"},
    {"min-rouge", NULL, CMP, OPTION_NUMBER, AT(min_rouge), "R", 0, 1, .preset = "0",
     .help = "exit 6 if ROUGE-L is lower"},
    {"min-rouge-1", NULL, CMP, OPTION_NUMBER, AT(min_rouge_1), "R", 0, 1, .preset = "0",
     .help = "exit 6 if ROUGE-1 is lower"},
    {"min-rouge-2", NULL, CMP, OPTION_NUMBER, AT(min_rouge_2), "R", 0, 1, .preset = "0",
     .help = "exit 6 if ROUGE-2 is lower"},
    {"min-rouge-lsum", NULL, CMP, OPTION_NUMBER, AT(min_rouge_lsum), "R", 0, 1, .preset = "0",
     .help = "exit 6 if ROUGE-Lsum is lower"},
    {"min-right", NULL, CMP, OPTION_NUMBER, AT(min_right), "PERCENT", 0, 100, .preset = "0",
     .help = "exit 6 if fewer of GSM8K's word problems are right: lines of\n--prompts with a \"reference\" that has "
             "its number behind ####"},

    {"config", NULL, WORK | CONFIG, OPTION_TEXT, AT(config), "FILE", 0, 0, .heading = "Other",
     .help = "options from a file of lines NAME = VALUE; the environment\n(PILOTFISH_NAME) and the command line "
             "override it"},
    {"show", NULL, CONFIG, OPTION_FLAG, AT(show), NULL, 0, 0,
     .help = "every option, its value, and where the value comes from"},
    {"help", "-h", ALL, OPTION_HELP, 0, NULL, 0, 0, .help = "this text"},
};
/* clang-format on */
const size_t n_options = sizeof option_table / sizeof *option_table;
static_assert(sizeof option_table / sizeof *option_table <= MAX_OPTIONS, "each has a place in struct options");

#define SERVER "pilotfish serve --big FILE answers requests of OpenAI's API"
#define FETCHED                                                                                                        \
    "scripts/fetch-model fetches a model by its name or address (it is in the source), and --big FILE takes the file"

const struct foreign_word foreign_options[] = {
    {"-ngl --n-gpu-layers --gpu-layers -ngld --gpu-layers-draft --n-gpu-layers-draft",
     "a worker computes all of its layers on CPU cores (--threads N sets how many), or all on a card (--device cuda); "
     "--tp N and --pp N spread the big model over workers"},
    {"-hf -hfr --hf-repo -hff --hf-file -mu --model-url", "no model is fetched here: " FETCHED},
    {"--port --host --api-key", SERVER},
    {"-cnv --conversation -i --interactive -if --interactive-first -ins --instruct",
     "a conversation is a command of its own: pilotfish chat --big FILE"},
    {"-tb --threads-batch -td --threads-draft -tbd --threads-batch-draft",
     "one number holds for all that a worker computes: --threads N; pilotfish worker takes its own"},
    {"-cd --ctx-size-draft",
     "--ctx N is the context of both models, --draft-ctx N is how much of the prompt the little model reads"},
    {"-e --escape", "a prompt is used as it is; in bash, $'two\\nlines' has a line break"},
    {"--jinja", "the file's own chat template is run as it is, and --template NAME takes another: leave it out"},
    {"-v --verbose --log-verbose",
     "--stats prints the workers and what they took; pilotfish version prints the version"},
    {"-r --reverse-prompt", "--stop TEXT ends an answer before a text"},
    {"--repeat-penalty --repetition-penalty --presence-penalty --frequency-penalty",
     "there are no penalties here: --temp, --top-k, --top-p and --min-p choose how to sample"},
    {"-fa --flash-attn -b --batch-size -ub --ubatch-size --mlock --no-mmap --numa",
     "there is nothing to choose here, and the text does not depend on it: leave it out"},
    {0},
};

const struct foreign_word foreign_commands[] = {
    {"server", SERVER},
    {"run complete cli",
     "an answer to one prompt: pilotfish generate --big FILE PROMPT; a conversation: pilotfish chat --big FILE"},
    {"get pull download", FETCHED},
    {0},
};

bool command_takes(enum command command, const struct option *p)
{
    return command == CMD_CONFIG || p->commands & 1u << command;
}

bool command_is_group(const char *word)
{
    return !strcmp(word, "eval") || !strcmp(word, "bench") || !strcmp(word, "plan");
}

static bool same_word(const char *a, size_t n_a, const char *b, size_t n_b)
{
    bool same = n_a == n_b;
    for (size_t i = 0; i < n_a && same; i++) same = a[i] == b[i] || (a[i] == '_' && b[i] == '-');
    return same;
}

/* Among words parted by spaces. */
static bool is_among(const char *words, const char *word, size_t n)
{
    while (words && *words) {
        size_t n_this = strcspn(words, " ");
        if (same_word(word, n, words, n_this)) return true;
        words += n_this + (words[n_this] == ' ');
    }
    return false;
}

bool option_is(const struct option *p, const char *word, size_t n)
{
    bool is_long = n > 2 && !memcmp(word, "--", 2);
    return (is_long && same_word(word + 2, n - 2, p->name, strlen(p->name))) || is_among(p->aliases, word, n);
}

bool option_spelling(const struct option *p, size_t i, char out[WORD_ROOM])
{
    const char *alias = p->aliases;
    if (i == 0) snprintf(out, WORD_ROOM, "--%s", p->name);
    if (i == 0) return true;
    for (; alias && *alias && i > 1; i--) alias += strcspn(alias, " ") + (alias[strcspn(alias, " ")] == ' ');
    if (!alias || !*alias) return false;
    snprintf(out, WORD_ROOM, "%.*s", (int)strcspn(alias, " "), alias);
    return true;
}

void option_preset(const struct option *p, char out[PRESET_ROOM])
{
    static const char *const accepts[ACCEPT_N] = {"exact", "sample", "bild"};
    size_t n = 0;
    out[0] = 0;
    if (!p->preset) return;
    n += (size_t)snprintf(out, PRESET_ROOM, "(default: %s", p->preset);
    for (int i = 0; i < ACCEPT_N; i++)
        if (p->preset_of[i])
            n += (size_t)snprintf(out + n, PRESET_ROOM - n, "; with --accept %s %s", accepts[i], p->preset_of[i]);
    snprintf(out + n, PRESET_ROOM - n, ")");
}

const struct option *option_named(const char *name)
{
    char word[64];
    int n = snprintf(word, sizeof word, "--%s", name);
    if (n >= (int)sizeof word) return NULL;
    for (size_t i = 0; i < n_options; i++) /* names first: --model is one option's name and another's alias */
        if (same_word(name, strlen(name), option_table[i].name, strlen(option_table[i].name))) return &option_table[i];
    for (size_t i = 0; i < n_options; i++)
        if (option_is(&option_table[i], word, (size_t)n)) return &option_table[i];
    return NULL;
}

const struct foreign_word *foreign_find(const struct foreign_word *rows, const char *word)
{
    for (; rows->spellings; rows++)
        if (is_among(rows->spellings, word, strcspn(word, "="))) return rows;
    return NULL;
}
