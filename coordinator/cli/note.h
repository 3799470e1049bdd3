/* note.h -- notes: lines on standard error that begin with "note: ", for what a person should know though nothing
 * failed. Errors begin with "pilotfish: ", and main prints them. */
#ifndef COORDINATOR_CLI_NOTE_H
#define COORDINATOR_CLI_NOTE_H

void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Appends the line to *notes (NULL: none yet; the caller frees it), to be printed later. If memory is out, it is lost.
 */
void note_keep(char **notes, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
