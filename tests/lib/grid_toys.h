/* grid_toys.h -- what the tests of one hash over all layouts begin with (grid.h): toy pairs in a folder of the test's
 * own, the text to compare with, and axes whose values take turns. */
#ifndef TESTS_LIB_GRID_TOYS_H
#define TESTS_LIB_GRID_TOYS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/grid.h"

struct toy {
    char big[64], little[64];
};

extern char grid_folder[];          /* of the toys */
int grid_make_folder(void **state); /* before all tests of a program, as cmocka calls it */
int grid_remove_folder(void **state);

/* The little toy is the big one with a block left out, so that some of its drafts are right. */
struct toy grid_write_toy(uint32_t type, const char *architecture, bool tied);
const struct kernels *grid_fastest(void);

/* The text to compare with: each prompt alone would do, but prompts of the first run also run together; that they do
 * not change each other is what the cells `alone` show. */
void grid_expect(struct grid *g);

enum { GRID_WINDOWS = 4 };
extern const int grid_windows[GRID_WINDOWS];
int grid_draft_ahead(int turn);                  /* each draft waits for its verdict, few do not, many: in turn */
int grid_self_max(int turn);                     /* off, so few that each wants an Ack, plenty: in turn */
enum company grid_company(int others, int turn); /* the two kinds of company take turns */
/* A cover of the axes: each value of one meets each of another. */
struct cell grid_cover(enum grid_drafter drafter, int draft_max, int i);

#endif
