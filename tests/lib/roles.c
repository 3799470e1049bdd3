#include "tests/lib/roles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/prefix_hash.h"
#include "tests/lib/tiny.h"

char roles_folder[] = "/tmp/pilotfish-roles-XXXXXX";
char roles_big[64], roles_little[64];
struct text texts[3];

void text_add(struct text *t, const int32_t *ids, int n)
{
    t->prefix_hash[0] = COORDINATOR_ROOT;
    for (int i = 0; i < n; i++, t->n++) {
        t->ids[t->n] = ids[i];
        t->prefix_hash[t->n + 1] = prefix_hash_next(t->prefix_hash[t->n], ids[i]);
    }
}

struct part *verify_add(struct verify_parts *l, uint32_t slot, const struct text *t, int at, int n, int n_wanted)
{
    struct part *part = &l->parts[l->n_parts++];
    *part = (struct part){.job = ++l->n_jobs,
                          .slot = slot,
                          .round = 7,
                          .at = (uint32_t)at,
                          .prefix_hash = t->prefix_hash[at],
                          .rows = l->rows + l->n_rows,
                          .n_rows = (size_t)n};
    for (int i = at; i < at + n; i++) {
        int32_t *judge = l->judge[l->n_rows];
        judge[0] = i + 1 < TEXT ? t->ids[i + 1] : 0;
        judge[1] = 5;
        struct row row = {.id = t->ids[i]};
        if (i >= at + n - n_wanted) row = (struct row){t->ids[i], true, N_TOP, judge, N_JUDGE};
        l->rows[l->n_rows++] = row;
    }
    return part;
}

void verify_post(struct verify_parts *l, struct test_coordinator *d)
{
    for (size_t i = 0; i < l->n_parts; i++)
        coordinator_post(d, coordinator_leader(d), &(struct message){.tag = TAG_VERIFY, .verify = l->parts[i]});
    l->n_parts = l->n_rows = 0;
}

const struct verdict *next_verdict(struct test_coordinator *d)
{
    const struct message *m = coordinator_next(d, NULL);
    if (m->tag == TAG_FAIL) fail_msg("%s", m->fail.text);
    assert_int_equal(m->tag, TAG_VERDICT);
    return &m->verdict;
}

struct bits bits_of(const struct verdict_row *row)
{
    struct bits b;
    memset(&b, 0, sizeof b);
    assert_int_equal(row->n_judged, N_JUDGE);
    assert_int_equal(row->n_top, N_TOP);
    b.next = row->next;
    b.lp_next = row->lp_next;
    memcpy(b.lp_judged, row->lp_judged, sizeof b.lp_judged);
    memcpy(b.top, row->top, sizeof b.top);
    return b;
}

const int layouts[N_LAYOUTS][2] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}};

struct test_coordinator *verifier(int i_layout)
{
    return coordinator_open(&(struct coordinator_config){
        .big = roles_big, .tp = layouts[i_layout][0], .pp = layouts[i_layout][1], .n_slots = N_SLOTS, .n_ctx = N_CTX});
}

static void read_bits(struct text *t)
{
    struct test_coordinator *d = verifier(0);
    struct verify_parts l = {0};
    verify_add(&l, 0, t, 0, TEXT, TEXT);
    verify_post(&l, d);
    const struct verdict *v = next_verdict(d);
    assert_int_equal(v->n_rows, TEXT);
    for (int i = 0; i < TEXT; i++) t->bits[i] = bits_of(&v->rows[i]);
    coordinator_close(d);
}

int roles_open(void **state)
{
    (void)state;
    struct tiny_spec spec = tiny_spec(QUANT_F32);
    if (!mkdtemp(roles_folder)) return -1;
    snprintf(roles_big, sizeof roles_big, "%s/big.gguf", roles_folder);
    snprintf(roles_little, sizeof roles_little, "%s/little.gguf", roles_folder);
    int rc = tiny_write(roles_big, &spec);
    spec.left_out = 2;
    if (rc == 0) rc = tiny_write(roles_little, &spec);
    uint64_t seed = 1;
    for (int t = 0; t < 3 && rc == 0; t++) {
        if (t == 1) text_add(&texts[t], texts[0].ids, SHARED);
        while (texts[t].n < TEXT)
            text_add(&texts[t], &(int32_t){(int32_t)((seed = prefix_hash_mix(seed + 1)) % 512)}, 1);
        read_bits(&texts[t]);
    }
    return rc;
}

int roles_close(void **state)
{
    (void)state;
    return tiny_remove(roles_folder);
}
