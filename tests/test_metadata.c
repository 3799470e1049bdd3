/* A coordinator without model files: the vocabulary comes in messages, and what came between them stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/metadata.h"
#include "proto/layout.h"
#include "proto/wire.h"

enum { LITTLE = 1, BIG, OTHER, N_PEERS };

static void post(struct router *o, int from, const struct message *m)
{
    struct wire_arena arena;
    struct err err;
    const uint8_t *data;
    size_t n;
    struct mailbox *mb = router_mailbox(o, from, NULL, NULL);
    assert_int_equal(wire_arena_init(&arena, 1 << 17, &err), OK);
    assert_int_equal(wire_encode(&arena, m, &data, &n, &err), OK);
    assert_int_equal(mailbox_post(mb, PEER_COORDINATOR, m->tag, data, n, &err), OK);
    mailbox_close(mb);
    wire_arena_free(&arena);
}

static void post_part(struct router *o, int from, uint32_t part, uint32_t n_parts, const char *bytes)
{
    struct metadata_part p = {part, n_parts, (const uint8_t *)bytes, strlen(bytes)};
    post(o, from, &(struct message){.tag = TAG_METADATA, .metadata = p});
}

static void parts_are_joined_and_other_messages_stay_in_order(void **state)
{
    (void)state;
    struct router *o = router_open(N_PEERS);
    struct metadata list[2] = {{.peer = BIG}, {.peer = LITTLE}};
    struct err err;
    post(o, OTHER, &(struct message){.tag = TAG_READY, .ready = {1}});
    post_part(o, BIG, 0, 3, "one ");
    post_part(o, LITTLE, 0, 1, "little");
    post_part(o, BIG, 1, 3, "");
    post(o, LITTLE, &(struct message){.tag = TAG_READY, .ready = {2}});
    post_part(o, BIG, 2, 3, "two");
    post(o, BIG, &(struct message){.tag = TAG_READY, .ready = {3}}); /* not read at all */
    assert_int_equal(metadata_receive(o, list, 2, 60, &err), OK);
    assert_int_equal(list[0].n, 7);
    assert_memory_equal(list[0].bytes, "one two", 7);
    assert_int_equal(list[1].n, 6);
    assert_memory_equal(list[1].bytes, "little", 6);
    struct mailbox *mb = router_mailbox(o, PEER_COORDINATOR, NULL, NULL);
    static const int from[] = {BIG, OTHER, LITTLE};
    for (int i = 0; i < 3; i++) {
        struct mail mail;
        assert_int_equal(mailbox_poll(mb, &mail, &err), OK);
        assert_int_equal(mail.tag, TAG_READY);
        assert_int_equal(mail.from, from[i]);
        mail_free(&mail);
    }
    mailbox_close(mb);
    for (int i = 0; i < 2; i++) metadata_free(&list[i]);
    router_close(o);
}

static void what_is_no_vocabulary_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct metadata_part parts[2]; /* bytes NULL and n_parts 0: not sent */
        const char *says;
    } rows[] = {
        {"begins in the middle", {{1, 2, (const uint8_t *)"x", 1}}, "part 1 of 2 of its vocabulary, expected part 0"},
        {"has no parts", {{0, 0, (const uint8_t *)"x", 1}}, "part 0 of 0"},
        {"has too many", {{0, UINT32_MAX, (const uint8_t *)"x", 1}}, "part 0 of 4294967295"},
        {"comes twice", {{0, 2, (const uint8_t *)"x", 1}, {0, 2, (const uint8_t *)"x", 1}}, "expected part 1"},
        {"grows", {{0, 2, (const uint8_t *)"x", 1}, {1, 3, (const uint8_t *)"x", 1}}, "part 1 of 3"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct router *o = router_open(N_PEERS);
        struct metadata m = {.peer = BIG};
        struct err err;
        for (int k = 0; k < 2 && rows[i].parts[k].bytes; k++)
            post(o, BIG, &(struct message){.tag = TAG_METADATA, .metadata = rows[i].parts[k]});
        int rc = metadata_receive(o, &m, 1, 60, &err);
        if (rc != E_PEER || !strstr(err.text, rows[i].says)) fail_msg("%s: %d, %s", rows[i].name, rc, err.text);
        metadata_free(&m);
        router_close(o);
    }
}

static void a_worker_that_fails_is_heard(void **state)
{
    (void)state;
    struct router *o = router_open(N_PEERS);
    struct metadata m = {.peer = BIG};
    struct err err;
    post_part(o, BIG, 0, 2, "x");
    post(o, OTHER, &(struct message){.tag = TAG_FAIL, .fail = {E_MODEL, "no such file"}});
    assert_int_equal(metadata_receive(o, &m, 1, 60, &err), E_MODEL);
    assert_string_equal(err.text, "no such file");
    metadata_free(&m);
    router_close(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_joined_and_other_messages_stay_in_order),
        cmocka_unit_test(what_is_no_vocabulary_is_refused),
        cmocka_unit_test(a_worker_that_fails_is_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
