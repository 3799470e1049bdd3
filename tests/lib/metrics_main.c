/* metrics -- BLEU and ROUGE of pairs of texts: what tests/metrics.py holds against the field's own programs.
 *
 * In: lines of JSON, {"text": "...", "reference": "..."}. Out: ROUGE-1, -2, -L and -Lsum of each in a line, and whether
 * the text has the number that the reference has behind "####" (gsm8k_right); then BLEU of all; nothing is rounded. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/text/metrics.h"

int main(void)
{
    struct bleu bleu = {0};
    json_t *pair;
    while ((pair = json_loadf(stdin, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, NULL))) {
        const json_t *text = json_object_get(pair, "text"), *reference = json_object_get(pair, "reference");
        const char *a = json_string_value(text), *b = json_string_value(reference);
        size_t n_a = json_string_length(text), n_b = json_string_length(reference);
        struct rouge rouge;
        if (rouge_score(&rouge, a, n_a, b, n_b) != 0 || bleu_add(&bleu, a, n_a, b, n_b) != 0) return 1;
        printf("%.17g %.17g %.17g %.17g %d\n", rouge.one, rouge.two, rouge.l, rouge.l_sum, gsm8k_right(a, n_a, b, n_b));
        json_decref(pair);
    }
    printf("%.17g\n", bleu_score(&bleu));
    return ferror(stdin) ? 1 : 0;
}
