/* tiny -- writes a toy model: what scripts and MPI tests call. See tiny.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/tiny.h"

static const struct {
    const char *name;
    uint32_t type;
} types[] = {{"F32", QUANT_F32},   {"F16", QUANT_F16},   {"BF16", QUANT_BF16}, {"Q4_0", QUANT_Q4_0},
             {"Q4_1", QUANT_Q4_1}, {"Q5_0", QUANT_Q5_0}, {"Q5_1", QUANT_Q5_1}, {"Q8_0", QUANT_Q8_0},
             {"Q2_K", QUANT_Q2_K}, {"Q3_K", QUANT_Q3_K}, {"Q4_K", QUANT_Q4_K}, {"Q5_K", QUANT_Q5_K},
             {"Q6_K", QUANT_Q6_K}};

static int usage(void)
{
    fputs(
        "usage: tiny OUT.gguf [--type F32|F16|BF16|Q4_0|...|Q6_K] [--arch qwen2|qwen3|qwen3moe|llama|gemma3] [--seed "
        "N] "
        "[--left-out "
        "BLOCK]\n"
        "            [--blocks N] [--embd N] [--heads N] [--kv-heads N] [--ff N] [--vocab N] [--ctx N] [--tied] "
        "[--no-tokenizer]\n"
        "            [--idle BITS] [--side BASE.gguf [--exit N [--and-exit N]]]: a side file of such a model instead\n",
        stderr);
    return 2;
}

/* The type decides the other defaults, so it is looked for first. */
static int spec_of_type(struct tiny_spec *s, int argc, char **argv)
{
    const char *name = "F32";
    for (int i = 2; i + 1 < argc; i++)
        if (strcmp(argv[i], "--type") == 0) name = argv[i + 1];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, name) != 0) continue;
        *s = tiny_spec(types[i].type);
        return 0;
    }
    return -1;
}

/* What a side file is of; no base: it is a model that is written. */
struct side {
    const char *base;
    struct tiny_side of;
};

static int set_option(struct tiny_spec *s, struct side *side, const char *name, const char *value)
{
    const struct {
        const char *name;
        int *field;
    } numbers[] = {{"--left-out", &s->left_out},   {"--blocks", &s->n_blocks},
                   {"--embd", &s->n_embd},         {"--heads", &s->n_head},
                   {"--kv-heads", &s->n_head_kv},  {"--ff", &s->n_ff},
                   {"--vocab", &s->n_vocab},       {"--head-size", &s->d_head},
                   {"--ctx", &s->n_ctx},           {"--experts", &s->n_experts},
                   {"--used", &s->n_used},         {"--idle", &s->idle},
                   {"--exit", &side->of.exits[0]}, {"--and-exit", &side->of.exits[1]}};
    if (strcmp(name, "--type") == 0) return 0;
    if (strcmp(name, "--side") == 0) {
        side->base = value;
        return 0;
    }
    if (strcmp(name, "--arch") == 0) {
        s->architecture = value;
        return 0;
    }
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (errno != 0 || *end || end == value || n < 0 || n > 1 << 20) return -1;
    if (strcmp(name, "--seed") == 0) {
        s->seed = (uint64_t)n;
        return 0;
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(numbers[i].name, name) != 0) continue;
        *numbers[i].field = (int)n;
        return 0;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct tiny_spec s;
    struct side side = {.of.exits = {1}};
    if (argc < 2 || argv[1][0] == '-' || spec_of_type(&s, argc, argv) != 0) return usage();
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--tied") == 0)
            s.tied = true;
        else if (strcmp(argv[i], "--rope-factors") == 0)
            s.rope_factors = true;
        else if (strcmp(argv[i], "--no-tokenizer") == 0)
            s.has_tokenizer = false;
        else if (i + 1 == argc || set_option(&s, &side, argv[i], argv[i + 1]) != 0)
            return usage();
        else
            i++;
    }
    int rc = side.base ? tiny_write_side(argv[1], side.base, &s, &side.of) : tiny_write(argv[1], &s);
    if (rc == 0) return 0;
    fprintf(stderr, "tiny: %s: %s\n", argv[1],
            errno == EINVAL ? "no such toy can be made (see tests/lib/tiny.h)" : strerror(errno));
    return 1;
}
