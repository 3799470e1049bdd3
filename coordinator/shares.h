/* shares.h -- how many blocks each stage of the big model takes, and how many heads each shard of a stage: by how fast
 * the workers' read loops are, within the memory that each host has. Pure: Hellos in, lists for --stage-share and
 * --shard-share out.
 *
 * Stages that take turns are fastest together where each reads for as long as the others, the last one its head too;
 * so are the shards of a stage. If one worker's read loop was not timed, all count as equally fast. What a share of
 * another size takes is estimated from the share that the worker has now: fit_check decides afterwards. Groups take
 * shares of their own: what a host has is dealt to the groups on it as they need it now.
 */
#ifndef COORDINATOR_SHARES_H
#define COORDINATOR_SHARES_H

#include <stdbool.h>

#include "coordinator/workers.h"

enum { SHARES_TEXT = SHARDS_MOST * 8 };

struct shares { /* as the options take them; "": as they are */
    char stages[SHARES_TEXT], shards[SHARES_TEXT];
};

/* Parts of n_units that are read in the same time: base[i] + units[i] by rate[i], each at least 1 and at most most[i].
 * false: n_units do not fit. */
bool shares_deal(int units[], int n_units, int n_parts, const double base[], const double rate[], const int most[]);

/* After workers_set_context. Chooses the lists that are wanted of a group; false: none fit into the memory that there
 * is. */
bool shares_choose(struct shares *out, const struct workers *w, int group, bool stages, bool shards);

#endif
