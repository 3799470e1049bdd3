/* csv.h -- a text in a line of CSV, as RFC 4180 has it. */
#ifndef COORDINATOR_CLI_CSV_H
#define COORDINATOR_CLI_CSV_H

#include <stdio.h>

/* In quotes where it needs them. */
void csv_put_text(const char *text, FILE *to);

#endif
