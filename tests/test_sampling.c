/* What is sampled has big's own distribution, whatever is drafted: through the real loop, on a toy of 16 ids.
 *
 * A sampled token becomes a number: where it lies in big's distribution at its place (a uniform one where the token is
 * a step). If the tokens are big's samples these numbers are uniform: held against chi squared. And a token is the same
 * as one before it as often as its distribution says, no more: noise that serves two places would show there. The
 * distributions are the loop's own, from --logprobs over all ids; that they are big's, bit for bit, is test_grid's
 * business. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"
#include "coordinator/job.h"
#include "kernels/noise.h"
#include "proto/files/gguf_open.h"
#include "proto/prefix_hash.h"
#include "tests/lib/grid.h"
#include "tests/lib/tiny.h"

enum { N_VOCAB = 16, N_LARGE = 3000, N_TOP = 20, N_TEXTS = 3500, N_TOKENS = 6, N_CTX = 32, N_SLOTS = 64, SEED = 12 };
enum { N_BINS = 20, MAX_BACK = 3 };

/* p = 1e-3: chi squared of 19 degrees of freedom, and a normal variable, both sides. */
static const double chi_squared_most = 43.82, normal_most = 3.291;

static char big[] = "/tmp/pilotfish-sampling-big-XXXXXX", near_[] = "/tmp/pilotfish-sampling-near-XXXXXX",
            far[] = "/tmp/pilotfish-sampling-far-XXXXXX", large[] = "/tmp/pilotfish-sampling-large-XXXXXX";

struct texts {
    struct seq *seqs; /* [N_TEXTS] */
    uint64_t n_judged, n_accepted;
};

struct setting {
    const char *name;
    const char *little; /* NULL: none, or proposer */
    int32_t (*propose)(void *arg, const int32_t *ids, int n);
    int window;
    float temp;
};

/* What generate() needs to know beside a setting. */
struct place {
    const char *big;
    int n_vocab, n_top, tp;
    struct sampler cut; /* its top_k, top_p, min_p */
    int n_texts;
    const struct device_table *device; /* NULL: none */
};

static const struct place small = {big, N_VOCAB, N_VOCAB, 1, {.top_p = 1}, N_TEXTS, NULL};

/* ---- the real loop ---- */

static int ignore(void *arg, const struct seq *s, struct err *err)
{
    (void)arg, (void)s, (void)err;
    return OK;
}

static enum drafter drafter_of(const struct setting *c)
{
    return c->little || c->propose ? DRAFTER_LITTLE : DRAFTER_NONE;
}

/* Generates n_tokens after each prompt; text i is sample i of its seed. prompts: [n_texts][n_prompt]. */
static struct texts generate(const struct setting *c, const struct place *at, const int32_t *prompts, int n_prompt,
                             int n_tokens)
{
    struct err err = {0};
    struct layout l;
    struct cluster *cluster;
    struct job *job;
    const char *why;
    struct texts t = {.seqs = calloc(N_TEXTS, sizeof *t.seqs)};
    assert_non_null(t.seqs);
    assert_int_equal(layout_make(&l, 1, 1, 1, at->tp, 1, drafter_of(c), &err), OK);
    struct proposer proposer = {.vocab_hash = grid_vocab_hash(at->big), .propose = c->propose};
    struct cluster_config config = {
        .launch.layout = l, .big = at->big, .little = c->little, .kernels = kernels_pick(NULL, &why), .n_threads = 1};
    if (c->propose) config.drafter = proposer_run, config.drafter_arg = &proposer;
    config.device = (struct device_wish){.table = at->device, .number = -1};
    struct router *router = router_open(l.n_peers);
    assert_non_null(router);
    if (cluster_start(&cluster, &config, router, &err) != OK) fail_msg("%s", err.text);
    struct job_config jc = {.layout = l, .vocab_big = proposer.vocab_hash, .n_ctx = N_CTX, .n_slots = N_SLOTS};
    jc.vocab_little = jc.vocab_big;
    jc.n_ids = jc.n_proposed = at->n_vocab;
    if (job_open(&job, &jc, router, &err) != OK) fail_msg("%s", err.text);
    for (int i = 0; i < at->n_texts; i++) {
        struct request r = {.index = i, .prompt = prompts + i * n_prompt, .n_prompt = n_prompt};
        r.settings = (struct settings){.n_predict = n_tokens,
                                       .sampler = at->cut,
                                       .drafting = drafter_of(c) != DRAFTER_NONE,
                                       .draft_max = c->window,
                                       .draft_ctx = N_CTX,
                                       .n_top = at->n_top};
        r.settings.sampler.temp = c->temp;
        r.settings.sampler.seed = SEED;
        r.settings.sampler.sample = (uint32_t)i;
        assert_int_equal(seq_init(&t.seqs[i], &r, N_CTX, &err), OK);
    }
    const struct job_watch watch = {.tokens = ignore, .done = ignore};
    if (job_run(job, t.seqs, at->n_texts, &watch, &err) != OK) fail_msg("%s: %s", c->name, err.text);
    for (int i = 0; i < at->n_texts; i++) {
        t.n_judged += t.seqs[i].stats.n_judged;
        t.n_accepted += t.seqs[i].stats.n_accepted;
    }
    job_close(job);
    job_quit(router, &l, OK, "");
    cluster_join(cluster);
    router_close(router);
    return t;
}

