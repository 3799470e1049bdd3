/* rule.h -- what of a draft is kept: one pure function, called by the coordinator and by workers that go on by themselves.
 *
 * exact: a drafted token stays while it equals big's own choice, so the text is big's greedy text whatever the drafter.
 */
#ifndef PROTO_RULE_H
#define PROTO_RULE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/wire.h"

enum rule_kind { RULE_EXACT };
struct rule {
    enum rule_kind kind;
};

/* Row i judges draft[i]. The index of the first draft that is not kept; n keeps all. rows: at least n. */
size_t rule_first_bad(const struct rule *rule, const struct verdict_row *rows, const int32_t *draft, size_t n);

#endif
