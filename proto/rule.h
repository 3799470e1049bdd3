/* rule.h -- what of a draft is kept: one pure function, called by the coordinator and by workers that go on by
 * themselves.
 *
 *   exact    a drafted token stays while it equals big's own choice, greedy or sampled: the text is big's own, whatever
 *            the drafter
 *   strict   it stays unless -ln p_big(it) > rollback and it is not big's own argmax: BiLD's rollback (2302.07863,
 *            section 3.3), looked at every position; rollback 0 is exact
 *   repo     as the authors' code does it: only the first position over the threshold is looked at
 */
#ifndef PROTO_RULE_H
#define PROTO_RULE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/wire.h"

enum rule_kind { RULE_EXACT, RULE_STRICT, RULE_REPO };
struct rule {
    enum rule_kind kind;
    float rollback; /* a natural logarithm, >= 0, may be infinite; not read by exact */
};

/* Row i judges draft[i]: its lp_judged[0] is ln p of it (not read by exact). The index of the first draft that is not
 * kept; n keeps all. rows: at least n. */
size_t rule_first_bad(const struct rule *rule, const struct verdict_row *rows, const int32_t *draft, size_t n);

#endif
