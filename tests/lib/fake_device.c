/* A module for devices whose devices are this CPU's reference kernels, and whose faults are in FAKE_DEVICE, words
 * apart by commas:
 *
 *   version        it has another version of the table
 *   count=N        so many devices; by default 2
 *   driver         none answers
 *   mib=N          memory of each; by default 1024
 *   arithmetic=N   what it says of its bits
 *   lost=N         in its N-th run a device is lost
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"

static struct device_table table;
static _Atomic int n_runs;

/* -1: the word is not there; 0: it has no number. */
static int said(const char *word)
{
    const char *all = getenv("FAKE_DEVICE");
    size_t n = strlen(word);
    for (const char *s = all; s && (s = strstr(s, word)); s += n)
        if ((s == all || s[-1] == ',') && strchr("=,", s[n])) return s[n] == '=' ? atoi(s + n + 1) : 0;
    return -1;
}

static int fake_probe(int i, struct device_about *about, const char **why)
{
    int n = said("count") < 0 ? 2 : said("count"), mib = said("mib") < 0 ? 1024 : said("mib");
    if (said("driver") >= 0) {
        *why = "CUDA driver version is insufficient for CUDA runtime version";
        return -1;
    }
    if (!about || i < 0 || i >= n) return n;
    device_ref.probe(0, about, why);
    snprintf(about->name, sizeof about->name, "toy at %d", i);
    about->memory_bytes = (uint64_t)mib << 20;
    return n;
}

static void fake_run(struct device *d)
{
    n_runs++;
    device_ref.run(d);
}

static int fake_poll(struct device *d, uint64_t until_ns)
{
    int lost = said("lost");
    return lost > 0 && n_runs >= lost ? -1 : device_ref.poll(d, until_ns);
}

static void make_table(void)
{
    table = device_ref;
    table.name = "fake";
    table.probe = fake_probe;
    table.run = fake_run;
    table.poll = fake_poll;
    if (said("arithmetic") >= 0) table.arithmetic = said("arithmetic");
}

__attribute__((visibility("default"))) const struct device_table *pf_device(int version)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_table);
    return version == DEVICE_VERSION && said("version") < 0 ? &table : NULL;
}
