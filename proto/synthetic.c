#include "proto/synthetic.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "proto/prefix_hash.h"

static const double p_least = 1e-6, ns_of_ms = 1e6;

struct place {
    bool wrong;
    int curve, prompt, position;
};

static struct place place_of(int32_t id)
{
    int32_t text = id / SYNTHETIC_CONTEXT;
    return (struct place){.wrong = text >= SYNTHETIC_CURVES * SYNTHETIC_PROMPTS,
                          .curve = text / SYNTHETIC_PROMPTS % SYNTHETIC_CURVES,
                          .prompt = text % SYNTHETIC_PROMPTS,
                          .position = id % SYNTHETIC_CONTEXT};
}

static uint64_t mix_number(uint64_t h, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return prefix_hash_mix(h ^ bits);
}

uint64_t synthetic_hash(const struct synthetic *s)
{
    uint64_t h = mix_number(mix_number(s->seed, s->draft_ms), s->slope_percent);
    for (int i = 0; i < s->n_pass_ms; i++) h = mix_number(h, s->pass_ms[i]);
    for (int i = 0; i < s->n_curves; i++)
        for (int j = 0; j < s->curves[i].n; j++) h = mix_number(h, s->curves[i].s[j]);
    return h;
}

uint64_t synthetic_vocab_hash(void)
{
    return prefix_hash_mix(SYNTHETIC_VOCAB);
}

int32_t synthetic_id(int i_curve, int i_prompt, int position)
{
    return (i_curve * SYNTHETIC_PROMPTS + i_prompt) * SYNTHETIC_CONTEXT + position % SYNTHETIC_CONTEXT;
}

int32_t synthetic_big(int32_t id)
{
    struct place at = place_of(id);
    return synthetic_id(at.curve, at.prompt, at.position + 1);
}

/* In 0..1, the same for every curve. */
static double luck(const struct synthetic *s, int prompt, int position)
{
    uint64_t h = prefix_hash_next(prefix_hash_next(s->seed, prompt), position);
    return (double)(h >> 11) * 0x1p-53;
}

/* S(j) / S(j - 1) */
static double ratio(const struct acceptance *a, int j)
{
    if (j > a->n) j = a->n;
    double before = j > 1 ? a->s[j - 2] : 1;
    return before > 0 ? a->s[j - 1] / before : 0;
}

static double greatest_ratio(const struct acceptance *a)
{
    double most = 0;
    for (int j = 1; j <= a->n; j++) most = fmax(most, ratio(a, j));
    return most;
}

/* How many positions the one behind `at` is from the last one at which little is wrong. A position whose luck is above
 * every ratio is one of them: from there on it is counted. */
static int distance(const struct synthetic *s, const struct place *at)
{
    const struct acceptance *a = &s->curves[at->curve];
    if (a->n == 1) return 1; /* one ratio for all */
    double most = greatest_ratio(a);
    int from = at->position, j = 1;
    while (from > 0 && luck(s, at->prompt, from) < most) from--;
    for (int position = from + 1; position <= at->position; position++)
        j = luck(s, at->prompt, position) < ratio(a, j) ? j + 1 : 1;
    return j;
}

static const struct synthetic_text_places *places_of(const struct synthetic *s, const struct place *at)
{
    return s->places ? &s->places->texts[at->prompt % s->places->n_texts] : NULL;
}

static double p_right(const struct synthetic *s, const struct place *at)
{
    if (s->places) return places_of(s, at)->right;
    return ratio(&s->curves[at->curve], at->wrong ? 1 : distance(s, at));
}

/* Of the draft behind `at`. */
static bool is_right(const struct synthetic *s, const struct place *at, double p)
{
    int i = s->places ? at->position + 1 - s->places->first : -1;
    enum synthetic_told told = i >= 0 && i < SYNTHETIC_CONTEXT ? places_of(s, at)->told[i] : PLACE_NOT_TOLD;
    return told ? told == PLACE_RIGHT : luck(s, at->prompt, at->position + 1) < p;
}

int32_t synthetic_little(const struct synthetic *s, int32_t id, float *p)
{
    struct place at = place_of(id);
    double right = p_right(s, &at);
    int32_t next = synthetic_big(id);
    *p = (float)right;
    return is_right(s, &at, right) ? next : next + SYNTHETIC_VOCAB / 2;
}

float synthetic_lp(const struct synthetic *s, int32_t id, int32_t next)
{
    struct place at = place_of(id);
    double right = p_right(s, &at);
    return (float)log(fmax(next == synthetic_big(id) ? right : 1 - right, p_least));
}

uint64_t synthetic_pass_ns(const struct synthetic *s, int n_rows)
{
    int listed = n_rows < s->n_pass_ms ? n_rows : s->n_pass_ms;
    double more = (n_rows - listed) * s->slope_percent / 100 * s->pass_ms[0];
    return (uint64_t)llround((s->pass_ms[listed - 1] + more) * ns_of_ms);
}

double synthetic_beside(const struct synthetic *s, int n_rows)
{
    double asks = (double)synthetic_pass_ns(s, 1) / (double)synthetic_pass_ns(s, n_rows);
    return fmax(1, s->beside * (1 + asks) / 2);
}

uint64_t synthetic_draft_ns(const struct synthetic *s, int n_drafted)
{
    return (uint64_t)(n_drafted > 0 ? n_drafted : 1) * (uint64_t)llround(s->draft_ms * ns_of_ms);
}

struct cost_prior synthetic_prior(const struct synthetic *s)
{
    const struct rank_bytes little = {"", 0, s->draft_ms, 0}, big = {"", 0, s->pass_ms[0], 0};
    return draft_policy_prior(&little, &big, 1);
}
