/* messages.h -- messages to try the wire with: some as they are in a job, some with every value that is hard to carry.
 */
#ifndef TESTS_LIB_MESSAGES_H
#define TESTS_LIB_MESSAGES_H

#include "proto/wire.h"

struct message_example {
    const char *name;
    struct message m;
};
extern const struct message_example messages[];
extern const size_t n_messages;

/* Equal in every field, floats by their bits; texts as the wire may carry them. */
bool messages_same(const struct message *a, const struct message *b);

#endif
