/* wire_inside.h -- the inside of wire: what its files share.
 *
 *   wire.c               the tables, encode and decode; the messages of a job and its workers
 *     ├▶ wire_slots.c    the messages about a slot's text
 *     ├▶ wire_check.c    which values fields may have (of both)
 *     └▶ wire_arena.c    memory, and strings in it (for both)
 */
#ifndef PROTO_WIRE_INSIDE_H
#define PROTO_WIRE_INSIDE_H

#include "proto/wire.h"

enum { TEXT_MAX = 1023, PATH_MAX_BYTES = 4095 }; /* longer strings lose their end */

/* ---- wire_arena.c ---- */

/* Why a message was not encoded or decoded, behind its name. */
extern const char wire_no_room[];

/* n things of `size` bytes, aligned for any type (malloc's own alignment holds for the base). NULL: no room. */
void *wire_take(struct wire_arena *a, size_t n, size_t size);

/* The text itself, or its first `max` bytes in the arena. Bytes: nothing is assumed about an encoding. NULL: no room.
 */
char *wire_text_out(struct wire_arena *a, const char *text, size_t max);
/* protobuf-c has put a 0 behind the bytes; one inside them ends the text earlier. */
const char *wire_text_in(char *text, size_t max);

/* ---- wire_slots.c ---- */

/* A message, each way. out: what to pack, NULL without room. in: why not, NULL if it is well. */
struct wire_codec {
    const struct ProtobufCMessageDescriptor *type;
    const void *(*out)(struct wire_arena *a, const struct message *m);
    const char *(*in)(struct wire_arena *a, const void *from, struct message *m);
};
extern const struct wire_codec wire_open, wire_cut, wire_ack, wire_token, wire_verify, wire_verdict, wire_draft_ask,
    wire_draft, wire_pass;

#endif
