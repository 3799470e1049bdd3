/* hindsight [--all]: the draft policy against what could have been known in hindsight, on the virtual clock.
 *
 * The cluster is simulated with models that draw: little is right with a chance, a pass takes tT and more for each
 * further row, a drafted token tD, a round trip R. A token's time with all at its defaults, the drafter on cores of its
 * own, is held against that of big alone, against sequential drafts of the best fixed length for this luck, and against
 * the closed form of drafting ahead with enough verifiers (a: the chance that a draft is right; k = tT / tD):
 *
 *     L(k) = (1 - a) (tT + R) + a tD k (1 - a) / (1 - a^k)
 *
 * Where the cores of both share a memory, so that a draft and a pass take longer beside each other, it is held against
 * big alone only: which rounds would be best there cannot be known without trying them.
 *
 * The first text of a job has nothing to go by but what it measures; those after it know what it has taught. A line for
 * each point; the exit code is 1 if one is out of bounds. A few points, or all of them: half a minute. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulator.h"

enum { N_TOKENS = 512, N_PROMPT = 16, N_CTX = N_TOKENS + N_PROMPT + 1, N_VOCAB = 1000, N_TEXTS = 3, N_LENGTHS = 8 };
static const double tT_ms = 30;
static const double later_most = 1.03, first_most = 1.08,
                    ideal_most = 1.10;                            /* of the times that they are held against */
static const int lengths[N_LENGTHS] = {1, 2, 3, 4, 6, 8, 12, 16}; /* of sequential drafts */

struct point { /* times in ms; slope: what a row more adds to a pass, in parts of tT; beside: see synthetic.h */
    double right, tD, R, slope, beside;
    struct simulator_chance chance;
};

static uint64_t pass_ns(void *arg, int n_rows)
{
    const struct point *p = arg;
    return (uint64_t)(1e6 * tT_ms * (1 + p->slope * (n_rows - 1)));
}

static uint64_t draft_ns(void *arg, int n_texts, int n_read, int n_drafted)
{
    const struct point *p = arg;
    (void)n_texts, (void)n_read;
    return (uint64_t)(1e6 * p->tD * n_drafted);
}

static double beside(void *arg, int n_rows)
{
    const struct point *p = arg;
    return fmax(1, p->beside * (1 + 1 / (1 + p->slope * (n_rows - 1))) / 2);
}

enum way { PLAIN, SEQUENTIAL, DEFAULT };

static struct settings settings(enum way way, int length)
{
    return (struct settings){.n_predict = N_TOKENS,
                             .fresh = true,
                             .drafting = way != PLAIN,
                             .adaptive = way == DEFAULT,
                             .draft_max = way == SEQUENTIAL ? length : 8,
                             .draft_ahead = way == DEFAULT ? -1 : 0,
                             .draft_block = 0,
                             .draft_ctx = N_CTX};
}

static void die(const struct err *err)
{
    fprintf(stderr, "hindsight: %s\n", err->text);
    exit(1);
}

/* ms of a token of the first text, and of those after it. */
struct times {
    double first, later;
};

static void add_text(struct simulator *s, const struct settings *set, uint64_t seed, double *ms)
{
    int32_t prompt[N_PROMPT] = {(int32_t)(seed % N_VOCAB), (int32_t)(seed / N_VOCAB % N_VOCAB)};
    const struct request request = {.prompt = prompt, .n_prompt = N_PROMPT, .settings = *set};
    struct seq q = {0};
    struct err err = {0};
    int rc = seq_init(&q, &request, N_CTX, &err);
    for (int i = 2; i < N_PROMPT; i++) prompt[i] = (int32_t)(seed + (uint64_t)i) % N_VOCAB;
    if (rc == OK) rc = simulator_step(s, &(struct event){.kind = EVENT_SUBMIT, .seq = &q}, &err);
    if (rc == OK) rc = simulator_run(s, &err);
    if (rc != OK) die(&err);
    *ms += (double)(q.stats.last_ns - q.stats.first_ns) * 1e-6 / (N_TOKENS - 1);
    seq_free(&q);
}

