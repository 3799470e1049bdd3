/* prompt_files.h -- prompts as the program reads them, from a file and standard input, with the vocabulary of a toy. */
#ifndef TESTS_LIB_PROMPT_FILES_H
#define TESTS_LIB_PROMPT_FILES_H

#include "coordinator/cli/prompts.h"

enum { MODEL_CTX = 300 };

/* Of a group of tests, between its set-up and its tear-down. */
struct prompt_files {
    char folder[64], toy_path[96], file[96];
    struct gguf toy;
    struct tokenizer *tokenizer;
};
extern struct prompt_files w;
int prompt_files_set_up(void **state);
int prompt_files_tear_down(void **state);

/* The file, with this text, or with a row of JSON in which ' stands for ". */
const char *path_with(const char *text);
const char *path_with_row(const char *row);

/* A command line of words parted by single spaces, and --raw --prompts with the file's path. */
struct options options_of(const char *line);

/* Reads with standard input holding `in`; what was noted goes to *notes (the caller frees). */
int read_noting(struct prompts *p, const struct options *o, const struct gguf *big, const char *in, char **notes,
                struct err *err);
/* Of the toy, and nothing may be noted. */
int read_from(struct prompts *p, const struct options *o, const char *in, struct err *err);

/* The text of a prompt, in turn: valid until the next call. */
const char *text_of(const struct prompts *p, int i);

#endif
