/* docs_main.c -- pilotfish_docs FOLDER VERSION DATE: writes man1/ and the three completions into the folder. The help
 * of pilotfish-mpirun is its standard input. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/cli/docs/docs.h"

static bool close_written(FILE *f)
{
    bool failed = ferror(f);
    return !fclose(f) && !failed;
}

static bool write_completions(void)
{
    static const struct {
        const char *name;
        void (*print)(FILE *out);
    } shells[] = {{"pilotfish.bash", docs_bash}, {"_pilotfish", docs_zsh}, {"pilotfish.fish", docs_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        FILE *f = fopen(shells[i].name, "w");
        if (f) shells[i].print(f);
        if (!f || !close_written(f)) return false;
    }
    return true;
}

static bool write_commands(const struct docs_edition *edition)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        char path[64];
        snprintf(path, sizeof path, "man1/pilotfish-%s.1", command_texts[i].name);
        for (char *c = path; *c; c++)
            if (*c == ' ') *c = '-';
        FILE *f = fopen(path, "w");
        if (f) docs_man_command(f, edition, (enum command)i);
        if (!f || !close_written(f)) return false;
    }
    return true;
}

static bool write_overviews(const struct docs_edition *edition)
{
    FILE *f = fopen("man1/pilotfish.1", "w");
    if (f) docs_man_program(f, edition);
    if (!f || !close_written(f)) return false;
    f = fopen("man1/pilotfish-mpirun.1", "w");
    if (f) docs_man_script(f, edition, "pilotfish-mpirun", stdin);
    return f && close_written(f);
}

int main(int argc, char **argv)
{
    if (argc != 4) return fprintf(stderr, "pilotfish_docs: it takes FOLDER VERSION DATE\n"), 2;
    struct docs_edition edition = {argv[2], argv[3]};
    bool ok = !chdir(argv[1]) && (!mkdir("man1", 0777) || errno == EEXIST);
    ok = ok && write_completions() && write_commands(&edition) && write_overviews(&edition);
    if (!ok) fprintf(stderr, "pilotfish_docs: in %s: %s\n", argv[1], strerror(errno));
    return !ok;
}