static struct times run(struct point *p, enum way way, int length, int n_seeds)
{
    struct times t = {0};
    for (int seed = 0; seed < n_seeds; seed++) {
        struct draft_profile profile = {.pause = 0};
        const struct spec_drafter drafter = {.kind = way == PLAIN ? DRAFTER_NONE : DRAFTER_LITTLE,
                                             .peer = 1,
                                             .prior = {p->tD / tT_ms, p->tD / tT_ms / 4},
                                             .n_ids = N_VOCAB,
                                             .n_proposed = N_VOCAB};
        struct simulator_config c = {.spec = {.n_ctx = N_CTX,
                                              .root = 1,
                                              .drafter = drafter,
                                              .n_groups = 1,
                                              .groups = {{2, 1, 64, 64, N_VOCAB, &profile}},
                                              .self_max = way == SEQUENTIAL ? 0 : N_CTX},
                                     .link = {.rtt_ns = (uint64_t)(p->R * 1e6)},
                                     .seed = 1,
                                     .models = simulator_chance_models(&p->chance),
                                     .costs = {pass_ns, draft_ns, p, beside}};
        c.to[ROLE_VERIFIER].delay_ns = (uint64_t)(p->R * 1e6 / 2);
        const struct settings set = settings(way, length);
        struct simulator *s;
        struct err err = {0};
        if (simulator_open(&s, &c, &err) != OK) die(&err);
        for (int i = 0; i < N_TEXTS; i++)
            add_text(s, &set, (uint64_t)(seed * N_TEXTS + i) * 7919, i ? &t.later : &t.first);
        simulator_close(s);
    }
    return (struct times){t.first / n_seeds, t.later / n_seeds / (N_TEXTS - 1)};
}

static struct times least(struct times a, struct times b)
{
    return (struct times){fmin(a.first, b.first), fmin(a.later, b.later)};
}

/* most_later: that its later texts may take of the times known in hindsight. */
static bool check_point(struct point *p, int n_seeds, double most_later)
{
    struct times plain = run(p, PLAIN, 0, n_seeds), best = {INFINITY, INFINITY};
    for (int i = 0; i < N_LENGTHS; i++) best = least(best, run(p, SEQUENTIAL, lengths[i], n_seeds));
    struct times own = run(p, DEFAULT, 0, n_seeds), known = least(plain, best);
    double k = tT_ms / p->tD, a = p->right;
    double ideal = (1 - a) * (tT_ms + p->R) + a * p->tD * k * (1 - a) / (1 - pow(a, k));
    bool is_ideal = p->slope == 0 && p->beside <= 1 && ideal < known.later;
    const struct times *most = p->beside > 1 ? &plain : &known;
    bool ok = own.later <= most_later * most->later && own.first <= first_most * most->first;
    ok = ok && (!is_ideal || own.later <= ideal_most * ideal);
    printf("%4.2f %5.2f %5.2f %5.2f %6.2f | %6.2f %6.2f %6.2f | %5.3f %5.3f ", a, p->tD / tT_ms, p->R / tT_ms, p->slope,
           p->beside, plain.later, best.later, own.later, own.later / most->later, own.first / most->first);
    if (is_ideal)
        printf("%5.3f", own.later / ideal);
    else
        printf("    -");
    puts(ok ? "" : "  out of bounds");
    return ok;
}

int main(int argc, char **argv)
{
    static const double rights[] = {.2, .6, .8, .9}, drafts[] = {.05, .1, .3}, ways[] = {0, .2, 1, 4},
                        slopes[] = {0, .08}, besides[] = {1, 1.3, 1.6, 2};
    bool all = argc > 1 && !strcmp(argv[1], "--all"), ok = true;
    puts("times of a token in ms, and over what they are held against\n"
         "   a tD/tT  R/tT slope beside |  plain sequ.   ours | later first ideal");
    for (int b = 0; b < 4; b++)
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 3; j++)
                for (int k = 0; k < 4; k++)
                    for (int l = 0; l < 2; l++) {
                        struct point p = {rights[i], drafts[j] * tT_ms, ways[k] * tT_ms,
                                          slopes[l], besides[b],        {rights[i], N_VOCAB}};
                        bool some = i % 3 == 0 && j % 2 == 0 && k % 2 == 0 && b % 2 == 0 && (b == 0 || l == 1);
                        if (all || some) ok &= check_point(&p, all ? 8 : 2, later_most);
                    }
    struct point closest = {.6, .05 * tT_ms, 0, .08, 1, {.6, N_VOCAB}}; /* of sequential drafts to running ahead */
    ok &= check_point(&closest, 8, 1);
    return !ok;
}
