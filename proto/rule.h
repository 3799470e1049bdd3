/* rule.h -- which drafts are kept: one pure function, called by the coordinator, and by workers whose leader goes on
 * by itself.
 *
 *   exact    a drafted token stays if it equals big's own choice, greedy or sampled: the text is big's own, with any
 *            drafter
 *   strict   it stays unless -ln p_big(it) > rollback and it is not big's own argmax: BiLD's rollback (2302.07863,
 *            section 3.3), tested at every position; rollback 0 is exact
 *   repo     as the authors' code does it: only the first position over the threshold is tested
 */
#ifndef PROTO_RULE_H
#define PROTO_RULE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/wire.h"

enum rule_kind { RULE_EXACT, RULE_STRICT, RULE_REPO };
struct rule {
    enum rule_kind kind;
    float rollback; /* a natural logarithm, >= 0, may be infinite; exact does not read it */
};

/* Row i judges draft[i]: its lp_judged[0] is ln p of it (exact does not read it). Returns the index of the first draft
 * that is not kept; n: all are. rows: at least n. */
size_t rule_first_bad(const struct rule *rule, const struct verdict_row *rows, const int32_t *draft, size_t n);

#endif
