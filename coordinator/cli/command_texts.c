/* What help says of each command; its options are in option_table.c. */
#include "coordinator/cli/option_table.h"

const char program_sentences[] =
    "a little model drafts, a big model checks many drafts in one pass, and the text is the\n"
    "big model's own, bit for bit. On one machine, or sharded over MPI ranks.";

static const char generate_more[] =
    "The text goes to standard output as it is accepted, everything else to standard error.\n"
    "Over MPI the ranks are 1 coordinator, with --little as many drafters as --drafters says, and\n"
    "groups x tp x pp shards of the big model: the second example has 1 + 1 + 2.\n"
    "Exit: 0 ok, 1 failure, 2 usage or prompt, 3 model, 4 layout, memory or device, 5 a rank or\n"
    "      device was lost, 6 --check found a difference, 130 Ctrl-C, 143 SIGTERM.\n";

static const char compare_more[] =
    "BLEU as sacrebleu computes it (13a, exp), ROUGE as rouge-score does (F measure, no stemming; mean of\n"
    "the texts); the big model's own text is the reference. Answers of GSM8K are right if their last\n"
    "number is the one behind #### in the line's \"reference\".\n"
    "Exit: as pilotfish generate; 6: a --min-... was not reached.\n";

static const char pair_more[] =
    "One line for each prompt: the big model alone and with drafts, in turns. The time of a request is\n"
    "that of the whole request, with the reading of its prompt.\n"
    "Exit: as pilotfish generate; 6: drafts gave another text, though --accept promises the same.\n";

static const char search_more[] =
    "A line for each block that goes: the perplexity of the text without it and those before, and how\n"
    "often the likeliest token is still the whole model's. Scores are the workers' of any layout.\n";

static const char step_more[] =
    "A plain read loop and bare products of bytes are timed in the same rounds as the passes.\n"
    "Limit of n rows: the longer of one row's time and n times a row's multiply-adds over 0.59 of the\n"
    "bare rate. With --device the passes are timed alone: the loops are the CPU's.\n";

static const char sweep_more[] =
    "One row for each way to write the same texts. plain: the big model alone. sequential: drafts of one\n"
    "length, then a verify, and so on; the best of --baseline. pilotfish: the default. -n is 256 unless\n"
    "it is given. --net-delay, --net-jitter, --net-rate, --draft-max, --draft-ahead, --draft-block,\n"
    "--accept-rate, --fallback and --rollback take lists and ranges, 1,2,5-8 or 0-40:10; every\n"
    "combination is run. RTT ms is the emulated round trip, seen the one that was measured; big and\n"
    "little are busy for so much of the time. docs/bench-spec.schema.json has the fields.\n";

static const char plan_more[] =
    "A file of hosts; the first is the one that you start from, and its round trip is not read:\n"
    "  # name  cores  memory GiB  read GB/s  round trip ms  Mbit/s  G products/s\n"
    "  node1   16     62          38\n"
    "  node2   16     62          38         0.2            10000\n"
    "scripts/mpirun -n 2 -H node1,node2 pilotfish plan --measure prints such lines, and so does\n"
    "doctor. 0 Mbit/s: bytes take no time. Products are bare multiply-adds of bytes; left out, they\n"
    "are 234 G/s a core. Two others count as far from each other as the further one is from the first.\n"
    "Times follow from bytes and multiply-adds of the model files; or from --synthetic: then tD and tT\n"
    "are those of the first host, and without files the big model counts as 28 blocks of 1536 numbers\n"
    "that take no memory.\n"
    "Without --accept-rate 80 % of drafts count as right: in code it is 90, in answers 70. --parallel\n"
    "is 1 for latency unless it is given. The coordinator is on the first host; a host has one part of\n"
    "the big model at most. One drafter is shared by all groups, or there are more where that pays: on\n"
    "the nearest or the fastest hosts without a part of the big model, or, for one request, beside it.\n"
    "What does not fit into memory is not offered. The best layouts by closed forms are simulated\n"
    "(pilotfish simulate), and ranked by that; a further host must be worth 2 %, and shards another 2.\n"
    "Exit: 0 ok, 2 usage or the file of hosts, 3 model, 4 the models fit nowhere.\n";

