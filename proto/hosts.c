#include "proto/hosts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIELD_NAME,
    FIELD_CORES,
    FIELD_MEMORY,
    FIELD_READ,
    FIELD_ROUND_TRIP,
    FIELD_RATE,
    FIELD_PRODUCTS,
    N_FIELDS,
    LINE = 300
};

static const struct {
    const char *name;
    double low, high; /* low 0: may be 0; else above it */
} fields[N_FIELDS] = {
    [FIELD_CORES] = {"cores", 1, HOST_CORES_MOST},
    [FIELD_MEMORY] = {"GiB of memory", 1e-3, 1e6},
    [FIELD_READ] = {"GB/s of reading", 1e-3, 1e6},
    [FIELD_ROUND_TRIP] = {"ms of a round trip", 0, 1e4},
    [FIELD_RATE] = {"Mbit/s", 0, 1e7},
    [FIELD_PRODUCTS] = {"G products/s", 0, 1e9},
};

static const char name_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

static int check_name(const char *name, int line, struct err *err)
{
    if (strlen(name) >= HOST_NAME)
        return err_set(err, E_USAGE, "line %d: a name has at most %d letters", line, HOST_NAME - 1);
    if (name[strspn(name, name_letters)] || *name == '-')
        return err_set(err, E_USAGE, "line %d: %s: a name has letters, digits, and . _ -", line, name);
    return OK;
}

static int read_number(double *out, const char *word, int field, int line, struct err *err)
{
    char *end;
    *out = strtod(word, &end);
    bool ok = *word && !*end && isfinite(*out) && (field != FIELD_CORES || *out == floor(*out));
    if (!ok) return err_set(err, E_USAGE, "line %d: %s: not a number of %s", line, word, fields[field].name);
    if (*out < fields[field].low || *out > fields[field].high)
        return err_set(err, E_USAGE, "line %d: %s %s: must be from %g to %g", line, word, fields[field].name,
                       fields[field].low, fields[field].high);
    return OK;
}

/* words: [n] of one line. */
static int read_host(struct host *out, char *const words[], int n, bool first, int line, struct err *err)
{
    double number[N_FIELDS] = {0};
    int rc = check_name(words[FIELD_NAME], line, err), n_needed = first ? FIELD_ROUND_TRIP : FIELD_PRODUCTS;
    if (rc == OK && (n < n_needed || n > N_FIELDS))
        rc = err_set(err, E_USAGE, "line %d: %d fields: a host has its name, cores, memory in GiB, read GB/s%s", line,
                     n, first ? "" : ", and round trip in ms and Mbit/s to the first host");
    for (int i = FIELD_CORES; i < n && rc == OK; i++) rc = read_number(&number[i], words[i], i, line, err);
    if (rc != OK) return rc;
    *out = (struct host){.cores = (int)number[FIELD_CORES],
                         .memory_bytes = number[FIELD_MEMORY] * GIB,
                         .read_bytes_per_s = number[FIELD_READ] * 1e9,
                         .round_trip_ms = first ? 0 : number[FIELD_ROUND_TRIP],
                         .bits_per_s = first ? 0 : number[FIELD_RATE] * 1e6,
                         .products_per_s = number[FIELD_PRODUCTS] * 1e9};
    memcpy(out->name, words[FIELD_NAME], strlen(words[FIELD_NAME]) + 1);
    return OK;
}

/* One more than there may be is counted. */
static int split(char *line, char *words[N_FIELDS + 1])
{
    int n = 0;
    line[strcspn(line, "#")] = 0;
    for (char *word; n <= N_FIELDS && (word = strsep(&line, " \t\r"));)
        if (*word) words[n++] = word;
    return n;
}

int hosts_read(struct host out[HOSTS_MOST], int *n, const char *text, struct err *err)
{
    int n_hosts = 0, n_line[HOSTS_MOST];
    for (int line = 1; *text; line++) {
        char copy[LINE], *words[N_FIELDS + 1];
        size_t length = strcspn(text, "\n");
        if (length >= sizeof copy) return err_set(err, E_USAGE, "line %d: more than %d bytes", line, LINE - 1);
        memcpy(copy, text, length);
        copy[length] = 0;
        text += length + (text[length] == '\n');
        int n_words = split(copy, words);
        if (!n_words) continue;
        if (n_hosts == HOSTS_MOST) return err_set(err, E_USAGE, "line %d: more than %d hosts", line, HOSTS_MOST);
        int rc = read_host(&out[n_hosts], words, n_words, !n_hosts, line, err);
        if (rc != OK) return rc;
        for (int i = 0; i < n_hosts; i++)
            if (!strcmp(out[i].name, out[n_hosts].name))
                return err_set(err, E_USAGE, "line %d: %s is on line %d already", line, out[i].name, n_line[i]);
        n_line[n_hosts++] = line;
    }
    if (!n_hosts) return err_set(err, E_USAGE, "there is no host in it");
    *n = n_hosts;
    return OK;
}

void hosts_put_head(FILE *to)
{
    fprintf(to, "# name, cores, memory GiB, read GB/s; round trip ms and Mbit/s to the first host; G products/s\n");
}

void hosts_put(const struct host *h, bool first, FILE *to)
{
    fprintf(to, "%s %d %.1f %.1f", h->name, h->cores, h->memory_bytes / GIB, h->read_bytes_per_s / 1e9);
    bool more = h->products_per_s > 0;
    if (!first || more) fprintf(to, " %.3f %.0f", h->round_trip_ms, h->bits_per_s / 1e6);
    if (more) fprintf(to, " %.0f", h->products_per_s / 1e9);
    fprintf(to, "\n");
}
