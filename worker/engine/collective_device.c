#include "worker/engine/collective_device.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/layout.h"

enum { OPEN_S = 20, ID_WORDS = DEVICE_ID_BYTES / sizeof(uint32_t) }; /* OPEN_S: for all to come */

union word { /* as collectives carry it */
    uint32_t bits;
    float carried;
};
_Static_assert(sizeof(union word) == sizeof(float), "a word is a float on its way");

static uint64_t hash_text(uint64_t h, const char *text) /* FNV-1a */
{
    for (; *text; text++) h = (h ^ (uint8_t)*text) * 0x100000001b3u;
    return h;
}

/* Of two devices no two are alike. */
static uint64_t place_hash(const char *place)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    return hash_text(hash_text(0xcbf29ce484222325u, host), place);
}

static int gather(struct collective *host, union word *words, int n_each, struct err *err)
{
    int from[SHARDS_MOST + 1];
    for (int i = 0; i <= host->n; i++) from[i] = i * n_each;
    return host->gather(host, &words->carried, (size_t)(n_each * host->n), 1, from, err);
}

/* All have devices that can, and no two the same one. */
static int all_apart(bool *apart, struct collective *host, const struct device_member *member, struct err *err)
{
    enum { CAN, LOW, HIGH, WORDS };
    union word said[SHARDS_MOST * WORDS] = {{0}};
    bool can = member->table && member->table->comm_open;
    uint64_t hash = can ? place_hash(member->place) : 0;
    said[host->self * WORDS + CAN].bits = can;
    said[host->self * WORDS + LOW].bits = (uint32_t)hash;
    said[host->self * WORDS + HIGH].bits = (uint32_t)(hash >> 32);
    int rc = gather(host, said, WORDS, err);
    *apart = rc == OK;
    for (int i = 0; i < host->n && *apart; i++) {
        *apart = said[i * WORDS + CAN].bits;
        for (int j = 0; j < i; j++) *apart &= memcmp(&said[i * WORDS], &said[j * WORDS], WORDS * sizeof *said) != 0;
    }
    return rc;
}

/* Member 0's; the others get it. */
static int share_id(uint8_t id[DEVICE_ID_BYTES], struct collective *host, struct err *err)
{
    int from[SHARDS_MOST + 1] = {0};
    union word words[ID_WORDS];
    for (int i = 1; i <= host->n; i++) from[i] = ID_WORDS;
    memcpy(words, id, DEVICE_ID_BYTES);
    int rc = host->gather(host, &words[0].carried, ID_WORDS, 1, from, err);
    memcpy(id, words, DEVICE_ID_BYTES);
    return rc;
}

static void tell(char why[256], const struct collective *host, enum device_comm which, const char *cause)
{
    char name[128] = "";
    gethostname(name, sizeof name - 1);
    snprintf(why, 256, "host %s: the devices of %d %s exchange rows by way of their hosts, which is slower: %.80s",
             name, host->n, which == DEVICE_SHARDS ? "shards" : "stages", cause);
}

enum answer { FAILED, WAITED, DONE }; /* WAITED: in vain for others, which may know more */

/* *all: have done it. Else the first of those that know most tells why. */
static int agree(bool *all, struct collective *host, enum device_comm which, enum answer own, const char *cause,
                 char why[256], struct err *err)
{
    union word said[SHARDS_MOST] = {{0}};
    int teller = 0;
    said[host->self].bits = own;
    int rc = gather(host, said, 1, err);
    for (int i = 1; i < host->n; i++)
        if (said[i].bits < said[teller].bits) teller = i;
    *all = rc == OK && said[teller].bits == DONE;
    if (rc == OK && !*all && teller == host->self) tell(why, host, which, cause);
    return rc;
}

static int open_all(bool *opened, struct collective *host, const struct device_member *member, enum device_comm which,
                    char why[256], struct err *err)
{
    const uint64_t second_ns = 1000000000;
    const struct device_table *t = member->table;
    uint8_t id[DEVICE_ID_BYTES] = {0};
    const char *cause = "";
    bool apart, ready = false;
    int rc = all_apart(&apart, host, member, err);
    if (rc != OK || !apart) return rc;
    bool there = t->comm_there(&cause) >= 0 && (host->self || t->comm_id(id, &cause) >= 0);
    rc = agree(&ready, host, which, there ? DONE : FAILED, cause, why, err);
    if (rc == OK && ready) rc = share_id(id, host, err);
    if (rc != OK || !ready) return rc;
    uint64_t until_ns = clock_now_ns() + OPEN_S * second_ns;
    int open = t->comm_open(member->device, which, id, host->n, host->self, until_ns, &cause);
    enum answer own = open == DEVICE_LATE ? WAITED : open < 0 ? FAILED : DONE;
    rc = agree(&ready, host, which, own, cause, why, err);
    if (own == DONE && !ready) t->comm_close(member->device, which);
    *opened = ready;
    return rc;
}

int collective_device_open(bool *opened, struct collective *host, const struct device_member *member,
                           enum device_comm which, char why[256], struct err *err)
{
    int (*waits)(void *, int, struct err *) = host->waits;
    *opened = false;
    why[0] = '\0';
    host->waits = NULL; /* one member may wait for OPEN_S before the others hear of it */
    int rc = open_all(opened, host, member, which, why, err);
    host->waits = waits;
    return rc;
}
