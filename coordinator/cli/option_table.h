/* option_table.h -- the tables of commands and options: options.c parses with them, config.c reads and writes files
 * with them, help.c prints them. An option's name, default, range, needs, and place in help are here and nowhere else.
 */
#ifndef COORDINATOR_CLI_OPTION_TABLE_H
#define COORDINATOR_CLI_OPTION_TABLE_H

#include <stddef.h>

#include "coordinator/cli/options.h"

enum option_kind {
    OPTION_FLAG,      /* bool: true when given */
    OPTION_TEXT,      /* const char * */
    OPTION_COUNT,     /* int, low..high */
    OPTION_NUMBER,    /* float, low..high; high INT_MAX: no upper limit, inf too */
    OPTION_LIST,      /* struct numbers, each low..high: "1,2,4" or "1-16" */
    OPTION_DELAYS,    /* struct net_delays, each low..high: "20" or "20,drafter=5" */
    OPTION_SYNTHETIC, /* struct synthetic: "tD=8,tT=30:31,slope=5" */
    OPTION_CURVE,     /* struct acceptance: "0.9,0.8" */
    OPTION_STOP,      /* is added to the list of stops */
    OPTION_PLAN,      /* likewise of plans for drafts */
    OPTION_CHOICE,    /* an enum: the index of the value among the words of `value`, which '|' separates */
    OPTION_SWITCH,    /* bool: "off|on" */
    OPTION_HELP
};

/* What an option needs to have an effect; without it a note is printed. */
enum option_needs {
    NEEDS_NOTHING,
    NEEDS_DRAFTER,
    NEEDS_LITTLE,
    NEEDS_LITTLES, /* and more than one text at once */
    NEEDS_AHEAD,   /* and that it may run ahead */
    NEEDS_DEVICE,
    NEEDS_OPINION,
    NEEDS_GUARD,
    NEEDS_SAMPLING,
    NEEDS_BILD,
    NEEDS_TEXT,
    NEEDS_JSONL,
    NEEDS_PROMPTS,
    NEEDS_MESSAGES
};

enum { N_COMMANDS = CMD_WORKER + 1, OF_ROWS = 1 << N_COMMANDS, OF_SWEEPS = 2 << N_COMMANDS, SECRET = 4 << N_COMMANDS };

struct option {
    const char *name; /* without dashes */
    /* Other spellings with their dashes, separated by spaces, or NULL; help shows the first if it is short. */
    const char *aliases;
    /* A bit for each enum command that takes it; OF_ROWS: a line of --prompts may have its own; OF_SWEEPS: where a
     * command sweeps it may have several values (sweep.h); SECRET: config --show does not print its value. */
    unsigned commands;
    enum option_kind kind;
    size_t offset;     /* in struct options */
    const char *value; /* the name of its value in help */
    int low, high;
    const char *help;                /* may have newlines; the default is printed after it */
    const char *preset;              /* the default, as it would be typed; NULL: none */
    const char *preset_of[ACCEPT_N]; /* the default under an --accept, if it differs */
    enum option_needs needs;
    const char *heading; /* begins a group of this name in help; NULL: in the group of the row before it */
};

/* It may be given again and again: each adds a value. */
static inline bool option_has_many(const struct option *p)
{
    return p->kind == OPTION_STOP || p->kind == OPTION_PLAN;
}

/* Options and commands of other programs that this one does not have, with what to do instead. */
struct foreign_word {
    const char *spellings; /* separated by spaces */
    const char *sentence;
};

struct command_text {
    const char *name;
    const char *synopsis; /* after "pilotfish NAME", its space included */
    const char *sentence;
    const char *examples;   /* lines, or NULL */
    const char *more;       /* after the options and the examples, or NULL */
    const char *positional; /* the name of its argument; NULL: it takes none */
};

extern const char program_sentences[];
extern const struct option option_table[];
extern const size_t n_options;
extern const struct command_text command_texts[];                       /* by enum command */
extern const struct foreign_word foreign_options[], foreign_commands[]; /* the last row has no spellings */

bool command_takes(enum command command, const struct option *p);
/* Whether commands of two words begin with this word. */
bool command_is_group(const char *word);

/* Whether the n bytes at `word`, dashes included, name this option; '_' counts as '-'. */
bool option_is(const struct option *p, const char *word, size_t n);
/* The i-th spelling, dashes included: first the name, then the aliases. False: there are fewer. */
enum { WORD_ROOM = 40 };
bool option_spelling(const struct option *p, size_t i, char out[WORD_ROOM]);
/* "(default: 8; with --accept bild 10)", or "". */
enum { PRESET_ROOM = 120 };
void option_preset(const struct option *p, char out[PRESET_ROOM]);
/* The option of this long name or alias, without its dashes; NULL: none. */
const struct option *option_named(const char *name);
/* The row that has the word, or NULL. */
const struct foreign_word *foreign_find(const struct foreign_word *rows, const char *word);

#endif