static void texts_free(struct texts *t, int n)
{
    for (int i = 0; i < n; i++) seq_free(&t->seqs[i]);
    free(t->seqs);
}

/* ---- tokens as numbers ---- */

static double uniform(uint64_t *state)
{
    return (double)(prefix_hash_mix(++*state) >> 11) * 0x1p-53;
}

/* Big's distribution at position i. */
static void distribution(double p[N_VOCAB], const struct seq *s, int i, float temp)
{
    double sum = 0;
    const struct top *top = &s->top[i * s->request.settings.n_top];
    for (int k = 0; k < N_VOCAB; k++) sum += p[top[k].id] = exp((double)top[k].lp / (double)temp);
    for (int k = 0; k < N_VOCAB; k++) p[k] /= sum;
}

/* What was seen of all tokens. */
struct seen {
    int n, numbers[N_BINS];
    struct {
        double more, variance; /* than expected were the id so many places before */
    } back[MAX_BACK + 1];
};

static void see(struct seen *seen, int32_t id, const double p[N_VOCAB], uint64_t *dice)
{
    double number = uniform(dice) * p[id];
    for (int32_t k = 0; k < id; k++) number += p[k];
    int i = (int)(number * N_BINS);
    seen->numbers[i < N_BINS ? i : N_BINS - 1]++;
    seen->n++;
}

static void see_back(struct seen *seen, int back, int32_t id, int32_t before, const double p[N_VOCAB])
{
    seen->back[back].more += (id == before) - p[before];
    seen->back[back].variance += p[before] * (1 - p[before]);
}

static double chi_squared(const struct seen *seen)
{
    double expected = (double)seen->n / N_BINS, sum = 0;
    assert_true(expected >= 5);
    for (int i = 0; i < N_BINS; i++) sum += (seen->numbers[i] - expected) * (seen->numbers[i] - expected) / expected;
    return sum;
}

static double normal(const struct seen *seen, int back)
{
    return seen->back[back].more / sqrt(seen->back[back].variance);
}

/* ---- big's distribution ---- */

static int32_t one_id(void *arg, const int32_t *ids, int n)
{
    (void)arg, (void)ids, (void)n;
    return 3;
}

/* Its own dice, which know nothing of big's. */
static int32_t any_id(void *arg, const int32_t *ids, int n)
{
    (void)arg;
    uint64_t h = 99;
    for (int i = 0; i < n; i++) h = prefix_hash_next(h, ids[i]);
    return (int32_t)(h % N_VOCAB);
}

