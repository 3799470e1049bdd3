/* refusal.h -- why a request gets no answer: OpenAI's error object. */
#ifndef COORDINATOR_SERVE_REFUSAL_H
#define COORDINATOR_SERVE_REFUSAL_H

#include <jansson.h>

#include "proto/err.h"

struct refusal {
    int status;        /* of HTTP; 0: none */
    const char *code;  /* a word for programs; NULL: none */
    const char *allow; /* of 405: the method */
    char param[64];    /* the field that is to blame; "": none */
    char text[1024];
};

/* Sets it; returns E_USAGE. param NULL: none. */
int refuse(struct refusal *r, int status, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* For an error from elsewhere: 400 for E_USAGE, else 500. */
int refuse_for(struct refusal *r, const char *param, const struct err *why);
/* {"error": {"message", "type", "param", "code"}}: a new reference; NULL when memory is out. */
json_t *refusal_json(const struct refusal *r);

#endif
