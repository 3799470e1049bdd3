#include "coordinator/cli/marks.h"

#include <string.h>

#include "coordinator/cli/network.h"
#include "coordinator/text/json_text.h"
#include "proto/show.h"

void marks_line(const struct options *o, FILE *to)
{
    if (o->plan) fprintf(to, "lossy: the big model is served under the plan %s\n", show_name(o->plan).s);
    network_line(o, to);
}

int marks_json(const struct options *o, json_t *to)
{
    int lost = o->plan ? json_object_set_new(to, "plan", json_text(o->plan, strlen(o->plan))) : 0;
    return lost | network_json(o, to);
}
