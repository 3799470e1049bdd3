/* letters.h -- messages to try the wire with: some as they are in a job, some with every value that is hard to carry.
 */
#ifndef TESTS_LIB_LETTERS_H
#define TESTS_LIB_LETTERS_H

#include "proto/wire.h"

struct letter_example {
    const char *name;
    struct message m;
};
extern const struct letter_example letters[];
extern const size_t n_letters;

/* Equal in every field, floats by their bits; texts as the wire may carry them. */
bool letters_same(const struct message *a, const struct message *b);

#endif
