/* man_page.c -- pages in the macros of man(7), which mandoc and groff both read. */
#include <ctype.h>
#include <string.h>

#include "coordinator/cli/docs/docs.h"

#define SCRIPT "scripts/mpirun"
#define EXIT "Exit: "
#define INSTALLED "pilotfish\\-mpirun"

static const char exit_status[] =
    "0 ok, 1 failure, 2 usage or prompt, 3 model, 4 layout, memory or device, 5 a rank or a device was lost, 6 a check "
    "failed, 129 SIGHUP, 130 Ctrl-C, 143 SIGTERM.";

static const char configuration[] =
    "An option may also be set in a file of lines NAME = VALUE, given by --config or by the variable PILOTFISH_CONFIG, "
    "or in the environment: PILOTFISH_NAME, in capitals, with '_' for '-'. The environment overrides the file, the "
    "command line overrides both. \"pilotfish config --show\" prints every option, its value, and where the value "
    "comes from.";

static const char cpu[] = "The kernels that compute, in place of the fastest that this CPU runs: ref, avx2, avx512 or "
                          "amx. The text does not depend on it.";

static const char module[] =
    "The module for devices to open, in place of pilotfish_cuda.so beside the program or in its folder of libraries.";
static const char cuda[] = "emulated: the module whose device is this CPU; for tests.";

/* As running text, or as it stands between .EX and .EE: what roff would take for its own is escaped. */
static void put_n(FILE *out, const char *text, size_t n)
{
    bool begins = true;
    for (size_t i = 0; i < n; i++) {
        const char *c = text + i;
        if (n - i >= strlen(SCRIPT) && !memcmp(c, SCRIPT, strlen(SCRIPT))) {
            fputs(INSTALLED, out);
            i += strlen(SCRIPT) - 1;
        } else if (*c == '\\') {
            fputs("\\e", out);
        } else if (*c == '-') {
            fputs("\\-", out);
        } else if (*c == '\'') {
            fputs("\\(aq", out);
        } else if (*c == '.' && begins) {
            fputs("\\&.", out);
        } else {
            fputc(*c, out);
        }
        begins = *c == '\n';
    }
}

static void put(FILE *out, const char *text)
{
    put_n(out, text, strlen(text));
}

static void put_page_name(FILE *out, const char *command)
{
    fputs("pilotfish\\-", out);
    for (; *command; command++) fputs(*command == ' ' ? "\\-" : (char[]){*command, 0}, out);
}

static void put_capitals(FILE *out, const char *name)
{
    for (; *name; name++) fputc(*name == ' ' ? '-' : toupper((unsigned char)*name), out);
}

static void begin_page(FILE *out, const struct docs_edition *edition, const char *name, const char *command)
{
    fputs(".TH \"", out);
    put_capitals(out, name);
    if (*command) fputc('-', out);
    put_capitals(out, command);
    fprintf(out, "\" 1 \"%s\" \"pilotfish %s\" \"Pilotfish\"\n.SH NAME\n", edition->date, edition->version);
}

static void put_section(FILE *out, const char *heading, const char *text)
{
    fprintf(out, ".SH %s\n", heading);
    put(out, text);
    fputc('\n', out);
}

