#include "coordinator/text/stop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_WINDOW = 1 << 16 }; /* of text that is searched for a stop's end: STOP_MOST_BYTES and whole tokens */

struct stops *stops_copy(const struct stops *stops)
{
    size_t n_bytes = 0;
    for (int i = 0; i < stops->n; i++) n_bytes += strlen(stops->texts[i]) + 1;
    struct stops *copy = malloc(sizeof *copy + (size_t)stops->n * sizeof *copy->texts + n_bytes);
    if (!copy) return NULL;
    const char **texts = (const char **)(copy + 1);
    char *bytes = (char *)(texts + stops->n);
    *copy = (struct stops){texts, stops->n, stops->t};
    for (int i = 0; i < stops->n; i++) {
        texts[i] = bytes;
        bytes = stpcpy(bytes, stops->texts[i]) + 1;
    }
    return copy;
}

size_t stop_find(const struct stops *stops, const char *text, size_t n, size_t n_new)
{
    size_t first = n;
    for (int i = 0; i < stops->n; i++) {
        size_t len = strlen(stops->texts[i]), least_end = n - n_new + 1;
        for (size_t at = least_end > len ? least_end - len : 0; at + len <= n && at < first; at++)
            if (!memcmp(text + at, stops->texts[i], len)) first = at;
    }
    return first;
}

size_t stop_held(const struct stops *stops, const char *text, size_t n)
{
    size_t most = 0;
    for (int i = 0; stops && i < stops->n; i++) {
        size_t len = strlen(stops->texts[i]) - 1;
        for (len = len < n ? len : n; len > most; len--)
            if (!memcmp(text + n - len, stops->texts[i], len)) most = len;
    }
    return most;
}

/* As many of the last ids' texts as the longest stop could reach into, in front of the last one's. */
bool stop_reached(const struct stops *stops, const struct seq *s)
{
    char window[LONGEST_WINDOW];
    size_t longest = 0, n = 0, n_new = tokenizer_piece(stops->t, s->ids[s->n_ids - 1], false).n;
    for (int i = 0; i < stops->n; i++)
        if (strlen(stops->texts[i]) > longest) longest = strlen(stops->texts[i]);
    for (int i = s->n_ids - 1; i >= s->n_prompt && n < longest - 1 + n_new; i--) {
        struct gguf_str piece = tokenizer_piece(stops->t, s->ids[i], false);
        if (piece.n > sizeof window - n) break;
        memcpy(window + sizeof window - n - piece.n, piece.s, piece.n);
        n += piece.n;
    }
    return n_new <= n && stop_find(stops, window + sizeof window - n, n, n_new) < n;
}

size_t stop_text_from(const struct tokenizer *t, const struct seq *s, int i, char **text)
{
    size_t n = 0;
    *text = NULL;
    FILE *memory = open_memstream(text, &n);
    if (!memory) return 0;
    for (i += s->n_prompt; i < s->n_ids; i++) {
        struct gguf_str piece = tokenizer_piece(t, s->ids[i], false);
        fwrite(piece.s, 1, piece.n, memory);
    }
    if (!fclose(memory)) return n;
    free(*text);
    *text = NULL;
    return 0;
}

size_t stop_answer(const struct tokenizer *t, const struct seq *s, char **text)
{
    size_t n = stop_text_from(t, s, 0, text);
    return *text ? stop_cut(s, *text, n) : 0;
}

size_t stop_cut(const struct seq *s, const char *text, size_t n)
{
    const struct stops *stops = s->request.settings.stops;
    if (s->end != SEQ_STOP) return n;
    return stop_find(stops, text, n, tokenizer_piece(stops->t, s->ids[s->n_ids - 1], false).n);
}
