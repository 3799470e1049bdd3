/* fuzz_config -- any bytes as a configuration file: refused with one line, or settings that can be shown and read
 * again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "coordinator/cli/options.h"

static void require(bool holds)
{
    if (!holds) abort();
}

static int parse(struct options *o, const void *bytes, size_t n_bytes, struct err *err)
{
    int fd = memfd_create("config", MFD_CLOEXEC);
    char path[64], *argv[] = {"pilotfish", "config", "--show", "--config", path};
    require(fd >= 0 && write(fd, bytes, n_bytes) == (ssize_t)n_bytes);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int rc = options_parse(o, 5, argv, err);
    close(fd);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct options first, second;
    struct err err;
    unsetenv("PILOTFISH_CONFIG");
    int rc = parse(&first, bytes, n_bytes, &err);
    if (rc != OK) {
        require(err.text[0] != 0 && !strchr(err.text, '\n'));
        return 0;
    }
    if (parse(&second, first.settings, strlen(first.settings), &err) == OK) options_free(&second);
    options_free(&first);
    return 0;
}
