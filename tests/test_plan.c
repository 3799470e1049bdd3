/* Plans: what each spelling is for a model of four blocks, and what is wrong with those that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/plan.h"

enum { N_BLOCKS = 4 };

/* As "0 1a@0.5 ..."; each entry's cache is checked to be its own. */
static void show(const struct plan *p, char *to, size_t size)
{
    int n_caches = 0;
    size_t n = 0;
    for (int i = 0; i < p->n_entries; i++) {
        const struct plan_entry *e = &p->entries[i];
        n += (size_t)snprintf(to + n, size - n, "%s%d%s", i ? " " : "", e->block, plan_part_letters[e->part]);
        if (e->step != 1) n += (size_t)snprintf(to + n, size - n, "@%g", (double)e->step);
        assert_int_equal(e->cache, e->part & PART_ATTENTION ? n_caches++ : -1);
    }
    assert_int_equal(p->n_caches, n_caches);
    if (p->n_ids) snprintf(to + n, size - n, " of %d ids", p->n_ids);
}

/* What plan_spell writes is the same plan. */
static void spell_again(const struct plan *p)
{
    static char spelled[PLAN_TEXT_MOST];
    struct plan again;
    struct err err;
    plan_spell(p, spelled, sizeof spelled);
    assert_int_equal(plan_read(&again, spelled, N_BLOCKS, &err), OK);
    assert_true(plan_hash(&again) == plan_hash(p));
    plan_free(&again);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* As a command line has it; a text in braces is a file's. Returns the code. */
static int read_plan(const char *spelled, char *shown, size_t size, struct err *err)
{
    char path[] = "/tmp/pilotfish-plan-XXXXXX", *text = NULL;
    struct plan p = {0};
    bool file = *spelled == '{' || *spelled == '[';
    if (file) close(mkstemp(path));
    if (file) write_file(path, spelled);
    int rc = plan_text(&text, file ? path : spelled, err);
    if (file) unlink(path);
    if (rc == OK) rc = plan_read(&p, text, N_BLOCKS, err);
    if (rc == OK) show(&p, shown, size);
    if (rc == OK && !p.n_ids) spell_again(&p);
    plan_free(&p);
    free(text);
    return rc;
}

static void a_spelling_is_a_list_of_parts_of_blocks(void **state)
{
    (void)state;
    static const struct {
        const char *spelled, *shown;
    } rows[] = {
        {"skip:1", "0 2 3"},
        {"skip:3,0", "1 2"},
        {"skip:1-2", "0 3"},
        {"skip:0a,1m,2a,2m", "0m 1a 3"},
        {"skip:0-2a", "0m 1m 2m 3"},
        {"layerskip:1", "0"},
        {"layerskip:4", "0 1 2 3"},
        {"ode:2x3", "2 2 2"},
        {"ode:0,1x2@2.5,3", "0 1@2.5 1@2.5 3"},
        {"ode:0-1x2", "0 1 0 1"},
        {"ode:3,0a,0m@-.5", "3 0a 0m@-0.5"},
        {"{\"entries\": [{\"block\": 3}]}", "3"},
        {"{\"entries\": [{\"block\": 1, \"part\": \"mlp\", \"cache\": -1}, {\"block\": 1, \"part\": \"attention\", "
         "\"step\": 0.5, \"cache\": 0}, {\"block\": 0, \"part\": \"both\", \"cache\": 1}], \"about\": \"a plan\"}",
         "1m 1a@0.5 0"},
        {"{\"entries\": [{\"block\": 3}], \"ids\": 300}", "3 of 300 ids"},
        {"{\"entries\": [{\"block\": 3}], \"ids\": [0, 7, 699]}", "3 of 3 ids"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char shown[200];
        struct err err = {0};
        if (read_plan(rows[i].spelled, shown, sizeof shown, &err) != OK) fail_msg("%s: %s", rows[i].spelled, err.text);
        if (strcmp(shown, rows[i].shown)) fail_msg("%s is %s", rows[i].spelled, shown);
    }
}

/* And neither is read as the other. */
static void a_search_is_spelled_with_its_share_or_its_exits(void **state)
{
    (void)state;
    static const struct {
        const char *spelled;
        double share;
        int exit_from, exit_to;
        const char *why; /* if it is refused as a plan for drafts */
    } rows[] = {{"swift", .03, 0, 0, NULL},
                {"swift:5", .05, 0, 0, NULL},
                {"swift:900", 9, 0, 0, NULL},
                {"layerskip:2-6", .03, 2, 6, NULL},
                {"balcony:f:2-6", .03, 2, 6, NULL},
                {"balcony:a:1:2-6", .03, 2, 6, NULL},
                {"balcony:f:6-2", 0, 0, 0, "balcony:f:6-2: cannot be read"},
                {"balcony::2-6", 0, 0, 0, "cannot be read"},
                {"balcony:f:2", 0, 0, 0, NULL},
                {"swift:0", 0, 0, 0, "swift:0: cannot be read; a search is spelled swift, swift:5"},
                {"swift:", 0, 0, 0, "cannot be read"},
                {"swift:3%", 0, 0, 0, "cannot be read"},
                {"layerskip:6-2", 0, 0, 0, "or layerskip:2-6 for"},
                {"layerskip:0-2", 0, 0, 0, "cannot be read"},
                {"layerskip:2-6a", 0, 0, 0, "cannot be read"},
                {"swifter", 0, 0, 0, "swifter: No such file"},
                {"layerskip:2", 0, 0, 0, NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct plan_search s;
        struct err err = {0};
        char *text = NULL;
        assert_int_equal(plan_search_read(&s, rows[i].spelled), rows[i].share > 0);
        if (s.share != rows[i].share || s.exit_from != rows[i].exit_from || s.exit_to != rows[i].exit_to)
            fail_msg("%s: %g, exits %d to %d", rows[i].spelled, s.share, s.exit_from, s.exit_to);
        int rc = plan_draft_text(&text, rows[i].spelled, &err);
        assert_int_equal(rc, rows[i].why ? E_USAGE : OK);
        if (rows[i].why && !strstr(err.text, rows[i].why)) fail_msg("%s: %s", rows[i].spelled, err.text);
        if (rc == OK) assert_string_equal(text, rows[i].spelled);
        free(text);
        if (s.share > 0) assert_int_equal(plan_text(&text, rows[i].spelled, &err), E_USAGE);
    }
}

static void what_is_no_plan_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *spelled;
        int code;
        const char *why; /* in the error */
    } rows[] = {
        {"skip:", E_USAGE, "skip:: cannot be read"},
        {"skip:x", E_USAGE, "skip:x: cannot be read; plans are spelled skip:"},
        {"skip:1,", E_USAGE, "cannot be read"},
        {"skip:1,,2", E_USAGE, "cannot be read"},
        {"skip:2-1", E_USAGE, "cannot be read"},
        {"skip:-1", E_USAGE, "cannot be read"},
        {"skip:1x2", E_USAGE, "cannot be read"}, /* only a schedule repeats */
        {"skip:1b", E_USAGE, "cannot be read"},
        {"layerskip:", E_USAGE, "cannot be read"},
        {"layerskip:0", E_USAGE, "cannot be read"},
        {"layerskip:2,3", E_USAGE, "cannot be read"},
        {"ode:", E_USAGE, "cannot be read"},
        {"balcony:", E_USAGE, "balcony:: cannot be read"},
        {"balcony::3", E_USAGE, "cannot be read"},
        {"balcony:file:0", E_USAGE, "cannot be read"},
        {"balcony:no/such/file", E_MODEL, "no/such/file"},
        {"{\"entries\": [{\"block\": 0}], \"side\": \"file\"}", E_MODEL, "whose block the last entry must be"},
        {"{\"entries\": [{\"block\": \"side\"}, {\"block\": 0}], \"side\": \"file\"}", E_MODEL, "no whole number"},
        {"{\"entries\": [{\"block\": \"side\", \"exit\": 0}], \"side\": \"file\"}", E_MODEL, "unknown key \"exit\""},
        {"{\"entries\": [{\"block\": 0}], \"ids\": 0}", E_MODEL, "nor a list of ids that rise"},
        {"{\"entries\": [{\"block\": 0}], \"ids\": []}", E_MODEL, "nor a list of ids that rise"},
        {"{\"entries\": [{\"block\": 0}], \"ids\": [3, 3]}", E_MODEL, "nor a list of ids that rise"},
        {"{\"entries\": [{\"block\": 0}], \"ids\": [-1, 3]}", E_MODEL, "nor a list of ids that rise"},
        {"{\"entries\": [{\"block\": 0}], \"ids\": [1, \"3\"]}", E_MODEL, "nor a list of ids that rise"},
        {"ode:0x0", E_USAGE, "cannot be read"},
        {"ode:0@", E_USAGE, "cannot be read"},
        {"ode:0@inf", E_USAGE, "cannot be read"},
        {"ode:0@1e99", E_USAGE, "cannot be read"},
        {"ode:0@-inf", E_USAGE, "cannot be read"},
        {"", E_USAGE, "nothing is given; plans are spelled skip:"},
        {"no/such/file", E_USAGE, "no/such/file: No such file or directory; plans are spelled"},
        {"/tmp", E_USAGE, "/tmp"},
        {"skip:4", E_MODEL, "plan skip:4: block 4, but the model has blocks 0 to 3"},
        {"skip:99999999999999999999", E_MODEL, "but the model has blocks 0 to 3"},
        {"skip:0-3", E_MODEL, "nothing is left"},
        {"skip:0-3a", E_MODEL, "no attention is left"},
        {"layerskip:5", E_MODEL, "an exit after 5 blocks, but the model has 4"},
        {"ode:0x1025", E_MODEL, "more than 1024 entries"},
        {"ode:0-3x16777216", E_MODEL, "more than 1024 entries"},
        {"{", E_MODEL, "not JSON: line 1"},
        {"[]", E_MODEL, "an object with \"entries\" was expected"},
        {"{}", E_MODEL, "an object with \"entries\" was expected"},
        {"{\"entries\": []}", E_MODEL, "the plan: nothing is left"},
        {"{\"entries\": [], \"exit\": 3}", E_MODEL, "unknown key \"exit\""},
        {"{\"entries\": [{\"block\": 0}, 3]}", E_MODEL, "the plan: entry 1: not an object"},
        {"{\"entries\": [{}]}", E_MODEL, "\"block\" is no whole number"},
        {"{\"entries\": [{\"block\": 0.5}]}", E_MODEL, "\"block\" is no whole number"},
        {"{\"entries\": [{\"block\": -1}]}", E_MODEL, "block -1"},
        {"{\"entries\": [{\"block\": 4294967296}]}", E_MODEL, "but the model has blocks 0 to 3"},
        {"{\"entries\": [{\"block\": 0, \"layer\": 0}]}", E_MODEL, "unknown key \"layer\""},
        {"{\"entries\": [{\"block\": 0, \"part\": \"head\"}]}", E_MODEL, "none of attention, mlp, both"},
        {"{\"entries\": [{\"block\": 0, \"step\": \"1\"}]}", E_MODEL, "\"step\" is no number"},
        {"{\"entries\": [{\"block\": 0, \"step\": 1e300}]}", E_MODEL, "\"step\" is not finite"},
        {"{\"entries\": [{\"block\": 0, \"cache\": 1}]}", E_MODEL, "numbered in order, this one is 0"},
        {"{\"entries\": [{\"block\": 0}, {\"block\": 0, \"cache\": 0}]}", E_MODEL,
         "entry 1: cache 0 is an earlier entry's"},
        {"{\"entries\": [{\"block\": 0, \"part\": \"mlp\", \"cache\": 0}]}", E_MODEL, "an MLP alone has no cache"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char shown[8192];
        struct err err = {0};
        int rc = read_plan(rows[i].spelled, shown, sizeof shown, &err);
        if (rc != rows[i].code || !strstr(err.text, rows[i].why))
            fail_msg("%s: code %d, %s", rows[i].spelled, rc, rc ? err.text : "no error");
    }
}

static void a_plan_that_computes_otherwise_has_another_hash(void **state)
{
    (void)state;
    static const char *const texts[] = {"ode:0-3",     "skip:1",  "skip:2",    "skip:1a", "skip:1m",
                                        "ode:0-2,3@2", "ode:1,0", "ode:0x2,1", "ode:0,1"};
    enum { N = sizeof texts / sizeof *texts };
    uint64_t hashes[N];
    struct plan p;
    struct err err;
    for (int i = 0; i < N; i++) {
        assert_int_equal(plan_read(&p, texts[i], N_BLOCKS, &err), OK);
        hashes[i] = plan_hash(&p);
        plan_free(&p);
        for (int k = 0; k < i; k++) assert_true(hashes[k] != hashes[i]);
    }
    assert_int_equal(plan_plain(&p, N_BLOCKS, &err), OK);
    assert_true(plan_hash(&p) == hashes[0]);
    plan_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spelling_is_a_list_of_parts_of_blocks),
        cmocka_unit_test(a_search_is_spelled_with_its_share_or_its_exits),
        cmocka_unit_test(what_is_no_plan_says_why),
        cmocka_unit_test(a_plan_that_computes_otherwise_has_another_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
