/* Settings that a line of --prompts has of its own: what they come to, and what is said of those that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/text/stop.h"
#include "tests/lib/prompt_files.h"

/* What the settings of a request come to, in one line. */
static const char *settings_text(const struct settings *s)
{
    static char text[600];
    const struct sampler *m = &s->sampler;
    int n =
        snprintf(text, sizeof text, "n %d temp %g k %u p %g min %g seed %u place %u; rule %d %g fallback %g max %d;",
                 s->n_predict, (double)m->temp, m->top_k, (double)m->top_p, (double)m->min_p, m->seed, m->sample,
                 s->rule.kind, (double)s->rule.rollback, (double)s->fallback, s->draft_max);
    for (int i = 0; s->stops && i < s->stops->n; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, " [%s]", s->stops->texts[i]);
    return text;
}

#define EXACT_FROM(draft_max) "rule 0 0 fallback 0 max " draft_max ";"
#define GREEDY(n) "n " n " temp 0 k 0 p 0 min 0 seed 77 place 0; " EXACT_FROM("8")

static const struct {
    const char *line, *row; /* of the command; keys and values, ' for " */
    const char *settings;   /* what they come to; NULL: refused */
    const char *says;       /* why, or the note; NULL: none */
} own_rows[] = {
    {"", "", GREEDY("0"), NULL},
    {"", "'n_predict': 5", GREEDY("5"), NULL},
    {"-n 9", "'max_tokens': 5", GREEDY("5"), NULL},
    {"", "'max_completion_tokens': 5", GREEDY("5"), NULL},
    {"-n 9", "'n_predict': -1", GREEDY("0"), NULL},
    {"-n 9", "'n_predict': null", GREEDY("9"), NULL},
    {"-n 9", "'predictions': 5, 'n': 3, 'ctx': 7, 'model': 'x', 'logprobs': true", GREEDY("9"), NULL},
    {"", "'n_predict': -2", NULL, "--n-predict -2: must be from -1 to "},
    {"", "'n_predict': 5.0", NULL, "--n-predict 5.0: not a whole number"},
    {"", "'n_predict': '5'", NULL, "--n-predict \"5\": not a whole number"},
    {"", "'n_predict': [5]", NULL, "--n-predict [5]: not a whole number"},
    {"", "'n_predict': 5, 'max_tokens': 5", NULL, "--n-predict is given twice"},

    {"", "'temp': 0.7", "n 0 temp 0.7 k 0 p 1 min 0 seed 77 place 0; " EXACT_FROM("8"), NULL},
    {"", "'temperature': 2, 'top_k': 3, 'top_p': 0.9, 'min_p': 0.1, 'seed': 5",
     "n 0 temp 2 k 3 p 0.9 min 0.1 seed 5 place 0; " EXACT_FROM("8"), NULL},
    {"", "'accept': 'sample'", "n 0 temp 1 k 0 p 1 min 0 seed 77 place 0; " EXACT_FROM("8"), NULL},
    {"--temp 2 --top-k 9", "'top_k': 4", "n 0 temp 2 k 4 p 1 min 0 seed 77 place 0; " EXACT_FROM("8"), NULL},
    {"--temp 2 --top-k 9", "'temp': 0", GREEDY("0"), "note: --top-k has no effect: it needs sampling (--temp T)\n"},
    {"--temp 2", "'accept': 'exact'", GREEDY("0"), NULL},
    {"--top-k 9", "'temp': 1", "n 0 temp 1 k 9 p 1 min 0 seed 77 place 0; " EXACT_FROM("8"), NULL},
    {"--top-k 9", "", GREEDY("0"), "note: --top-k has no effect: it needs sampling (--temp T)\n"},
    {"--temp 1", "'seed': -1", "n 0 temp 1 k 0 p 1 min 0 seed 77 place 0; " EXACT_FROM("8"), NULL},
    {"", "'temp': 101", NULL, "--temp 101: must be from 0 to 100"},
    {"", "'temp': 100.1", NULL, "--temp 100.1: must be from 0 to 100"},
    {"", "'temp': true", NULL, "--temp true: not a number"},
    {"", "'temp': 1, 'top_k': -3", NULL, "--top-k -3: must be from 0 to"},
    {"", "'temp': 1, 'top_p': 1.1", NULL, "--top-p 1.1: must be from 0 to 1"},
    {"", "'temp': 1, 'top_p': 0", NULL, "--top-p 0 leaves no id: greedy is --temp 0"},
    {"", "'temp': 1, 'min_p': -0.5", NULL, "--min-p -0.5: must be from 0 to 1"},
    {"", "'temp': 1, 'seed': -2", NULL, "--seed -2: must be from -1 to"},
    {"", "'temp': 1, 'seed': 2147483648", NULL, "--seed 2147483648: must be from -1 to"},
    {"", "'temp': 0, 'accept': 'sample'", NULL, "--accept sample needs a --temp over 0"},
    {"", "'temp': 1, 'accept': 'exact'", NULL, "--accept exact is greedy: leave --temp out, or --accept"},
    {"", "'temp': 0, 'top_p': 0.5", GREEDY("0"),
     "note: --top-p in a line of FILE has no effect: it needs sampling (--temp T)\n"},

    {"--little L", "'accept': 'bild'", "n 0 temp 0 k 0 p 0 min 0 seed 77 place 0; rule 1 3 fallback 0.6 max 10;", NULL},
    {"--little L --fallback 0.5", "'accept': 'bild', 'rollback': 2.5, 'rollback_rule': 'repo', 'draft_max': 4",
     "n 0 temp 0 k 0 p 0 min 0 seed 77 place 0; rule 2 2.5 fallback 0.5 max 4;", NULL},
    {"--little L --accept bild", "'accept': 'exact'", GREEDY("0"), NULL},
    {"--little L --accept bild --rollback 2", "'temp': 1", "n 0 temp 1 k 0 p 1 min 0 seed 77 place 0; " EXACT_FROM("8"),
     "note: --rollback has no effect: it needs --accept bild\n"},
    {"--little L --accept bild --guard on", "'accept': 'exact'", GREEDY("0"), NULL},
    {"--little L --temp 1", "'accept': 'bild'",
     "n 0 temp 0 k 0 p 0 min 0 seed 77 place 0; rule 1 3 fallback 0.6 max 10;", NULL},
    {"--little L", "'fallback': 0.3, 'draft_max': 64",
     "n 0 temp 0 k 0 p 0 min 0 seed 77 place 0; rule 0 0 fallback 0.3 max 64;", NULL},
    {"--little L --no-draft", "'accept': 'bild'",
     "n 0 temp 0 k 0 p 0 min 0 seed 77 place 0; rule 1 3 fallback 0.6 max 10;", NULL},
    {"", "'accept': 'bild'", NULL, "--accept bild needs a drafter: --little FILE"},
    {"--little L", "'accept': 'bild', 'temp': 1", NULL, "--accept bild is greedy: leave --temp out"},
    {"--little L", "'accept': 'best'", NULL, "--accept best: must be one of exact|sample|bild"},
    {"--little L", "'accept': 1", NULL, "--accept 1: must be one of exact|sample|bild"},
    {"--little L", "'accept': 'bild', 'rollback': -1", NULL, "--rollback -1: must be from 0 to"},
    {"--little L", "'fallback': 'no'", NULL, "--fallback \"no\": not a number"},
    {"--little L", "'draft_max': 65", NULL, "--draft-max 65: must be from 1 to 64"},
    {"--little L", "'draft_max': 0", NULL, "--draft-max 0: must be from 1 to 64"},
    {"--little L", "'rollback': 2", GREEDY("0"),
     "note: --rollback in a line of FILE has no effect: it needs --accept bild\n"},
    {"", "'draft_max': 4", "n 0 temp 0 k 0 p 0 min 0 seed 77 place 0; " EXACT_FROM("4"),
     "note: --draft-max in a line of FILE has no effect: there is no drafter"},

    {"--stop run", "", GREEDY("0") " [run]", NULL},
    {"--stop run", "'stop': 'own'", GREEDY("0") " [own]", NULL},
    {"--stop run", "'stop': ['a\\n', 'b']", GREEDY("0") " [a\n] [b]", NULL},
    {"--stop run", "'stop': []", GREEDY("0"), NULL},
    {"--stop run", "'stop': null", GREEDY("0") " [run]", NULL},
    {"", "'stop': ''", NULL, "--stop \"\": an empty text is found everywhere"},
    {"", "'stop': 7", NULL, "--stop: must be a text, or a list of texts"},
    {"", "'stop': ['a', 7]", NULL, "--stop: must be a text, or a list of texts"},
    {"", "'stop': 'a\\u0000b'", NULL, "--stop a: a stop cannot have a NUL"},
    {"", "'stop': ['1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16','17']", NULL,
     "--stop: at most 16"},
};

