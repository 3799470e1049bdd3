#include "coordinator/option_table.h"

#include <limits.h>

#define BIT(command) (1u << (command))
#define AT(member) offsetof(struct parsed, member)

enum {
    GEN = BIT(CMD_GENERATE),
    CHAT = BIT(CMD_CHAT),
    CMP = BIT(CMD_COMPARE),
    PPL = BIT(CMD_PERPLEXITY),
    PAIR = BIT(CMD_BENCH_PAIR),
    STEP = BIT(CMD_BENCH_STEP),
    KERNELS = BIT(CMD_BENCH_KERNELS),
    MANY = GEN | CMP | PAIR, /* a file of prompts */
    TEXT = MANY | CHAT,      /* they write text */
    TOK = BIT(CMD_TOKENIZE),
    INS = BIT(CMD_INSPECT),
    DOC = BIT(CMD_DOCTOR),
    CONFIG = BIT(CMD_CONFIG),
    WORKER = BIT(CMD_WORKER),
    WORK = TEXT | WORKER | STEP | KERNELS | PPL | TOK | INS | DOC,
    ALL = BIT(CMD_HELP) | BIT(CMD_VERSION) | CONFIG | WORK,
    LONGEST_CONTEXT = 1 << 20
};

const struct option option_table[] = {
    {"big", "-m", TEXT | STEP | PPL | DOC, OPTION_TEXT, AT(o.big), "FILE", 0, 0,
     "the model whose text it is: GGUF, or a directory of\n"
     "config.json, tokenizer.json and safetensors"},
    {"little", "-md", TEXT | STEP | DOC, OPTION_TEXT, AT(o.little), "FILE", 0, 0,
     "a smaller model with the same vocabulary, to draft"},
    {"draft", NULL, TEXT | DOC, OPTION_CHOICE, AT(draft), "none|little|ngram", 0, 0,
     "who drafts: little with --little, else none; ngram\nneeds no model (repeats what followed before)"},
    {"no-draft", NULL, TEXT | DOC, OPTION_FLAG, AT(no_draft), NULL, 0, 0, "the big model alone"},
    {"draft-max", NULL, TEXT, OPTION_COUNT, AT(o.draft_max), "N", 1, 64,
     "drafts checked in one pass, at most (8; with bild 10)"},
    {"draft-ctx", NULL, TEXT, OPTION_COUNT, AT(o.draft_ctx), "N", 1, LONGEST_CONTEXT,
     "tokens of the prompt that the little model reads (64)"},
    {"draft-vocab", NULL, TEXT | STEP, OPTION_COUNT, AT(o.draft_vocab), "N", 0, INT_MAX,
     "the little model proposes ids below this, which are the\nfrequent ones, and those of the text (65536; 0: all)"},
    {"little-quant", NULL, TEXT | STEP, OPTION_CHOICE, AT(o.little_quant), "q4|file", 0, 0,
     "the little model's weights: made to 5 bits at load where\nthe file has more (q4), or as they are"},
    {"fallback", NULL, TEXT, OPTION_NUMBER, AT(o.fallback), "P", 0, INT_MAX,
     "a draft ends before a token that the drafter gives less\nthan this probability (0: never; with bild 0.6)"},
    {"accept", NULL, TEXT, OPTION_CHOICE, AT(o.accept), "exact|sample|bild", 0, 0,
     "which drafts stay: big's own greedy tokens; big's own\nsamples (with --temp); what big finds likely enough "
     "(lossy)"},
    {"rollback", NULL, TEXT, OPTION_NUMBER, AT(o.rollback), "D", 0, INT_MAX,
     "bild: a draft goes where -ln p of big is over this (3)\nand big would say something else"},
    {"rollback-rule", NULL, TEXT, OPTION_CHOICE, AT(o.rollback_rule), "strict|repo", 0, 0,
     "bild: looked at everywhere, or as its authors' code does"},
    {"temp", NULL, TEXT, OPTION_NUMBER, AT(o.temp), "T", 0, 100, "sample at this temperature (0: greedy)"},
    {"top-k", NULL, TEXT, OPTION_COUNT, AT(o.top_k), "N", 0, INT_MAX, "sample from the N likeliest ids only (0: all)"},
    {"top-p", NULL, TEXT, OPTION_NUMBER, AT(o.top_p), "P", 0, 1,
     "then from the likeliest ids that make up P of the rest (1)"},
    {"min-p", NULL, TEXT, OPTION_NUMBER, AT(o.min_p), "P", 0, 1,
     "then from ids at least P times as likely as the best (0)"},
    {"seed", NULL, TEXT, OPTION_COUNT, AT(o.seed), "N", 0, INT_MAX,
     "of sampling: the same seed, the same text (drawn)"},
    {"stop", NULL, TEXT, OPTION_STOP, 0, "TEXT", 0, 0, "end where the text would have this; may be given often"},
    {"guard", NULL, TEXT, OPTION_SWITCH, AT(o.guard), "off|on", 0, 0, "stop drafting while it does not pay (on)"},
    {"prompt", "-p", GEN, OPTION_TEXT, AT(o.prompt), "TEXT", 0, 0, "the prompt; or simply the argument"},
    {"file", "-f", GEN, OPTION_TEXT, AT(o.prompt_file), "FILE", 0, 0,
     "the prompt is a file, less its last newline\n(-: standard input, also read where no prompt is given)"},
    {"prompts", NULL, MANY, OPTION_TEXT, AT(o.prompts_file), "FILE", 0, 0,
     "JSON lines, a prompt each: \"turns\" (the first one),\n\"prompt\" or \"text\"; named by \"id\" or "
     "\"question_id\""},
    {"parallel", NULL, GEN | CMP | PPL | DOC, OPTION_COUNT, AT(o.parallel), "N", 1, 256,
     "sequences at once, with --prompts (4)"},
    {"system", NULL, TEXT, OPTION_TEXT, AT(o.system), "TEXT", 0, 0,
     "the system message (the template's own; \"\": none)"},
    {"template", NULL, TEXT, OPTION_TEXT, AT(o.chat_template), "NAME", 0, 0,
     "the chat template, where the file has none or one that is\nnot known: chatml, llama2, llama3, gemma, phi3, "
     "zephyr, "
     "mistral,\nmistral-v1, mistral-v3, mistral-tekken, deepseek"},
    {"raw", NULL, MANY, OPTION_FLAG, AT(o.raw), NULL, 0, 0, "no chat template: continue the text as it is"},
    {"n-predict", "-n", TEXT, OPTION_COUNT, AT(o.n_predict), "N", 0, LONGEST_CONTEXT,
     "tokens to generate (0: until the end or the context)"},
    {"ignore-eos", NULL, MANY, OPTION_FLAG, AT(o.ignore_eos), NULL, 0, 0, "go on after the ids that end a text"},
    {"check", NULL, GEN, OPTION_FLAG, AT(o.check), NULL, 0, 0,
     "run the big model alone too and compare ids and\nlog-probabilities, bit for bit (exit 6 if they differ)"},
    {"logprobs", NULL, GEN | CHAT, OPTION_COUNT, AT(o.logprobs), "N", 0, 20,
     "also the N best ids of each position (-o jsonl)"},
    {"ctx", NULL, TEXT | DOC, OPTION_COUNT, AT(o.ctx), "N", 2, LONGEST_CONTEXT,
     "tokens that a sequence may have, prompt included (4096)"},
    {"threads", NULL, TEXT | WORKER | STEP | KERNELS | PPL | DOC, OPTION_COUNT, AT(o.threads), "N", 1, 1024,
     "threads of each worker (the cores it may use)"},
    {"tp", NULL, TEXT | PPL | DOC, OPTION_COUNT, AT(o.tp), "N", 1, MAX_PEERS - 2,
     "shards that compute each layer together (1)"},
    {"pp", NULL, TEXT | PPL | DOC, OPTION_COUNT, AT(o.pp), "N", 1, MAX_PEERS - 2,
     "stages that the layers are cut into (1)"},
    {"color", NULL, GEN | CHAT, OPTION_CHOICE, AT(o.color), "auto|always|never", 0, 0,
     "green: accepted drafts; yellow: corrections"},
    {"output", "-o", TEXT | STEP | KERNELS | PPL | TOK, OPTION_CHOICE, AT(o.output), "text|jsonl", 0, 0,
     "text, or a line of JSON"},
    {"output", "-o", INS, OPTION_CHOICE, AT(o.output), "text|json", 0, 0, "text, or JSON"},
    {"stats", NULL, GEN, OPTION_FLAG, AT(o.stats), NULL, 0, 0,
     "what computes, and a table of counts and times at the end"},
    {"window", NULL, PPL, OPTION_COUNT, AT(o.window), "N", 2, LONGEST_CONTEXT,
     "tokens that begin anew; the later half of them counts (512)"},
    {"seconds", NULL, PAIR, OPTION_NUMBER, AT(o.seconds), "S", 0, 3600,
     "repeat a request until both ways have taken so long (0)"},
    {"first", NULL, PAIR, OPTION_CHOICE, AT(o.first), "plain|drafts", 0, 0, "who begins with the first prompt (plain)"},
    {"rows", NULL, STEP | KERNELS, OPTION_LIST, AT(o.rows), "LIST", 1, 256,
     "rows of a pass: 1,2,4 or 1-16 (1,2,4,8,16)"},
    {"contexts", NULL, STEP, OPTION_LIST, AT(o.contexts), "LIST", 0, LONGEST_CONTEXT - 256,
     "positions before them, rising (0); what is read until there\nis timed as a prompt"},
    {"rounds", NULL, STEP | KERNELS, OPTION_COUNT, AT(o.rounds), "N", 1, 1000, "of which the median counts (9)"},
    {"min-exact", NULL, CMP, OPTION_NUMBER, AT(o.min_exact), "PERCENT", 0, 100, "exit 6 if fewer texts are big's own"},
    {"min-bleu", NULL, CMP, OPTION_NUMBER, AT(o.min_bleu), "B", 0, 100, "exit 6 if BLEU is lower"},
    {"min-rouge", NULL, CMP, OPTION_NUMBER, AT(o.min_rouge), "R", 0, 1, "exit 6 if ROUGE-L is lower"},
    {"model", NULL, TOK, OPTION_TEXT, AT(o.model), "FILE", 0, 0,
     "the model whose vocabulary it is (as --big of generate)"},
    {"model", "-m", WORKER, OPTION_TEXT, AT(o.model), "FILE", 0, 0,
     "the model that this rank reads (as --big of generate)"},
    {"role", NULL, WORKER, OPTION_CHOICE, AT(o.role), "any|drafter|verifier", 0, 0,
     "what this rank must be: another place in the layout is an\nerror (any)"},
    {"no-special", NULL, TOK, OPTION_FLAG, AT(o.no_special), NULL, 0, 0,
     "text like <|im_start|> is text, not one token;\nwith --detokenize: control tokens are left out"},
    {"detokenize", NULL, TOK, OPTION_FLAG, AT(o.detokenize), NULL, 0, 0, "ids in, text out"},
    {"config", NULL, WORK | CONFIG, OPTION_TEXT, AT(config), "FILE", 0, 0,
     "options from a file, NAME = VALUE lines; the environment\n(PILOTFISH_NAME) and the command line come first"},
    {"show", NULL, CONFIG, OPTION_FLAG, AT(show), NULL, 0, 0, "every option, its value, and where that is from"},
    {"help", "-h", ALL, OPTION_HELP, 0, NULL, 0, 0, "this text"},
};
const size_t n_options = sizeof option_table / sizeof *option_table;

