/* budget.h -- how many rows of a pass each of several requests gets, and what a pass takes. Pure: numbers in, rows out.
 *
 * A request has some rows that go together, for the least that it can go on with: one, mostly, which feeds the last id
 * of its text and gives a token. Behind it may come rows of drafts: the j-th is worth the chance S(j) = right^j that
 * all drafts up to it are right. All requests share what a pass of n rows takes, T(n), as measured: so a row goes where
 * its expected token is the likeliest, as long as the tokens of the pass over its time do not fall. Where T is flat all
 * that have room are checked, where it rises few are, and where max_rows is reached the likeliest. Rows of prompts take
 * their time whoever gets the others: beside them a draft must give as much for its own as in a pass without. A
 * request's own rows go before all drafts; where there are more than a pass has room for, those that have waited for
 * the longest go.
 *
 * The verifiers' leader fills its passes so, and the coordinator decides by it whether drafts pay beside others.
 */
#ifndef PROTO_BUDGET_H
#define PROTO_BUDGET_H

#include <stdint.h>

enum {
    PASS_TIMES = 24, /* ranges of rows: 1, 2, ... 7, 8-9, 10-11, ... 14-15, 16-19, ... 112-127, 128 and more */
    BUDGET_ASKS_MOST = 256
};

struct pass_times { /* T(n); all zero: nothing is known */
    uint32_t n_noted;
    struct pass_time { /* of a range: means in which the newest weighs most */
        double n_rows, ns;
        uint32_t noted; /* the number of its last pass, from 1; 0: none */
    } list[PASS_TIMES];
};

void pass_times_note(struct pass_times *t, int n_rows, double ns);
/* What a pass of n_rows takes, by those that were measured; it never falls with n_rows. One that is long ago does not
 * count: it may have been in a slow moment. 0: nothing is known. */
double pass_times_ns(const struct pass_times *t, int n_rows);

struct budget_ask {
    int least, more; /* rows: that go together, 0 if it can wait; of drafts behind them, at most */
    int n_before;    /* drafts before the first row that have no answer yet */
    double right;    /* the chance that a draft is right */
    uint32_t last;   /* when it had its last row: the less, the longer it has waited */
};

struct budget {
    const struct pass_times *times;
    int max_rows, n_rows; /* of the pass; those that are in it already */
    int n_others;         /* of these, rows of prompts and the like */
    double n_tokens;      /* that these are expected to give */
};

/* rows: [n] what each gets: 0, or at least its `least`. Returns the tokens that a pass without n_others is expected to
 * give, over the ns that it takes; 0 where its time is not known. */
double budget_rows(const struct budget *b, const struct budget_ask *asks, int n, int *rows);

#endif
