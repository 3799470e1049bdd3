/* option_table.h -- the tables of commands and options: options.c parses by them, help.c prints them. Nobody else
 * looks. */
#ifndef COORDINATOR_OPTION_TABLE_H
#define COORDINATOR_OPTION_TABLE_H

#include <stddef.h>

#include "coordinator/options.h"

enum { MAX_OPTIONS = 64 };

enum value_origin { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_LINE }; /* a later one counts */

/* What options_parse fills: the options, and what must be seen whole before it is an option. */
struct parsed {
    struct options o;
    enum drafter draft; /* --draft; counts where it was given */
    bool no_draft;
    const char *config; /* --config */
    bool show;
    enum value_origin origin[MAX_OPTIONS]; /* of option_table */
};

enum option_kind {
    OPTION_FLAG,   /* bool: true when given */
    OPTION_TEXT,   /* const char * */
    OPTION_COUNT,  /* int, low..high */
    OPTION_NUMBER, /* float, low..high; high INT_MAX: as large as one likes, inf too */
    OPTION_LIST,   /* struct numbers, each low..high: "1,2,4" or "1-16" */
    OPTION_STOP,   /* joins the list of stops */
    OPTION_CHOICE, /* an enum: the index of the value among the words of `value`, which are parted by '|' */
    OPTION_SWITCH, /* bool: "off|on" */
    OPTION_HELP
};

struct option {
    const char *name;  /* without dashes */
    const char *alias; /* with its dash, or NULL */
    unsigned commands; /* a bit for each enum command that takes it */
    enum option_kind kind;
    size_t offset;     /* in struct parsed */
    const char *value; /* what help calls its value */
    int low, high;
    const char *help; /* may hold newlines */
};

struct command_text {
    const char *name;
    const char *synopsis; /* after "pilotfish NAME", its space included */
    const char *sentence;
    const char *more;       /* after the options, or NULL */
    const char *positional; /* what its argument is, or NULL: takes none */
};

extern const struct option option_table[];
extern const size_t n_options;
extern const struct command_text command_texts[]; /* by enum command */
enum { N_COMMANDS = CMD_WORKER + 1 };

#endif
