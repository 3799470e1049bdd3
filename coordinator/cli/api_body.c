#include "coordinator/cli/api_body.h"

#include <string.h>

#include "coordinator/cli/option_table.h"

static const char *field_of(const struct option *p, char room[64])
{
    if (!strcmp(p->name, "n-predict")) return "max_tokens";
    if (!strcmp(p->name, "temp")) return "temperature";
    snprintf(room, 64, "%s", p->name);
    for (char *c = room; *c; c++)
        if (*c == '-') *c = '_';
    return room;
}

/* NULL: there is nothing to say. */
static json_t *value_of(const struct options *o, const struct option *p)
{
    const void *at = (const char *)o + p->offset;
    int count = p->kind == OPTION_COUNT ? *(const int *)at : 0;
    bool drawn = !strcmp(p->name, "seed") && count < 0, endless = !strcmp(p->name, "n-predict") && count <= 0;
    if (p->kind == OPTION_COUNT) return drawn || endless ? NULL : json_integer(count);
    return p->kind == OPTION_NUMBER ? json_real((double)*(const float *)at) : NULL;
}

int api_body_put(json_t *body, const struct options *o)
{
    char room[64];
    int lost = 0;
    for (size_t i = 0; i < n_options; i++) {
        const struct option *p = &option_table[i];
        bool wanted = p->commands & OF_ROWS && (o->origin[i] != FROM_DEFAULT || !strcmp(p->name, "temp"));
        json_t *value = wanted ? value_of(o, p) : NULL;
        if (value) lost |= json_object_set_new(body, field_of(p, room), value);
    }
    json_t *stops = json_array();
    for (int i = 0; i < o->n_stops; i++) lost |= json_array_append_new(stops, json_string(o->stops[i]));
    return lost | (o->n_stops ? json_object_set(body, "stop", stops) : 0) | (json_decref(stops), 0);
}