/* The same ranges, defaults and sentences as on the command line, under the place of the line. */
static void a_line_may_have_settings_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof own_rows / sizeof *own_rows; i++) {
        char row[500], *notes, said[700];
        struct prompts p;
        struct err err;
        snprintf(row, sizeof row, "{'prompt': 'hi'%s%s}", *own_rows[i].row ? ", " : "", own_rows[i].row);
        path_with_row(row);
        struct options o = options_of(own_rows[i].line);
        o.seed = 77; /* as drawn */
        assert_int_equal(read_noting(&p, &o, &w.toy, "", &notes, &err), OK);
        const struct prompt *item = &p.items[0];
        if (own_rows[i].settings) {
            if (item->error) fail_msg("%s %s: %s", own_rows[i].line, row, item->error);
            assert_string_equal(settings_text(&item->settings), own_rows[i].settings);
            char *file = strstr(notes, w.file);
            if (file)
                snprintf(said, sizeof said, "%.*sFILE%s", (int)(file - notes), notes, file + strlen(w.file));
            else
                snprintf(said, sizeof said, "%s", notes);
            if (!own_rows[i].says ? *said : strncmp(said, own_rows[i].says, strlen(own_rows[i].says)) != 0)
                fail_msg("%s %s: notes '%s'", own_rows[i].line, row, said);
        } else {
            assert_int_equal(p.n_good, 0);
            if (!item->error || !strstr(item->error, "file:1: ") || !strstr(item->error, own_rows[i].says))
                fail_msg("%s %s: '%s', not '%s'", own_rows[i].line, row, item->error ? item->error : "taken",
                         own_rows[i].says);
            assert_string_equal(notes, "");
        }
        free(notes);
        prompts_free(&p);
        options_free(&o);
    }
}

