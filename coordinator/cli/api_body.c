#include "coordinator/cli/api_body.h"

#include <string.h>

#include "coordinator/cli/row_options.h"

static const char *field_of(const struct option *p, char room[64])
{
    if (!strcmp(p->name, "n-predict")) return "max_tokens";
    if (!strcmp(p->name, "temp")) return "temperature";
    snprintf(room, 64, "%s", p->name);
    for (char *c = room; *c; c++)
        if (*c == '-') *c = '_';
    return room;
}

/* A length without a limit, and a seed that is drawn: the field is left out. */
static bool is_none(const struct option *p, json_int_t n)
{
    return (!strcmp(p->name, "n-predict") && n <= 0) || (!strcmp(p->name, "seed") && n < 0);
}

/* NULL: there is nothing to say. */
static json_t *value_of(const struct options *o, const struct option *p)
{
    const void *at = (const char *)o + p->offset;
    if (p->kind == OPTION_COUNT) return is_none(p, *(const int *)at) ? NULL : json_integer(*(const int *)at);
    return p->kind == OPTION_NUMBER ? json_real((double)*(const float *)at) : NULL;
}

int api_body_put(json_t *body, const struct options *o)
{
    char room[64];
    int lost = 0;
    for (size_t i = 0; i < n_options; i++) {
        const struct option *p = &option_table[i];
        bool always = !strcmp(p->name, "temp") || !strcmp(p->name, "n-predict");
        bool wanted = p->commands & OF_ROWS && (always || o->origin[i] != FROM_DEFAULT);
        json_t *value = wanted ? value_of(o, p) : NULL;
        if (value) lost |= json_object_set_new(body, field_of(p, room), value);
    }
    if (!o->n_stops) return lost;
    json_t *stops = json_array();
    for (int i = 0; i < o->n_stops; i++) lost |= json_array_append_new(stops, json_string(o->stops[i]));
    return lost | json_object_set_new(body, "stop", stops);
}

int api_body_put_row(json_t *body, json_t *row)
{
    char room[64];
    const char *key;
    json_t *value;
    int lost = 0;
    json_object_foreach(row, key, value)
    {
        const struct option *p = json_is_null(value) ? NULL : row_option(key);
        bool none = p && json_is_integer(value) && is_none(p, json_integer_value(value));
        /* Without a limit, whatever the command line's; of a seed that one stays, as with generate. */
        if (none && strcmp(p->name, "seed") != 0)
            json_object_del(body, field_of(p, room));
        else if (p && !none)
            lost |= json_object_set(body, field_of(p, room), value);
    }
    return lost;
}