static const char generate_more[] =
    "The text goes to standard output as it is accepted, all else to standard error.\n"
    "Exit: 0 ok, 1 failure, 2 usage or prompt, 3 model, 4 layout or memory, 5 a rank was lost,\n"
    "      6 --check found a difference, 130 Ctrl-C, 143 SIGTERM.\n"
    "\n"
    "Over MPI ranks: 1 coordinator, 1 drafter with --little, tp x pp shards of the big model:\n"
    "  scripts/mpirun -n 4 pilotfish generate --big B.gguf --little L.gguf --tp 2 \"Hello\"\n";

static const char compare_more[] =
    "BLEU as sacrebleu computes it (13a, exp), ROUGE-L as rouge-score does, with big's own text as the reference.\n"
    "Exit: as pilotfish generate; 6: a --min-... was not reached.\n";

static const char pair_more[] =
    "A line a prompt: big alone, then with drafts, or the other way round; a request counts whole, its reading too.\n"
    "Exit: as pilotfish generate; 6: drafts gave another text, though --accept promises the same.\n";

static const char step_more[] =
    "Beside the passes stand a plain read loop and bare products of bytes, timed in the same rounds. Limit of n rows:\n"
    "the longer of one row's time and n times a row's multiply-adds over 0.59 of the bare rate.\n";