static const char bench_serve_more[] =
    "Requests are streams. ttft: from a request to its first token; itl: between parts of its stream, as\n"
    "a reader sees it; tpot: from the first token to the last, over the tokens after the first; e2el: a\n"
    "whole request. -o jsonl has the names of vLLM's `bench serve`. -n is 128 unless it is given. Ctrl-C\n"
    "ends what runs; what is done is printed.\n"
    "Exit: 0 ok, 1 a request failed, 2 usage, 6 --min-goodput was not reached, 130 Ctrl-C.\n";

static const char chat_more[] =
    "Answers go to standard output, everything else to standard error. Ctrl-C ends an answer, Ctrl-D\n"
    "the conversation. A line is a message; \"\"\" begins and ends a message of many lines; a paste is one\n"
    "message. /file PATH: the file's text is the message. //... is a message that begins with a slash.\n"
    "With -o jsonl a line that begins with { or \" is a message as JSON: {\"content\": \"...\"} or \"...\".\n"
    "Each message gets a line; a refused one gets {\"id\": \"...\", \"error\": \"...\"}.\n"
    "With --url a server computes (pilotfish serve, or another of OpenAI's API), and no model is needed.\n"
    "Exit: as pilotfish generate; 1: the server is lost; 2: not all messages of a pipe were answered.\n";

static const char serve_more[] =
    "OpenAI's API: /v1/chat/completions, /v1/completions, /v1/models; and /health, /metrics, /props,\n"
    "/tokenize, /detokenize. docs/api.md has each with an example. The options above are what a request\n"
    "has that says nothing else; a temperature that is left out is --temp, 0 unless given.\n"
    "SIGTERM ends it: answers that run end first (--drain), the rest gets 503.\n"
    "Exit: 0 after SIGTERM; else as pilotfish generate.\n";

static const char config_more[] =
    "Any option of any command may be given. In a file: NAME = VALUE, a flag is yes or no, # and ; begin\n"
    "comments.\n";

static const char worker_more[] =
    "The ranks are the coordinator, the drafters if there is a little model, then the shards of the big\n"
    "model. Rank 0 needs no model files (with --draft little in place of --little): workers send it\n"
    "their vocabulary.\n";

