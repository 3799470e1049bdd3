/* note.h -- what a person should know though nothing failed: a line on standard error that begins with "note: ". Errors
 * begin with "pilotfish: ", and main prints them. */
#ifndef COORDINATOR_CLI_NOTE_H
#define COORDINATOR_CLI_NOTE_H

void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Appends the line to *notes (NULL: none yet; the caller frees it), for whoever may print. Out of memory it
 * is lost. */
void note_keep(char **notes, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