static const char chat_more[] =
    "Answers go to standard output, all else to standard error. Ctrl-C ends an answer, Ctrl-D the conversation.\n"
    "A line is a message; \"\"\" begins and ends one of many lines, and so does a paste. /file PATH: a file's text\n"
    "is the message. //... is a message that begins with a slash.\n"
    "With -o jsonl a line that begins with { or \" is a message as JSON: {\"content\": \"...\"} or \"...\". Each\n"
    "message gets a line, one that is refused {\"id\": \"...\", \"error\": \"...\"}.\n"
    "Exit: as pilotfish generate; 2: not all messages of a pipe or file were answered.\n";

static const char config_more[] =
    "Any option of any command may follow. In a file: NAME = VALUE, a flag is yes or no, # and ; begin comments.\n";

static const char worker_more[] =
    "Ranks are the coordinator, the drafter where a little model drafts, then the shards of big:\n"
    "  scripts/mpirun -n 1 pilotfish generate --big B.gguf --little L.gguf --tp 2 \"Hello\" : \\\n"
    "      -n 1 pilotfish worker --role drafter --model L.gguf : \\\n"
    "      -n 2 pilotfish worker --role verifier --model B.gguf\n"
    "Rank 0 may do without model files (--draft little in place of --little): workers tell it their\n"
    "vocabulary.\n";