static const struct setting settings[] = {
    {"no drafts", NULL, NULL, 1, 1},
    {"near, window 1", near_, NULL, 1, 1},
    {"near, window 3", near_, NULL, 3, 1},
    {"near, window 5", near_, NULL, 5, 1},
    {"far, window 1", far, NULL, 1, 1},
    {"far, window 3", far, NULL, 3, 1},
    {"far, window 5", far, NULL, 5, 1},
    {"other dice, window 1", NULL, any_id, 1, 1},
    {"other dice, window 3", NULL, any_id, 3, 1},
    {"other dice, window 5", NULL, any_id, 5, 1},
    {"always the same id", NULL, one_id, 3, 1},
    {"far, hot", far, NULL, 3, 1.7f},
    {"near, cold", near_, NULL, 3, .6f},
};

static const int32_t prompt[] = {1, 5, 2, 11};
enum { N_PROMPT = sizeof prompt / sizeof *prompt };

static int32_t *same_prompts(void)
{
    int32_t *prompts = malloc(sizeof prompt * N_TEXTS);
    assert_non_null(prompts);
    for (int i = 0; i < N_TEXTS; i++) memcpy(prompts + i * N_PROMPT, prompt, sizeof prompt);
    return prompts;
}

static void samples_have_big_s_distribution_whoever_drafts(void **state)
{
    (void)state;
    int32_t *prompts = same_prompts();
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        const struct setting *c = &settings[k];
        struct texts t = generate(c, &small, prompts, N_PROMPT, N_TOKENS);
        struct seen seen = {0};
        uint64_t dice = k;
        for (int i = 0; i < N_TEXTS; i++)
            for (int at = N_PROMPT; at < N_PROMPT + N_TOKENS; at++) {
                double p[N_VOCAB];
                const int32_t *ids = t.seqs[i].ids;
                distribution(p, &t.seqs[i], at, c->temp);
                see(&seen, ids[at], p, &dice);
                for (int back = 1; back <= MAX_BACK && at - back >= N_PROMPT; back++)
                    see_back(&seen, back, ids[at], ids[at - back], p);
            }
        double refused = t.n_judged ? 1 - (double)t.n_accepted / (double)t.n_judged : 0;
        print_message(
            "%-22s %d tokens: chi squared %.1f; the same as 1, 2, 3 before: %.2f, %.2f, %.2f; %.0f %% refused\n",
            c->name, seen.n, chi_squared(&seen), normal(&seen, 1), normal(&seen, 2), normal(&seen, 3), 100 * refused);
        assert_true(seen.n >= 20000);
        if (chi_squared(&seen) > chi_squared_most) fail_msg("%s: not big's distribution", c->name);
        for (int back = 1; back <= MAX_BACK; back++)
            if (fabs(normal(&seen, back)) > normal_most) fail_msg("%s: tokens depend on each other", c->name);
        if (drafter_of(c) != DRAFTER_NONE && c->little != near_ && refused < .2)
            fail_msg("%s: %.0f %% refused: that branch was hardly taken", c->name, 100 * refused);
        texts_free(&t, N_TEXTS);
    }
    free(prompts);
}

/* The test of the test: a second token whose noise is the first one's. A text of the same length, without its first id
 * and with its new one, is at the same position, thus has the same noise. */
static void noise_used_twice_does_not_pass(void **state)
{
    (void)state;
    int32_t *prompts = same_prompts();
    struct texts first = generate(&settings[0], &small, prompts, N_PROMPT, 1);
    for (int i = 0; i < N_TEXTS; i++) {
        int32_t *p = prompts + i * N_PROMPT;
        memmove(p, p + 1, (N_PROMPT - 1) * sizeof *p);
        p[N_PROMPT - 1] = first.seqs[i].ids[N_PROMPT];
    }
    struct texts second = generate(&settings[0], &small, prompts, N_PROMPT, 1);
    struct seen seen = {0};
    for (int i = 0; i < N_TEXTS; i++) {
        double p[N_VOCAB];
        distribution(p, &second.seqs[i], N_PROMPT, 1);
        see_back(&seen, 1, second.seqs[i].ids[N_PROMPT], first.seqs[i].ids[N_PROMPT], p);
    }
    print_message("the same as before: %.2f\n", normal(&seen, 1));
    assert_true(normal(&seen, 1) > 2 * normal_most);
    texts_free(&first, N_TEXTS);
    texts_free(&second, N_TEXTS);
    free(prompts);
}

