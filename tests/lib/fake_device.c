/* A module for devices whose devices are this CPU's reference kernels, and whose faults are in FAKE_DEVICE, words
 * apart by commas:
 *
 *   version        it has another version of the table
 *   count=N        so many devices; by default 2
 *   driver         none answers
 *   mib=N          memory of each; by default 1024
 *   arithmetic=N   what it says of its bits
 *   lost=N         in the N-th run a device is lost
 *   breaks=N       it is lost when it shall take the N-th matrix
 *   late=N         it is lost when the N-th run is done: it gives logits of zeros, and a head of zeros, from then on
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"

static struct device_table table;
static _Atomic int n_runs, n_logits, n_matrices; /* n_logits: that were asked for when the device was lost */

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

static int fake_matrix(struct device *d, enum quant type, int n_in, int n_out)
{
    return ++n_matrices == said("breaks") ? -1 : device_ref.matrix(d, type, n_in, n_out);
}

static void fake_run(struct device *d)
{
    n_runs++;
    device_ref.run(d);
}

static int fake_poll(struct device *d, uint64_t until_ns)
{
    int lost = said("lost"), late = said("late"), breaks = said("breaks");
    if (breaks > 0 && n_matrices >= breaks) return -1;
    if ((lost > 0 && n_runs >= lost) || (late > 0 && n_runs >= late && n_logits)) return -1;
    return device_ref.poll(d, until_ns);
}

static void fake_logits(struct device *d, float *out, size_t ld, int matrix, int row, int n_rows, int i_panel, int n)
{
    device_ref.logits(d, out, ld, matrix, row, n_rows, i_panel, n);
    if (said("late") < 0 || n_runs < said("late")) return;
    n_logits++;
    for (int i = 0; i < n_rows; i++) memset(out + (size_t)i * ld, 0, (size_t)n * sizeof *out);
}

static void fake_head(struct device *d, struct head_part *parts, float *judged)
{
    device_ref.head(d, parts, judged);
    if (said("late") < 0 || n_runs < said("late")) return;
    n_logits++;
    memset(parts, 0, sizeof *parts);
}

static void make_table(void)
{
    table = device_ref;
    table.name = "fake";
    table.probe = fake_probe;
    table.matrix = fake_matrix;
    table.run = fake_run;
    table.poll = fake_poll;
    table.logits = fake_logits;
    table.head = fake_head;
    if (said("arithmetic") >= 0) table.arithmetic = said("arithmetic");
}

__attribute__((visibility("default"))) const struct device_table *pf_device(int version)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_table);
    return version == DEVICE_VERSION && said("version") < 0 ? &table : NULL;
}
