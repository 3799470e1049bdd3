/* show.h -- foreign text as it may reach a terminal: one line, nothing in it that a terminal obeys.
 *
 * Names in files, hosts, paths and the texts of other ranks are foreign. Control characters (C0, DEL, C1) and bytes
 * that are not UTF-8 become \n, \t, \r or \x1b and the like; everything else stays. err_set shows its whole line so;
 * other code that prints foreign text calls these functions.
 */
#ifndef PROTO_SHOW_H
#define PROTO_SHOW_H

#include <stddef.h>

/* n bytes of text, and a 0 behind them; cut at a character's end if they do not fit into `size` bytes (at least 1). */
void show_text(char *out, size_t size, const char *text, size_t n);

/* A name, for printf's arguments: show_name(name).s; a long one loses its end. show_bytes: a name of n bytes. */
struct shown_name {
    char s[256];
};
struct shown_name show_name(const char *name);
struct shown_name show_bytes(const char *name, size_t n);

#endif