/* ---- cuts over shards ---- */

/* Ids of equal logits everywhere: the second has the first one's row of the head. Shards begin at 1024 and 2048. */
static const int twins[][2] = {{1023, 1024}, {2047, 2048}, {5, 1500}, {7, 2999}};

/* The id of the greatest key among those that top-k, top-p of what that leaves, and min-p keep; the plainest way, for
 * top_k <= N_TOP. -1: too near a border or another key to say. */
static int32_t plain_pick(const struct top *top, const struct sampler *s, float temp, uint32_t sample, int pos)
{
    double sum = 0, so_far = 0, best = -INFINITY, second = -INFINITY;
    int32_t id = -1;
    for (uint32_t k = 0; k < s->top_k; k++) sum += exp((double)top[k].lp);
    for (uint32_t k = 0; k < s->top_k; k++) {
        double lp = (double)top[k].lp, least = (double)top[0].lp + log((double)s->min_p);
        if (k && s->top_p < 1 && fabs(so_far - (double)s->top_p * sum) < 1e-5 * sum) return -1;
        if (s->min_p > 0 && fabs(lp - least) < 1e-5) return -1;
        if (s->top_p < 1 && so_far >= (double)s->top_p * sum) break;
        if (s->min_p > 0 && lp < least) break;
        so_far += exp(lp);
        double key = lp / (double)temp + (double)noise_gumbel(SEED, sample, (uint32_t)pos, (uint32_t)top[k].id);
        if (key > best)
            second = best, best = key, id = top[k].id;
        else if (key > second)
            second = key;
    }
    return best - second < 1e-4 ? -1 : id;
}

static const struct {
    const char *name;
    struct sampler cut;
} cuts_[] = {
    {"top-k 1", {.top_k = 1, .top_p = 1}},
    {"top-k 2", {.top_k = 2, .top_p = 1}},
    {"top-k 3", {.top_k = 3, .top_p = 1}},
    {"top-k 20", {.top_k = 20, .top_p = 1}},
    {"top-k 20, top-p .5", {.top_k = 20, .top_p = .5f}},
    {"top-k 20, min-p .7", {.top_k = 20, .top_p = 1, .min_p = .7f}},
    {"top-k 20, top-p .8, min-p .3", {.top_k = 20, .top_p = .8f, .min_p = .3f}},
    {"top-k 200", {.top_k = 200, .top_p = 1}}, /* more than a shard offers at first */
    {"top-k 5000, more than there are", {.top_k = 5000, .top_p = 1}},
    {"top-p .5", {.top_p = .5f}},
    {"top-p .99", {.top_p = .99f}},
    {"min-p .2", {.top_p = 1, .min_p = .2f}},
};

static bool is_twin(int32_t id)
{
    for (size_t i = 0; i < sizeof twins / sizeof *twins; i++)
        if (id == twins[i][0] || id == twins[i][1]) return true;
    return false;
}

