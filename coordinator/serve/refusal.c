#include "coordinator/serve/refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/text/json_text.h"

int refuse(struct refusal *r, int status, const char *param, const char *format, ...)
{
    va_list arguments;
    *r = (struct refusal){.status = status};
    snprintf(r->param, sizeof r->param, "%s", param ? param : "");
    va_start(arguments, format);
    vsnprintf(r->text, sizeof r->text, format, arguments);
    va_end(arguments);
    return E_USAGE;
}

int refuse_for(struct refusal *r, const char *param, const struct err *why)
{
    return refuse(r, why->code == E_USAGE ? 400 : 500, param, "%s", why->text);
}

static const char *type_of(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    case 500: return "server_error";
    case 503: return "unavailable_error";
    default: return "invalid_request_error";
    }
}

json_t *refusal_json(const struct refusal *r)
{
    json_t *param = *r->param ? json_text(r->param, strlen(r->param)) : json_null();
    json_t *code = r->code ? json_string(r->code) : json_null();
    return json_pack("{s{so ss so so}}", "error", "message", json_text(r->text, strlen(r->text)), "type",
                     type_of(r->status), "param", param, "code", code);
}