const struct command_text command_texts[N_COMMANDS] = {
    [CMD_HELP] = {"help", " [COMMAND]", "Says what a command does and which options it takes.", NULL, "COMMAND"},
    [CMD_VERSION] = {"version", "", "Prints the version. Which MPI: pilotfish doctor.", NULL, NULL},
    [CMD_GENERATE] = {"generate", " --big FILE [--little FILE] [PROMPT]",
                      "The big model's own text, bit for bit, sooner: a drafter guesses, the big model checks.",
                      generate_more, "PROMPT"},
    [CMD_CHAT] = {"chat", " --big FILE [--little FILE]",
                  "A conversation with the big model, a line a turn; /help there says what else there is.", chat_more,
                  NULL},
    [CMD_COMPARE] = {"eval compare", " --big FILE --little FILE --accept bild --prompts FILE",
                     "How far the text of a lossy setting is from big's own: both are written, and compared.",
                     compare_more, NULL},
    [CMD_PERPLEXITY] = {"eval perplexity", " --big FILE TEXT_FILE",
                        "How well the big model foresees a text: exp of the mean -ln p of its tokens.", NULL,
                        "TEXT_FILE"},
    [CMD_BENCH_PAIR] = {"bench pair", " --big FILE --little FILE --prompts FILE",
                        "What drafts save: each prompt is timed with them and by big alone, turn by turn.", pair_more,
                        NULL},
    [CMD_BENCH_STEP] = {"bench step", " --big FILE [--little FILE]",
                        "How long a pass of the big model takes, by rows and context; and a drafter's.", step_more,
                        NULL},
    [CMD_BENCH_KERNELS] = {"bench kernels", "",
                           "How fast the products of each format are, against what this machine allows now.", NULL,
                           NULL},
    [CMD_TOKENIZE] = {"tokenize", " --model FILE [TEXT_FILE]",
                      "The token ids of a text (a file or standard input), or the text of ids.", NULL, "TEXT_FILE"},
    [CMD_INSPECT] = {"inspect", " FILE", "What is in a model file, and whether this program runs it.", NULL, "FILE"},
    [CMD_DOCTOR] = {"doctor", " [--big FILE] [--little FILE]",
                    "What this machine and its ranks offer: cores, memory, MPI; and whether the models fit.", NULL,
                    NULL},
    [CMD_CONFIG] = {"config", " --show [--config FILE] [OPTION...]",
                    "What options come to: from a file, the environment, the command line; as such a file.",
                    config_more, NULL},
    [CMD_WORKER] = {"worker", " --model FILE [--role drafter|verifier]",
                    "A rank that computes for the coordinator on rank 0, and knows nothing but its own model.",
                    worker_more, NULL},
};
