/* A worker lies: every field of every message that it sends, at values that it may not have. The real command
 * `generate` on one side, real workers behind mailboxes that lie on the other: an error of one line, or the right
 * text; never a wait. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "coordinator/cli/generate.h"
#include "proto/router.h"
#include "tests/lib/liar.h"
#include "tests/lib/tiny.h"
#include "worker/worker.h"

enum { MOST_PEERS = 4, SAID = 4096 };

struct member { /* a worker's thread */
    struct worker_config config;
    struct mailbox *mailbox;
    struct liar liar;
    pthread_t thread;
};

struct crew {
    struct layout layout;
    struct router *router;
    const struct lie *lie; /* NULL: all are honest */
    int i_value;
    struct collective *collectives[MOST_PEERS]; /* of shards; NULL with one */
    struct member members[MOST_PEERS];
};

static char folder[64] = "/tmp/test_liars.XXXXXX", big[96], little[96], out[96];
static int real_out, real_err;

/* ---- workers ---- */

static void *work(void *arg)
{
    struct member *m = arg;
    struct err err;
    struct mailbox *mailbox = m->liar.lie ? &m->liar.base : m->mailbox;
    if (worker_run(&m->config, mailbox, &err) != OK && m->config.collective)
        collective_local_break(m->config.collective);
    return NULL;
}

static int start(void *arg, struct err *err)
{
    struct crew *c = arg;
    const char *why;
    const struct group *g = layout_verifier(&c->layout, 0);
    int rc = g->tp > 1 ? collective_local_open(&c->collectives[group_leader(g)], g->tp, err) : OK;
    for (int peer = PEER_COORDINATOR + 1; peer < c->layout.n_peers && rc == OK; peer++) {
        struct member *m = &c->members[peer];
        m->config = (struct worker_config){.layout = c->layout,
                                           .peer = peer,
                                           .path = layout_group(&c->layout, peer) == g ? big : little,
                                           .kernels = kernels_pick(NULL, &why),
                                           .collective = c->collectives[peer],
                                           .n_threads = 1};
        m->mailbox = router_mailbox(c->router, peer, NULL, NULL);
        if (c->lie && lie_peer(c->lie, &c->layout) == peer)
            rc = liar_open(&m->liar, m->mailbox, c->lie, c->i_value, err);
        if (rc == OK) assert_int_equal(pthread_create(&m->thread, NULL, work, m), 0);
    }
    return rc;
}

static void join(struct crew *c)
{
    for (int peer = PEER_COORDINATOR + 1; peer < c->layout.n_peers; peer++) {
        struct member *m = &c->members[peer];
        if (!m->mailbox) continue;
        pthread_join(m->thread, NULL);
        mailbox_close(m->mailbox);
        liar_close(&m->liar);
        collective_close(c->collectives[peer]);
    }
}

/* ---- the command ---- */

static void redirect(bool away)
{
    fflush(stdout);
    fflush(stderr);
    FILE *f = away ? fopen(out, "w") : NULL;
    dup2(away ? fileno(f) : real_out, STDOUT_FILENO);
    dup2(away ? fileno(f) : real_err, STDERR_FILENO);
    if (f) fclose(f);
}

/* The code of `generate`, and of its line of JSON what says the text: `said` is empty if there is none. */
static int generate(const struct lie *lie, int i_value, char said[SAID], struct err *err)
{
    const char *argv[] = {"pilotfish",  "generate", "--big", big,     "--little", little,  "--guard",
                          "off",        "-n",       "12",    "--raw", "-o",       "jsonl", "hello",
                          "--logprobs", "2",        "--tp",  "1",     "--pp",     "1"};
    int argc = sizeof argv / sizeof *argv, tp = lie && lie->tag == TAG_PASS ? 2 : 1;
    int pp = lie && lie->tag == TAG_TOKEN ? 2 : 1;
    struct options o;
    struct crew c = {.lie = lie, .i_value = i_value};
    argv[argc - 3] = tp == 2 ? "2" : "1";
    argv[argc - 1] = pp == 2 ? "2" : "1";
    if (pp == 2) argv[4] = "--draft", argv[5] = "suffix"; /* so that the leader goes on by itself */
    int rc = options_parse(&o, argc, (char **)(uintptr_t)argv, err);
    if (rc == OK) rc = layout_make(&c.layout, 1, 1, 1, tp, pp, o.drafter, err);
    if (rc != OK) fail_msg("%s", err->text);
    assert_non_null(c.router = router_open(c.layout.n_peers));
    struct launch launch = {.layout = c.layout, .router = c.router, .start = start, .arg = &c};
    redirect(true);
    rc = command_generate(&o, &launch, err);
    join(&c);
    redirect(false);
    router_close(c.router);
    options_free(&o);
    FILE *f = fopen(out, "r");
    char line[SAID] = "";
    *said = 0;
    while (fgets(line, sizeof line, f)) {
        const char *ids = strstr(line, "\"ids\": ");
        if (ids) snprintf(said, SAID, "%.*s", (int)strcspn(ids, "]"), ids);
    }
    fclose(f);
    return rc;
}

/* ---- tests ---- */

static void a_lie_in_any_field_is_one_line_or_the_right_text(void **state)
{
    (void)state;
    char right[SAID], said[SAID];
    struct err err = {0};
    assert_int_equal(generate(NULL, 0, right, &err), OK);
    assert_true(strlen(right) > 30);
    for (size_t i = 0; i < n_lies; i++) {
        for (int v = 0; v < N_LIES; v++) {
            char expected = lies[i].ends[v];
            if (expected == '-') continue;
            err = (struct err){0};
            int rc = generate(&lies[i], v, said, &err);
            bool text = rc == OK && (expected == '?' || (expected == '.' && !strcmp(said, right)));
            bool refused = rc != OK && rc == expected - '0' && *err.text && !strpbrk(err.text, "\n\r\033");
            if (!text && !refused)
                fail_msg("%s.%s = %s: code %d, expected %c, \"%s\", %s", wire_tags[lies[i].tag].name, lies[i].field,
                         lie_values[v], rc, expected, err.text, said);
        }
    }
}

static void what_a_worker_fails_with_is_its_own_code_and_one_line(void **state)
{
    (void)state;
    static const struct lie honest = {TAG_FAIL, "", ""};
    char said[SAID];
    struct err err = {0};
    assert_int_equal(generate(&honest, 0, said, &err), E_MODEL);
    assert_string_equal(err.text, "a\\nb\\x1b[31m\\npilotfish: c");
}

static int setup(void **state)
{
    (void)state;
    struct tiny_spec spec = tiny_spec(0);
    if (!mkdtemp(folder)) return -1;
    snprintf(big, sizeof big, "%s/big.gguf", folder);
    snprintf(little, sizeof little, "%s/little.gguf", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    real_out = dup(STDOUT_FILENO);
    real_err = dup(STDERR_FILENO);
    int rc = tiny_write(big, &spec);
    spec.left_out = 2;
    return rc ? rc : tiny_write(little, &spec);
}

static int teardown(void **state)
{
    (void)state;
    unlink(big);
    unlink(little);
    unlink(out);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lie_in_any_field_is_one_line_or_the_right_text),
        cmocka_unit_test(what_a_worker_fails_with_is_its_own_code_and_one_line),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
