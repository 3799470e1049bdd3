/* collective_device.h -- the members of a collective, the shards of a stage or a shard's stages, agree whether their
 * devices exchange rows by themselves (kernels/device.h), and open what they do it by.
 *
 *   all have devices, no two the same one? ─▶ all have the library? ─▶ member 0's id ─▶ comm_open ─▶ all have it?
 *
 * Each arrow is a gather of the host's collective, which every member makes: so all come to one answer, and none waits
 * for another one. Otherwise rows go by way of the host, as they do where no device is.
 */
#ifndef WORKER_ENGINE_COLLECTIVE_DEVICE_H
#define WORKER_ENGINE_COLLECTIVE_DEVICE_H

#include "kernels/device.h"
#include "proto/err.h"
#include "worker/engine/collective.h"

struct device_member {
    const struct device_table *table; /* NULL: this member has no device */
    struct device *device;
    const char *place; /* its name, another one for each device of a host */
};

/* *opened: the devices exchange rows. why: to be told to people by this member; "": nothing. E_PEER: a gather
 * failed. */
int collective_device_open(bool *opened, struct collective *host, const struct device_member *member,
                           enum device_comm which, char why[256], struct err *err);

#endif