const struct command_text command_texts[N_COMMANDS] = {
    [CMD_HELP] = {"help", " [COMMAND]", "Prints what a command does and which options it takes.",
                  "  pilotfish help generate\n", .positional = "COMMAND"},
    [CMD_VERSION] = {"version", "", "Prints the version. (The version of MPI: pilotfish doctor.)",
                     "  pilotfish version\n", .more = NULL},
    [CMD_GENERATE] = {"generate", " --big FILE [--little FILE] [PROMPT]",
                      "The big model's own text, bit for bit, but sooner: a drafter proposes, the big model checks.",
                      "  pilotfish generate --big B.gguf --little L.gguf \"Write a haiku about the sea\"\n"
                      "  scripts/mpirun -n 4 pilotfish generate --big B.gguf --little L.gguf --tp 2 \"Hello\"\n"
                      "  pilotfish generate --big B.gguf --draft suffix --prompts questions.jsonl -o jsonl\n",
                      generate_more, "PROMPT"},
    [CMD_CHAT] = {"chat", " --big FILE [--little FILE] | --url URL",
                  "A conversation with the big model, a line for each turn; /help lists its commands.",
                  "  pilotfish chat --big B.gguf --little L.gguf --system \"Answer in one sentence.\"\n"
                  "  printf '%s\\n' \"Name a fish.\" \"And its size?\" | pilotfish chat --big B.gguf -o jsonl\n"
                  "  pilotfish chat --url http://127.0.0.1:8080\n",
                  .more = chat_more},
    [CMD_SERVE] = {"serve", " --big FILE [--little FILE]",
                   "A server of OpenAI's API: answers of the big model, many at once, over HTTP.",
                   "  pilotfish serve --big B.gguf --little L.gguf\n"
                   "  scripts/mpirun -n 4 pilotfish serve --big B.gguf --little L.gguf --tp 2 --parallel 8\n",
                   .more = serve_more},
    [CMD_COMPARE] = {"eval compare", " --big FILE --little FILE --accept bild --prompts FILE",
                     "How far the text of a lossy setting is from the big model's own text.",
                     "  pilotfish eval compare --big B.gguf --little L.gguf --accept bild --prompts Q.jsonl -n 96\n"
                     "  pilotfish eval compare --big B.gguf --draft suffix --prompts Q.jsonl --min-exact 100\n",
                     .more = compare_more},
    [CMD_PERPLEXITY] = {"eval perplexity", " --big FILE TEXT_FILE",
                        "How well the big model predicts a text: exp of the mean -ln p of its tokens.",
                        "  pilotfish eval perplexity --big B.gguf wiki.test.raw\n"
                        "  pilotfish eval perplexity --big B.gguf --window 1024 - < book.txt\n"
                        "  pilotfish eval perplexity --big B.gguf --plan skip:14,26 --agreement whole book.txt\n",
                        .positional = "TEXT_FILE"},
    [CMD_PARETO] = {"eval pareto", " --big FILE --plans FILE TEXT_FILE",
                    "What plans cost and what they are worth: bytes, perplexity and agreement; the best are marked.",
                    "  pilotfish eval pareto --big B.gguf --plans plans.txt --window 256 book.txt\n"
                    "  pilotfish eval pareto --big B.gguf --plans plan.json.log -o csv book.txt > pareto.csv\n",
                    .positional = "TEXT_FILE"},
    [CMD_ROWS] = {"eval rows", " --big FILE --exit E TEXT_FILE",
                  "For training an exit: a text's hidden rows behind block E, and the likeliest next tokens.",
                  "  pilotfish eval rows --big B.gguf --exit 20 --save rows.bin text.txt\n"
                  "  pilotfish eval rows --big B.gguf --exit 2 --window 256 - < book.txt\n",
                  .positional = "TEXT_FILE"},
    [CMD_PLAN_SEARCH] = {"plan search", " --big FILE TEXT_FILE",
                         "Which blocks the big model can best do without: SLEB's greedy search, on a text.",
                         "  pilotfish plan search --big B.gguf --remove 4 --window 256 calibration.txt\n"
                         "  pilotfish plan search --big B.gguf --remove 8 --parts --by agreement --resume text.txt\n",
                         .more = search_more, .positional = "TEXT_FILE"},
    [CMD_BENCH_PAIR] = {"bench pair", " --big FILE --little FILE --prompts FILE",
                        "What drafts save: each prompt is timed with drafts and by the big model alone, in turns.",
                        "  pilotfish bench pair --big B.gguf --little L.gguf --prompts questions.jsonl -n 128\n"
                        "  pilotfish bench pair --big B.gguf --draft suffix --prompts questions.jsonl -o jsonl\n",
                        .more = pair_more},
    [CMD_BENCH_STEP] = {"bench step", " --big FILE [--little FILE]",
                        "How long a pass of the big model takes, by rows and context; and a drafter's.",
                        "  pilotfish bench step --big B.gguf --little L.gguf --rows 1-9\n"
                        "  pilotfish bench step --big B.gguf --rows 1 --contexts 0,1000,4000\n",
                        .more = step_more},
    [CMD_BENCH_KERNELS] = {"bench kernels", "",
                           "How fast the matrix products of each format are, beside what this machine allows now.",
                           .examples = "  pilotfish bench kernels\n"
                                       "  pilotfish bench kernels --threads 1 --rows 1,4 -o jsonl\n"},
    [CMD_BENCH_SPEC] =
        {"bench spec", " --synthetic PAIR --accept-rate A | --big FILE --little FILE --prompts FILE",
         "The cluster over emulated networks, with timed waits in place of models, or with a pair.",
         "  pilotfish bench spec --synthetic tD=8,tT=30 --accept-rate 0.8 --net-delay 0,10,40 -n 200\n"
         "  scripts/mpirun -n 4 pilotfish bench spec --tp 2 --synthetic tD=8,tT=30 --accept-rate 0.8\n"
         "  pilotfish bench spec --big B.gguf --little L.gguf --prompts Q.jsonl --net-delay 0,10 -n 128\n",
         .more = sweep_more},
    [CMD_BENCH_SERVE] =
        {"bench serve", " --url URL --prompts FILE",
         "A server as its clients see it: tokens a second, time to the first token, time between tokens.",
         "  pilotfish bench serve --url http://127.0.0.1:8080 --prompts Q.jsonl --max-concurrency 8\n"
         "  pilotfish bench serve --url http://localhost:8080 --prompts Q.jsonl --goodput ttft:500,tpot:50\n",
         .more = bench_serve_more},
    [CMD_SIMULATE] =
        {"simulate", " --synthetic tD=MS,tT=MS --accept-rate A",
         "The same in virtual time: how fast a pair would be over networks, in seconds.",
         "  pilotfish simulate --synthetic tD=8,tT=30 --accept-rate 0.6,0.8,0.9 --net-delay 0,2.5,10,40\n"
         "  pilotfish simulate --synthetic tD=3,tT=30:30:31 --accept-curve .93,.88,.84 -o csv > rows.csv\n",
         .more = sweep_more},
    [CMD_PLAN] = {"plan", " --hosts FILE | --measure --big FILE [--little FILE] | --synthetic PAIR",
                  "Which hosts should compute what: layouts with their expected tokens a second, as commands.",
                  "  pilotfish plan --hosts hosts.txt --big B.gguf --little L.gguf\n"
                  "  pilotfish plan --hosts hosts.txt --big B.gguf --no-draft --goal throughput --parallel 32\n"
                  "  pilotfish plan --hosts hosts.txt --synthetic tD=8,tT=30,slope=8 --accept-rate 0.9 -o jsonl\n",
                  .more = plan_more},
    [CMD_TOKENIZE] = {"tokenize", " --model FILE [TEXT_FILE]",
                      "The token ids of a text (a file or standard input), or the text of ids.",
                      "  pilotfish tokenize --model B.gguf book.txt\n"
                      "  echo 9906 1917 | pilotfish tokenize --model B.gguf --detokenize\n",
                      .positional = "TEXT_FILE"},
    [CMD_INSPECT] = {"inspect", " FILE", "What is in a model file, and whether this program runs it.",
                     "  pilotfish inspect B.gguf\n"
                     "  pilotfish inspect -o jsonl folder_of_config.json_and_safetensors\n",
                     .positional = "FILE"},
    [CMD_DOCTOR] = {"doctor", " [--big FILE] [--little FILE]",
                    "What this machine and its ranks offer: cores, memory, MPI; and whether the models fit.",
                    .examples = "  pilotfish doctor --big B.gguf --little L.gguf --ctx 8192\n"
                                "  scripts/mpirun -n 4 pilotfish doctor --big B.gguf --little L.gguf --tp 2\n"},
    [CMD_CONFIG] = {"config", " --show [--config FILE] [OPTION...]",
                    "The value of every option, from a file, the environment or the command line; as such a file.",
                    "  pilotfish config --show --big B.gguf --little L.gguf --tp 2 > pair.ini\n"
                    "  PILOTFISH_CONFIG=pair.ini pilotfish config --show\n",
                    .more = config_more},
    [CMD_WORKER] = {"worker", " --model FILE [--role drafter|verifier]",
                    "A rank that computes for the coordinator on rank 0, and needs only its own model.",
                    "  scripts/mpirun -n 1 pilotfish generate --big B.gguf --little L.gguf --tp 2 \"Hello\" : \\\n"
                    "      -n 1 pilotfish worker --role drafter --model L.gguf : \\\n"
                    "      -n 2 pilotfish worker --role verifier --model B.gguf\n",
                    .more = worker_more},
};