static void put_option(FILE *out, const struct option *p)
{
    char word[WORD_ROOM];
    fputs(".TP\n", out);
    for (size_t i = 0; option_spelling(p, i, word); i++) {
        fputs(i ? ", \\fB" : "\\fB", out);
        put(out, word);
        fputs("\\fR", out);
        if (i || !p->value) continue;
        fputs(" \\fI", out);
        put(out, p->value);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    put(out, p->help);
    fputc('\n', out);
    char preset[PRESET_ROOM];
    option_preset(p, preset);
    put(out, preset);
    if (*preset) fputc('\n', out);
}

static void put_options(FILE *out, enum command command)
{
    const char *heading = NULL;
    fputs(".SH OPTIONS\n", out);
    for (size_t i = 0; i < n_options; i++) {
        const struct option *p = &option_table[i];
        if (p->heading) heading = p->heading;
        if (!(p->commands & 1u << command)) continue;
        if (heading) fprintf(out, ".SS %s\n", heading);
        heading = NULL;
        put_option(out, p);
    }
}

static void put_examples(FILE *out, const char *lines)
{
    fputs(".SH EXAMPLES\n.EX\n", out);
    for (size_t n; *lines; lines += n) {
        n = strcspn(lines, "\n") + 1;
        size_t n_indent = n > 2 && !memcmp(lines, "  ", 2) ? 2 : 0; /* help's own */
        put_n(out, lines + n_indent, n - n_indent);
    }
    fputs(".EE\n", out);
}

void docs_man_command(FILE *out, const struct docs_edition *edition, enum command command)
{
    const struct command_text *text = &command_texts[command];
    begin_page(out, edition, "pilotfish", text->name);
    put_page_name(out, text->name);
    size_t n = strlen(text->sentence);
    fputs(" \\- ", out);
    put_n(out, text->sentence, n - (text->sentence[n - 1] == '.'));
    fprintf(out, "\n.SH SYNOPSIS\n\\fBpilotfish %s\\fR", text->name);
    put(out, text->synopsis);
    fputc('\n', out);
    put_section(out, "DESCRIPTION", text->sentence);
    const char *more = text->more ? text->more : "", *codes = strstr(more, EXIT);
    size_t n_more = codes ? (size_t)(codes - more) : strlen(more);
    if (n_more) fputs(".PP\n", out);
    put_n(out, more, n_more);
    put_options(out, command);
    put_section(out, "CONFIGURATION", configuration);
    if (text->examples) put_examples(out, text->examples);
    put_section(out, "EXIT STATUS", codes ? codes + strlen(EXIT) : exit_status);
    fputs(".SH SEE ALSO\n\\fBpilotfish\\fR(1), \\fBpilotfish\\-mpirun\\fR(1)\n", out);
}

void docs_man_program(FILE *out, const struct docs_edition *edition)
{
    begin_page(out, edition, "pilotfish", "");
    fputs("pilotfish \\- exact speculative decoding, on one machine or over MPI ranks\n", out);
    fputs(".SH SYNOPSIS\n\\fBpilotfish\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR...]\n", out);
    put_section(out, "DESCRIPTION", "Pilotfish:");
    put(out, program_sentences);
    fputc('\n', out);
    fputs(".SH COMMANDS\n", out);
    for (int i = 0; i < N_COMMANDS; i++) {
        fputs(".TP\n\\fB", out);
        put_page_name(out, command_texts[i].name);
        fputs("\\fR(1)\n", out);
        put(out, command_texts[i].sentence);
        fputc('\n', out);
    }
    put_section(out, "CONFIGURATION", configuration);
    fputs(".SH ENVIRONMENT\n.TP\nPILOTFISH_CPU\n", out);
    put(out, cpu);
    fputs("\n.TP\nPILOTFISH_DEVICE_MODULE\n", out);
    put(out, module);
    fputs("\n.TP\nPILOTFISH_CUDA\n", out);
    put(out, cuda);
    fputc('\n', out);
    put_examples(out, command_texts[CMD_GENERATE].examples);
    put_section(out, "EXIT STATUS", exit_status);
    fputs(".SH SEE ALSO\n\\fBpilotfish\\-mpirun\\fR(1), \\fBmpirun\\fR(1)\n", out);
}

void docs_man_script(FILE *out, const struct docs_edition *edition, const char *name, FILE *help)
{
    char line[512];
    begin_page(out, edition, name, "");
    put(out, name);
    for (bool is_first = true; fgets(line, sizeof line, help); is_first = false) {
        if (is_first) fputs(" \\- ", out);
        put(out, line);
        if (is_first) fputs(".SH DESCRIPTION\n.EX\n", out);
    }
    fputs(".EE\n.SH SEE ALSO\n\\fBpilotfish\\fR(1), \\fBmpirun\\fR(1)\n", out);
}
