/* roles.h -- what the tests of workers share: two toy models, three texts with what big says to them, and messages to a
 * verifier. The test is the coordinator. */
#ifndef TESTS_LIB_ROLES_H
#define TESTS_LIB_ROLES_H

#include "tests/lib/test_coordinator.h"

enum {
    N_CTX = 160,
    N_SLOTS = 4,
    N_VOCAB = 700, /* of the toys */
    N_EMBD = 72,
    TEXT = 120,  /* ids of a text: about a pass */
    SHARED = 50, /* that the first two texts begin with */
    N_JUDGE = 2,
    N_TOP = 2,
    MAX_JOBS = 256, /* as worker/roles/role.h has them */
    PASS_ROWS = 128
};

struct bits { /* what big says after an id; compared byte by byte */
    int32_t next;
    float lp_next, lp_judged[N_JUDGE];
    struct top top[N_TOP];
};

struct text {
    int n;
    int32_t ids[N_CTX + 1]; /* room for a message that asks for too much */
    uint64_t prefix_hash[N_CTX + 1];
    struct bits bits[TEXT]; /* from a fresh slot, alone, one whole model, in one pass */
};

/* Set up and torn down by a group of tests; the toys lie in a folder of their own. */
extern char roles_folder[], roles_big[64], roles_little[64];
extern struct text texts[3];
int roles_open(void **state);
int roles_close(void **state);

void text_add(struct text *t, const int32_t *ids, int n);

struct verify_parts { /* Verifies in the making; jobs are numbered in the order in which parts are added */
    struct part parts[8];
    struct row rows[8 * TEXT];
    int32_t judge[8 * TEXT][N_JUDGE];
    size_t n_parts, n_rows;
    uint32_t n_jobs;
};

/* Ids [at, at + n) of the text; the last n_wanted rows are wanted, and each judges the id that follows. */
struct part *verify_add(struct verify_parts *l, uint32_t slot, const struct text *t, int at, int n, int n_wanted);
void verify_post(struct verify_parts *l, struct test_coordinator *d);
const struct verdict *next_verdict(struct test_coordinator *d);
struct bits bits_of(const struct verdict_row *row);

enum { N_LAYOUTS = 4 };
extern const int layouts[N_LAYOUTS][2]; /* tp, pp */
struct test_coordinator *verifier(int i_layout);

#endif
