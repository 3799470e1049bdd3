#include "coordinator/serve/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int add(struct keys *k, const char *key, struct err *err)
{
    char **more = realloc(k->list, (k->n + 1) * sizeof *more);
    if (more) k->list = more;
    char *copy = more ? strdup(key) : NULL;
    if (!copy) return err_set(err, E_FAIL, "out of memory");
    k->list[k->n++] = copy;
    return OK;
}

static int read_lines(struct keys *k, FILE *f, const char *path, struct err *err)
{
    char *line = NULL;
    size_t room = 0, n_before = k->n;
    int rc = OK;
    while (rc == OK && getline(&line, &room, f) >= 0) {
        line[strcspn(line, " \t\r\n")] = 0;
        if (*line) rc = add(k, line, err);
    }
    if (rc == OK && ferror(f)) rc = err_set(err, E_USAGE, "--api-key-file %s: %s", path, strerror(errno));
    if (rc == OK && k->n == n_before) rc = err_set(err, E_USAGE, "--api-key-file %s: no key in it", path);
    free(line);
    return rc;
}

int keys_read(struct keys *k, const char *key, const char *path, struct err *err)
{
    if (key && !*key) return err_set(err, E_USAGE, "--api-key: it is empty");
    int rc = key ? add(k, key, err) : OK;
    if (rc != OK || !path) return rc;
    FILE *f = fopen(path, "re");
    if (!f) return err_set(err, E_USAGE, "--api-key-file %s: %s", path, strerror(errno));
    rc = read_lines(k, f, path, err);
    fclose(f);
    return rc;
}

void keys_free(struct keys *k)
{
    for (size_t i = 0; i < k->n; i++) free(k->list[i]);
    free(k->list);
}

static bool is_same(const char *a, const char *b)
{
    size_t n = strlen(a);
    unsigned char differ = n != strlen(b);
    for (size_t i = 0; i < n && strlen(b) == n; i++) differ |= (unsigned char)(a[i] ^ b[i]);
    return !differ;
}

bool keys_allow(const struct keys *k, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    if (!k->n) return true;
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1)) return false;
    const char *key = authorization + sizeof scheme - 1;
    bool allowed = false;
    for (size_t i = 0; i < k->n; i++) allowed |= is_same(key, k->list[i]);
    return allowed;
}
