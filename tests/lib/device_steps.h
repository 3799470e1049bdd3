/* device_steps.h -- passes of several steps (engine_steps) against passes of one: ids, log-probabilities, keys and values
 * are the same, bit for bit. */
#ifndef TESTS_LIB_DEVICE_STEPS_H
#define TESTS_LIB_DEVICE_STEPS_H

#include "kernels/device.h"

/* The model at path, which has 700 ids and contexts of 64 at least. Fails the cmocka test. */
void device_steps_check(const struct device_table *device, const char *path);

/* A copy of a table that counts its steps behind the first of a pass, in device_steps_counted. */
struct device_table device_steps_count(const struct device_table *device);
extern int device_steps_counted;

#endif
