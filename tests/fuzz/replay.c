/* replay -- gives every file of a corpus folder to a fuzz target, without libFuzzer: what ctest runs. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    long n = f && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    uint8_t *bytes = n >= 0 ? malloc(n ? (size_t)n : 1) : NULL; /* no byte more: a sanitizer sees reads past it */
    int rc = -1;
    if (bytes && fseek(f, 0, SEEK_SET) == 0 && fread(bytes, 1, (size_t)n, f) == (size_t)n) {
        LLVMFuzzerTestOneInput(bytes, (size_t)n);
        rc = 0;
    }
    free(bytes);
    if (f) fclose(f);
    if (rc != 0) fprintf(stderr, "%s: cannot be read\n", path);
    return rc;
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    int n_files = 0, n_failed = 0;
    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    for (const struct dirent *entry; (entry = readdir(folder));) {
        char path[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        n_failed += replay_file(path) != 0;
        n_files++;
    }
    closedir(folder);
    printf("%d files of %s replayed, %d could not be read\n", n_files, argv[1], n_failed);
    return n_files == 0 || n_failed > 0;
}
