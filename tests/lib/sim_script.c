#include "tests/lib/sim_script.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "proto/prefix_hash.h"

/* The text that these ids are on, by the last of them: a drafter has those only. NULL: none. */
static const struct sim_text *text_of(const struct sim_script *s, const int32_t *ids, int n, int *i_next)
{
    for (int t = 0; t < s->n_texts; t++) {
        *i_next = n - (int)strlen(s->texts[t].prompt);
        if (s->by_place) return *i_next >= 0 && *i_next < (int)strlen(s->texts[t].big) ? &s->texts[t] : NULL;
        char all[1024];
        int n_all = snprintf(all, sizeof all, "%s%s", s->texts[t].prompt, s->texts[t].big), from = 0;
        for (int end = n; end < n_all; end++, from++) {
            int i = 0;
            while (i < n && all[from + i] == ids[i]) i++;
            *i_next = end - (int)strlen(s->texts[t].prompt);
            if (i == n && *i_next >= 0) return &s->texts[t];
        }
    }
    return NULL;
}

static uint64_t prefix_hash_of(const int32_t *ids, int n)
{
    uint64_t h = SIM_SCRIPT_ROOT;
    for (int i = 0; i < n; i++) h = prefix_hash_next(h, ids[i]);
    return h;
}

static int32_t big_next(void *arg, const int32_t *ids, int n)
{
    const struct sim_script *s = arg;
    int i;
    const struct sim_text *t = text_of(s, ids, n, &i);
    return t ? t->big[i] : 'a' + (int32_t)(prefix_hash_of(ids, n) % 26);
}

static int32_t little_id(const struct sim_script *s, const int32_t *ids, int n)
{
    int i;
    const struct sim_text *t = text_of(s, ids, n, &i);
    if (t) return t->little && i < (int)strlen(t->little) ? t->little[i] : t->big[i];
    uint64_t h = prefix_hash_of(ids, n);
    bool wrong = prefix_hash_mix(h + 1) % 100 < (uint64_t)s->wrong_percent;
    return 'a' + (int32_t)((h + wrong) % 26);
}

static int32_t little_next(void *arg, const int32_t *ids, int n, float *p)
{
    int32_t id = little_id(arg, ids, n);
    *p = id == '?' ? 0.25f : 0.75f;
    return id;
}

/* Some number that depends on the ids before and the id alone. */
static float lp_of(void *arg, const int32_t *ids, int n, int32_t id)
{
    const struct sim_script *s = arg;
    if (s->by_place) return isupper(id) ? -5 : isdigit(id) ? -4 : -1;
    return -(float)(prefix_hash_next(prefix_hash_of(ids, n), id) % 1000) / 128;
}

struct simulator_models sim_script_models(struct sim_script *script)
{
    return (struct simulator_models){big_next, little_next, lp_of, script};
}
