/* pass_seen.h -- passes, as the coordinator sees them: parts of one pass have a verdict each, at about the same time.
 */
#ifndef COORDINATOR_CLI_PASS_SEEN_H
#define COORDINATOR_CLI_PASS_SEEN_H

#include <stdbool.h>

#include "proto/wire.h"

struct pass_seen { /* the last one; zeroed: none */
    uint64_t came_ns;
    uint32_t computed_us;
};

/* Whether the verdict, which came now, is the first of a pass. A refusal is of none. */
static inline bool pass_is_new(struct pass_seen *last, uint64_t now_ns, const struct verdict *v)
{
    bool same = v->computed_us == last->computed_us && now_ns - last->came_ns < v->computed_us * 1000ull / 8;
    if (v->status != VERDICT_OK || same) return false;
    *last = (struct pass_seen){now_ns, v->computed_us};
    return true;
}

#endif
