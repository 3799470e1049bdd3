/* fuzz_jinja -- any bytes as a chat template: it is run or refused, within its bounds, and what it marks as a message's
 * are bytes of the text. */
#include <stdlib.h>

#include "coordinator/text/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static const struct jinja_message messages[] = {{"system", {"Be <brief>.", 11}},
                                                    {"user", {" a\nb ", 5}},
                                                    {"assistant", {"<think>c</think>d", 17}},
                                                    {"user", {"", 0}}};
    const struct jinja_chat chat = {messages, 4, {"<s>", 3}, {"</s>", 4}, 1, {.tm_mday = 1, .tm_year = 126}};
    struct jinja_text text = {0};
    struct err err;
    if (jinja_render((struct gguf_str){(const char *)bytes, n_bytes}, &chat, &text, &err) != OK) return 0;
    for (size_t i = 0; i < text.n; i++)
        if (text.message[i] > 1) abort();
    if (text.bytes[text.n] != 0) abort();
    jinja_text_free(&text);
    return 0;
}
