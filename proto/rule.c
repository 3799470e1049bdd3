#include "proto/rule.h"

size_t rule_first_bad(const struct rule *rule, const struct verdict_row *rows, const int32_t *draft, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (rule->kind != RULE_EXACT && !(-rows[i].lp_judged[0] > rule->rollback)) continue;
        if (rows[i].next != draft[i]) return i;
        if (rule->kind == RULE_REPO) return n;
    }
    return n;
}