static void cuts_over_shards_are_the_plain_ones_ties_on_borders_included(void **state)
{
    (void)state;
    const struct setting alone = {"no drafts", NULL, NULL, 1, 3};
    enum { N_CUT_TEXTS = 100, N_LAYOUTS = 4 };
    static const struct {
        int tp, n_texts;
        const struct device_table *device;
    } layouts[N_LAYOUTS] = {
        {1, N_CUT_TEXTS, NULL}, {2, N_CUT_TEXTS, NULL}, {3, N_CUT_TEXTS, NULL}, {2, 4, &device_ref}};
    int32_t *prompts = same_prompts();
    int n_checked = 0, n_twins = 0, n_twins_in_top = 0;
    for (size_t k = 0; k < sizeof cuts_ / sizeof *cuts_; k++) {
        struct texts t[N_LAYOUTS];
        for (int l = 0; l < N_LAYOUTS; l++) {
            struct place at = {
                large, N_LARGE, N_TOP, layouts[l].tp, cuts_[k].cut, layouts[l].n_texts, layouts[l].device};
            t[l] = generate(&alone, &at, prompts, N_PROMPT, N_TOKENS);
        }
        for (int i = 0; i < N_CUT_TEXTS; i++) {
            const struct seq *s = &t[0].seqs[i];
            for (int l = 1; l < N_LAYOUTS; l++)
                if (i < layouts[l].n_texts && memcmp(s->ids, t[l].seqs[i].ids, (size_t)s->n_ids * sizeof *s->ids) != 0)
                    fail_msg("%s: text %d is another one with tp %d%s", cuts_[k].name, i, layouts[l].tp,
                             layouts[l].device ? " on a device" : "");
            for (int at = s->n_prompt; at < s->n_ids; at++) {
                n_twins += is_twin(s->ids[at]);
                for (int j = 0; j < 3; j++) n_twins_in_top += is_twin(s->top[at * N_TOP + j].id);
                if (!cuts_[k].cut.top_k || cuts_[k].cut.top_k > N_TOP) continue;
                int32_t id = plain_pick(&s->top[at * N_TOP], &cuts_[k].cut, alone.temp, (uint32_t)i, at);
                if (id >= 0 && id != s->ids[at])
                    fail_msg("%s: text %d, position %d: %d, plainly it is %d", cuts_[k].name, i, at, s->ids[at], id);
                n_checked += id >= 0;
            }
        }
        for (int l = 0; l < N_LAYOUTS; l++) texts_free(&t[l], layouts[l].n_texts);
    }
    print_message("%d picks are the plain ones; %d twins sampled, %d among the first three\n", n_checked, n_twins,
                  n_twins_in_top);
    assert_true(n_checked > 3000 && n_twins > 20 && n_twins_in_top > 20);
    free(prompts);
}

/* ---- toys ---- */

static int write_toy(char *path, int n_vocab, uint64_t seed, int left_out)
{
    struct tiny_spec s = tiny_spec(QUANT_F32);
    s.n_vocab = n_vocab;
    s.has_tokenizer = false;
    s.seed = seed;
    s.left_out = left_out;
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    return tiny_write(path, &s);
}

/* Twins get one row, and a longer one, so that they are often among the first. */
static int write_twins(const char *path)
{
    struct gguf g;
    struct err err;
    if (gguf_open(&g, path, &err) != OK) return -1;
    const struct gguf_tensor *head = gguf_tensor(&g, "output.weight");
    size_t row = (size_t)head->dim[0] * sizeof(float);
    off_t at = (off_t)(head->data - g.base);
    float x[512];
    int fd = open(path, O_RDWR), rc = fd < 0 || row > sizeof x;
    for (size_t i = 0; !rc && i < sizeof twins / sizeof *twins; i++) {
        rc = pread(fd, x, row, at + (off_t)((size_t)twins[i][0] * row)) != (ssize_t)row;
        for (size_t k = 0; k < row / sizeof *x; k++) x[k] *= 1.5f;
        for (int j = 0; !rc && j < 2; j++)
            rc = pwrite(fd, x, row, at + (off_t)((size_t)twins[i][j] * row)) != (ssize_t)row;
    }
    if (fd >= 0) close(fd);
    gguf_close(&g);
    return rc;
}

static int write_toys(void **state)
{
    (void)state;
    return write_toy(big, N_VOCAB, 1, -1) || write_toy(near_, N_VOCAB, 1, 2) || write_toy(far, N_VOCAB, 2, -1) ||
           write_toy(large, N_LARGE, 3, -1) || write_twins(large);
}

static int remove_toys(void **state)
{
    (void)state;
    unlink(big), unlink(near_), unlink(far), unlink(large);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_have_big_s_distribution_whoever_drafts),
        cmocka_unit_test(noise_used_twice_does_not_pass),
        cmocka_unit_test(cuts_over_shards_are_the_plain_ones_ties_on_borders_included),
    };
    return cmocka_run_group_tests(tests, write_toys, remove_toys);
}