static void a_stop_of_a_line_may_have_4096_bytes(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        char row[5000];
        struct prompts p;
        struct err err;
        snprintf(row, sizeof row, "{\"prompt\": \"hi\", \"stop\": \"%0*d\"}", STOP_MOST_BYTES + more, 0);
        path_with(row);
        struct options o = options_of("");
        assert_int_equal(read_from(&p, &o, "", &err), OK);
        if (more)
            assert_non_null(strstr(p.items[0].error, "file:1: --stop: at most 4096 bytes each"));
        else
            assert_int_equal(strlen(p.items[0].stops->texts[0]), STOP_MOST_BYTES);
        prompts_free(&p);
        options_free(&o);
    }
}

static void lines_without_settings_differ_by_their_place_and_what_is_idle_is_noted_once(void **state)
{
    (void)state;
    path_with("{\"prompt\": \"one\", \"category\": 1}\n"
              "{\"prompt\": \"two\", \"temp\": 0, \"seed\": 5}\n"
              "{\"prompt\": \"three\", \"seed\": 6}\n"
              "{\"prompt\": \"four\", \"temp\": 0, \"seed\": 7}\n"
              "{\"prompt\": \"five\"}\n");
    struct options o = options_of("--temp 1 --seed 9");
    static const unsigned seeds[] = {9, 5, 6, 7, 9}, places[] = {0, 0, 0, 0, 4};
    struct prompts p;
    struct err err;
    char *notes;
    assert_int_equal(read_noting(&p, &o, &w.toy, "", &notes, &err), OK);
    assert_int_equal(p.n_good, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(p.items[i].settings.sampler.seed, seeds[i]);
        assert_int_equal(p.items[i].settings.sampler.sample, places[i]);
    }
    assert_non_null(strstr(notes, "note: --seed in a line of "));
    assert_int_equal(strchr(notes, '\n')[1], 0);
    free(notes);
    prompts_free(&p);
    options_free(&o);
}

/* What other programs have in their requests is no mistake. */
static void a_key_that_is_nearly_one_that_is_read_is_noted_once(void **state)
{
    (void)state;
    static const struct {
        const char *key, *near; /* NULL: nothing is noted */
    } rows[] = {{"temprature", "temperature"},
                {"seeds", "seed"},
                {"max_token", "max_tokens"},
                {"promptt", "prompt"},
                {"n_predicts", "n_predict"},
                {"stream", NULL},
                {"model", NULL},
                {"user", NULL},
                {"n", NULL},
                {"category", NULL},
                {"top_logprobs", NULL},
                {"min-p", NULL},
                {"rollback_rule", NULL},
                {"reference", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[256], want[128];
        struct prompts p;
        struct err err;
        char *notes;
        snprintf(line, sizeof line, "{\"prompt\": \"one\"}\n{\"prompt\": \"two\", \"%s\": null}\n", rows[i].key);
        path_with(line);
        struct options o = options_of("");
        assert_int_equal(read_noting(&p, &o, &w.toy, "", &notes, &err), OK);
        snprintf(want, sizeof want, ":2: nothing reads \"%s\": did you mean \"%s\"?\n", rows[i].key, rows[i].near);
        if (rows[i].near ? !strstr(notes, want) : *notes != 0) fail_msg("%s: \"%s\"", rows[i].key, notes);
        free(notes);
        prompts_free(&p);
        options_free(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_may_have_settings_of_its_own),
        cmocka_unit_test(a_stop_of_a_line_may_have_4096_bytes),
        cmocka_unit_test(lines_without_settings_differ_by_their_place_and_what_is_idle_is_noted_once),
        cmocka_unit_test(a_key_that_is_nearly_one_that_is_read_is_noted_once),
    };
    return cmocka_run_group_tests(tests, prompt_files_set_up, prompt_files_tear_down);
}
