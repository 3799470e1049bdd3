/* The leader of a verification group: what a slot that goes on by itself drafts for itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/scene.h"

/* ---- its own drafts. A letter is an id; '$' is the end id ---- */

static int32_t id_of(char letter)
{
    return letter == '$' ? END : letter;
}

/* The slot's text so far, as the coordinator sends it. */
static void read_prompt(struct scene *c, uint32_t slot, const char *prompt)
{
    struct row rows[MAX_ROWS];
    struct err err;
    size_t n = strlen(prompt);
    for (size_t at = 0; at < n; at += MAX_ROWS) {
        size_t n_rows = n - at < MAX_ROWS ? n - at : MAX_ROWS;
        for (size_t i = 0; i < n_rows; i++)
            rows[i] = (struct row){.id = id_of(prompt[at + i]), .wanted = at + i + 1 == n};
        const struct part part = {.job = ++c->n_jobs,
                                  .slot = slot,
                                  .round = 1,
                                  .at = (uint32_t)at,
                                  .prefix_hash = c->slots.slot[slot].prefix_hash[at],
                                  .rows = rows,
                                  .n_rows = n_rows};
        c->jobs[slot] = part.job;
        assert_int_equal(lead_on_verify(c->lead, &part, 0, &err), OK);
        assert_int_equal(lead_next(c->lead, 0).n_rows, n_rows);
    }
}

static struct open_slot drafting(uint32_t slot, uint32_t self_max, uint32_t draft_max)
{
    static const int32_t end_ids[] = {END};
    return (struct open_slot){.slot = slot,
                              .end_ids = end_ids,
                              .n_end_ids = 1,
                              .last_position = N_CTX,
                              .round = 1,
                              .self_max = self_max,
                              .draft_max = draft_max,
                              .text = 1};
}

static void open_drafting(struct scene *c, struct open_slot open)
{
    struct err err;
    assert_int_equal(lead_on_open(c->lead, &open, &err), OK);
}

/* The ids of a part of a slot's own, each row but the last judging the next one's. */
static const char *own_rows(const struct part *part)
{
    static char text[MAX_ROWS + 1];
    assert_true(part->job == 0 && part->token && part->n_rows <= MAX_ROWS);
    for (size_t i = 0; i < part->n_rows; i++) {
        const struct row *row = &part->rows[i];
        bool last = i + 1 == part->n_rows;
        assert_true(row->wanted && row->n_judge == !last && (last || row->judge[0] == part->rows[i + 1].id));
        text[i] = row->id == END ? '$' : (char)row->id;
    }
    text[part->n_rows] = 0;
    return text;
}

static void a_slot_drafts_what_followed_earlier_as_far_as_there_is_room(void **state)
{
    (void)state;
    static const struct {
        const char *why, *prompt;
        uint32_t self_max, last_position, draft_max;
        const char *rows; /* that feed 'c' */
    } rows[] = {
        {"two at first", "abcdXab", 30, N_CTX, 8, "cdX"},
        {"no more than it may", "abcdXab", 30, N_CTX, 1, "cd"},
        {"none", "abcdXab", 30, N_CTX, 0, "c"},
        {"nothing repeats", "abXdefg", 30, N_CTX, 8, "c"},
        {"one id is no repeat", "cXdefgh", 30, N_CTX, 8, "c"},
        {"its answer is the last that it may write", "abcdXab", 2, N_CTX, 8, "c"},
        {"and one draft before it", "abcdXab", 3, N_CTX, 8, "cd"},
        {"two", "abcdXab", 4, N_CTX, 8, "cdX"},
        {"its answer is the last of the text", "abcdXab", 30, 9, 8, "c"},
        {"and one draft before it", "abcdXab", 30, 10, 8, "cd"},
        {"big ends the text", "abc$Xab", 30, N_CTX, 8, "c"},
        {"big ends it after the first", "abcd$ab", 30, N_CTX, 8, "cd"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        scene_open(&c);
        struct open_slot open = drafting(1, rows[i].self_max, rows[i].draft_max);
        open.last_position = rows[i].last_position;
        open_drafting(&c, open);
        read_prompt(&c, 1, rows[i].prompt);
        scene_token(&c, 1, 'c', false);
        struct lead_step step = lead_next(c.lead, 0);
        assert_int_equal(step.n_parts, 1);
        assert_int_equal(step.n_rows, strlen(rows[i].rows));
        if (strcmp(own_rows(step.parts), rows[i].rows)) fail_msg("%s: \"%s\"", rows[i].why, own_rows(step.parts));
        assert_int_equal(slots_held(&c.slots, 1), 7 + strlen(rows[i].rows));
        scene_close(&c);
    }
}

/* A slot is full before the text's last position: a coordinator that does not count. */
static void no_draft_goes_past_the_slot(void **state)
{
    (void)state;
    struct scene c;
    scene_open(&c);
    struct open_slot open = drafting(0, 300, 8);
    open.last_position = 300;
    open_drafting(&c, open);
    char prompt[N_CTX];
    for (int i = 0; i < N_CTX - 2; i++) prompt[i] = "abcde"[i % 5];
    prompt[N_CTX - 2] = 0;
    read_prompt(&c, 0, prompt);
    scene_token(&c, 0, "abcde"[(N_CTX - 2) % 5], false);
    assert_int_equal(lead_next(c.lead, 0).n_rows, 1);
    scene_close(&c);
}

/* Big's text after the prompt, pass by pass: what each fed, a space between. A pass takes 10 us, and row_us a draft. */
static void play(struct scene *c, const char *big, int row_us, char trace[256])
{
    size_t at = 0, n = strlen(big), n_trace = 0;
    uint64_t now_us = 1000;
    struct err err;
    while (lead_has_work(c->lead, 100) && at + 1 < n) {
        struct lead_step step = lead_next(c->lead, now_us);
        assert_int_equal(step.n_parts, 1);
        const struct part *part = step.parts;
        const char *fed = own_rows(part);
        n_trace += (size_t)snprintf(trace + n_trace, 256 - n_trace, "%s%s", n_trace ? " " : "", fed);
        assert_int_equal(fed[0], big[at]);
        size_t kept = 0;
        while (fed[kept + 1] && fed[kept + 1] == big[at + 1 + kept]) kept++;
        now_us += 10 + (uint64_t)row_us * (part->n_rows - 1);
        at += kept + 1;
        const struct token t = {.round = 1,
                                .slot = part->slot,
                                .at = part->at + (uint32_t)kept + 1,
                                .prefix_hash = c->slots.slot[part->slot].prefix_hash[part->at + kept + 1],
                                .id = id_of(big[at]),
                                .job = 0};
        assert_int_equal(lead_on_token(c->lead, &t, now_us, &err), OK);
    }
}

static void drafts_go_two_further_than_the_last_were_right_while_they_pay(void **state)
{
    (void)state;
    static const char copied[] = "abcdefghijklmnopqrstuvwxyz", wrong[] = "ab0ab1ab2ab3ab4ab5ab6ab7ab8";
    static const struct {
        const char *why, *prompt, *big;
        uint32_t draft_max;
        bool adaptive;
        int row_us;
        const char *passes;
    } rows[] = {
        {"all right", "abcdefghijklmnopqrstuvwxyzX", copied, 6, false, 0, "a bcd efghi jklmnop qrstuvw xyzXabc"},
        {"all right, once a plain id's time is known", "Xabcdefghijk", "Xabcdefghijk", 6, true, 0,
         "X abc defgh ijkXabc"},
        {"one of two right: three next", "abcdXbcYcdZX", "abcYcdZ", 6, false, 0, "a bcd YcdZ"},
        {"all wrong", "abXabYabZab", wrong, 6, false, 0,
         "a bab 0 a b0a 1 a b1a 2 a b2a 3 a b3a 4 a b4a 5 a b5a 6 a b6a 7 a b7a"},
        {"all wrong: the policy pauses after eight, for eight ids, and tries four", "abXabYabZab", wrong, 6, true, 0,
         "a bab 0 a b0a 1 a b1a 2 a b2a 3 a b 4 a b 5 a b5a 6 a b6a 7 a b"},
        {"right, but dear to check: first as far as they are sure, then it pauses as well",
         "abcdefghijklmnopqrstuvwxyzX", copied, 2, true, 40, "a bcd e f g h i jk lm no p q r s t u v w xyz"},
        {"the same, but it has no say", "abcdefghijklmnopqrstuvwxyzX", copied, 2, false, 40,
         "a bcd efg hij klm nop qrs tuv wxy"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        char trace[256];
        scene_open(&c);
        struct open_slot open = drafting(0, 300, rows[i].draft_max);
        open.adaptive = rows[i].adaptive;
        open_drafting(&c, open);
        read_prompt(&c, 0, rows[i].prompt);
        scene_token(&c, 0, rows[i].big[0], false);
        play(&c, rows[i].big, rows[i].row_us, trace);
        if (strcmp(trace, rows[i].passes)) fail_msg("%s: \"%s\"", rows[i].why, trace);
        scene_close(&c);
    }
}

/* The coordinator said so, and sees the same: rows without a draft, or with a wrong one, are the last. */
static void a_slot_may_go_on_only_while_its_drafts_are_right(void **state)
{
    (void)state;
    static const struct {
        const char *big, *passes;
        bool goes_on;
    } rows[] = {
        {"abcdefghijklmno", "a", false}, /* nothing to copy */
        {"bcdefghijklmnopabcdefgh", "bcd efghi jklmnop abcdefg", true},
        {"bcdefXYZabc", "bcd efghi", false},
        {"bXYZabc", "bcd", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        char trace[256];
        scene_open(&c);
        struct open_slot open = drafting(0, 300, 6);
        open.while_right = true;
        open_drafting(&c, open);
        read_prompt(&c, 0, "abcdefghijklmnopa");
        scene_token(&c, 0, rows[i].big[0], false);
        play(&c, rows[i].big, 0, trace);
        assert_string_equal(trace, rows[i].passes);
        assert_int_equal(lead_has_work(c.lead, 100), rows[i].goes_on);
        scene_close(&c);
    }
}

/* Where its drafts were all wrong they pause, until another text begins. */
static void a_pause_of_its_drafts_lasts_as_long_as_the_text(void **state)
{
    (void)state;
    for (uint32_t text = 1; text <= 2; text++) {
        struct scene c;
        char trace[256];
        scene_open(&c);
        struct open_slot open = drafting(0, 300, 8);
        open.adaptive = true;
        open_drafting(&c, open);
        read_prompt(&c, 0, "abXabYabZab");
        scene_token(&c, 0, 'a', false);
        play(&c, "ab0ab1ab2ab3ab", 0, trace);
        open.text = text;
        open_drafting(&c, open);
        read_prompt(&c, 0, "abXabYabZab");
        scene_token(&c, 0, 'X', false);
        play(&c, "XabYabZ", 0, trace);
        assert_string_equal(trace, text == 1 ? "X a b Y a b" : "X abY abZab");
        scene_close(&c);
    }
}

/* Each slot that has something next has a row for it, and those before it share what is left. */
static void drafts_leave_every_slot_of_the_pass_its_row(void **state)
{
    (void)state;
    static const struct {
        int n_sent; /* rows that the coordinator sends to the last slot; 0: it writes by itself, too */
        const char *own[N_SLOTS];
    } rows[] = {{0, {"cdX", "cdX", "cd"}}, {3, {"cdX", "cd"}}, {5, {"cd", "c"}}, {6, {"c", "c"}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        struct err err;
        scene_open(&c);
        for (uint32_t slot = 0; slot < N_SLOTS; slot++) {
            open_drafting(&c, drafting(slot, 30, 8));
            read_prompt(&c, slot, "abcdXab");
        }
        for (uint32_t slot = 0; slot < N_SLOTS; slot++) scene_token(&c, slot, 'c', false);
        if (rows[i].n_sent) assert_int_equal(scene_post(&c, 2, 0, rows[i].n_sent, 0, &err), OK);
        struct lead_step step = lead_next(c.lead, 0);
        assert_int_equal(step.n_parts, N_SLOTS);
        assert_int_equal(step.n_rows, MAX_ROWS);
        for (size_t k = 0; k < N_SLOTS - (rows[i].n_sent > 0); k++)
            assert_string_equal(own_rows(&step.parts[k + (rows[i].n_sent > 0)]), rows[i].own[k]);
        scene_close(&c);
    }
}

/* One of a pass that the slot has forgotten, or a lie: it is what is next, if the history is right, but no measure. */
static void a_token_that_answers_none_of_its_rows_teaches_it_nothing(void **state)
{
    (void)state;
    static const uint32_t behind[] = {0, 4}; /* ids after those before the part: it feeds three */
    for (int i = 0; i < 2; i++) {
        struct scene c;
        struct err err;
        scene_open(&c);
        open_drafting(&c, drafting(0, 30, 8));
        read_prompt(&c, 0, "abcdXab");
        scene_token(&c, 0, 'c', false);
        assert_string_equal(own_rows(lead_next(c.lead, 0).parts), "cdX");
        const uint64_t *h = c.slots.slot[0].prefix_hash;
        const struct token t = {0, 0, 1, 7 + behind[i], behind[i] < 4 ? h[7 + behind[i]] : 9, 'c', 0};
        assert_int_equal(lead_on_token(c.lead, &t, 0, &err), OK);
        struct lead_step step = lead_next(c.lead, 0);
        if (behind[i] < 4) assert_string_equal(own_rows(step.parts), "cdX"); /* as far as before */
        assert_int_equal(step.n_refused, behind[i] == 4);
        scene_close(&c);
    }
}

/* A slot's text begins, big writes, and is cut. */
static void write_text(struct scene *c, uint32_t slot, const char *prompt, const char *big)
{
    char trace[256];
    struct err err;
    open_drafting(c, drafting(slot, 300, 8));
    read_prompt(c, slot, prompt);
    scene_token(c, slot, big[0], false);
    play(c, big, 0, trace);
    assert_int_equal(lead_on_cut(c->lead, &(struct cut){slot, 1}, &err), OK);
}

/* It is known to be over when another one begins in its slot. */
static void with_a_memory_drafts_go_on_as_big_did_in_texts_that_are_over(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct {
            uint32_t slot;
            const char *prompt, *big;
        } texts[3];
        uint32_t slot;
        const char *prompt, *rows; /* that feed 'e' */
    } rows[] = {
        {"in the same slot", {{0, "XYZ", "abcdefghi"}}, 0, "__abcd", "efg"},
        {"in another one, once it is over", {{0, "XYZ", "abcdefghi"}, {0, "____", "xy"}}, 1, "__abcd", "efg"},
        {"not before", {{0, "XYZ", "abcdefghi"}, {1, "____", "xy"}}, 2, "__abcd", "e"},
        {"not as prompts do", {{0, "abcdefghi", "XYZ"}}, 0, "__abcd", "e"},
        {"of two texts", {{0, "_", "abcdeXY."}, {0, "_", "abcdeXZ."}}, 0, "__abcd", "eXZ"},
        {"to the last id that was fed", {{0, "_", "abcdefg"}}, 0, "__abcd", "ef"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct suffix_memory *memory;
        struct scene c;
        struct err err;
        assert_int_equal(suffix_memory_open(&memory, 1024, &err), OK);
        scene_open_with(&c, memory);
        for (size_t k = 0; k < 3 && rows[i].texts[k].prompt; k++)
            write_text(&c, rows[i].texts[k].slot, rows[i].texts[k].prompt, rows[i].texts[k].big);
        open_drafting(&c, drafting(rows[i].slot, 30, 8));
        read_prompt(&c, rows[i].slot, rows[i].prompt);
        scene_token(&c, rows[i].slot, 'e', false);
        const char *fed = own_rows(lead_next(c.lead, 0).parts);
        if (strcmp(fed, rows[i].rows)) fail_msg("%s: \"%s\"", rows[i].why, fed);
        scene_close(&c);
        suffix_memory_close(memory);
    }
}

/* Though the other begins where that one has not been. */
static void a_text_is_over_too_where_another_is_copied_over_it(void **state)
{
    (void)state;
    struct suffix_memory *memory;
    struct scene c;
    struct err err;
    const struct row row = {.id = '!', .wanted = true};
    assert_int_equal(suffix_memory_open(&memory, 1024, &err), OK);
    scene_open_with(&c, memory);
    write_text(&c, 0, "XYZ", "abcdefghi");
    read_prompt(&c, 1, "a prompt that is longer");
    const struct slot *from = &c.slots.slot[1];
    const struct part part = {.job = ++c.n_jobs,
                              .at = (uint32_t)from->len,
                              .prefix_hash = from->prefix_hash[from->len],
                              .rows = &row,
                              .n_rows = 1,
                              .from = 1 + 1};
    assert_int_equal(lead_on_verify(c.lead, &part, 0, &err), OK);
    assert_int_equal(lead_next(c.lead, 0).parts[0].from, 1 + 1);
    open_drafting(&c, drafting(2, 30, 8));
    read_prompt(&c, 2, "__abcd");
    scene_token(&c, 2, 'e', false);
    assert_string_equal(own_rows(lead_next(c.lead, 0).parts), "efg");
    scene_close(&c);
    suffix_memory_close(memory);
}

/* Drafts of elsewhere: they are written behind big's next id, and cost time. */
struct elsewhere {
    struct scene *c;
    int n_asked, most;
    char after; /* the id that the text ends with then */
    int n_looks, n_own;
    uint64_t n_written;
};

static int write_xyz(void *arg, const struct draft_order *order, int32_t *drafts, uint32_t *us)
{
    static const int32_t ids[] = {'x', 'y', END, 'z'};
    struct elsewhere *e = arg;
    const struct slot *text = &e->c->slots.slot[order->open->slot];
    e->n_asked++;
    int most = e->most = order->most;
    e->after = (char)text->ids[text->len - 1];
    *us = 500;
    for (int i = 0; i < most && i < 4; i++) drafts[i] = ids[i];
    return most < 4 ? most : 4;
}

static void open_elsewhere(struct scene *c, struct elsewhere *e, double cost)
{
    struct err err;
    scene_open(c);
    *e = (struct elsewhere){.c = c};
    lead_close(c->lead);
    const struct lead_config config = {.slots = &c->slots,
                                       .max_rows = MAX_ROWS,
                                       .n_vocab = N_VOCAB,
                                       .drafts = {.write = write_xyz, .arg = e, .costs = {cost}}};
    assert_int_equal(lead_open(&c->lead, &config, &err), OK);
}

static void an_open_names_a_plan_that_there_is(void **state)
{
    (void)state;
    static struct scene c;
    struct elsewhere e;
    struct err err;
    open_elsewhere(&c, &e, .5);
    for (uint32_t plan = 0; plan < 2; plan++) {
        const struct open_slot open = {.self_max = 8, .draft_plan = plan};
        assert_int_equal(lead_on_open(c.lead, &open, &err), plan ? E_PEER : OK);
    }
    scene_close(&c);
}

static void drafts_may_come_from_elsewhere(void **state)
{
    (void)state;
    static const struct {
        uint32_t draft_max;
        int n_asked, most;
        const char *rows;
    } rows[] = {{0, 0, 0, "c"}, {1, 1, 1, "cx"}, {8, 1, 2, "cxy"}};
    struct scene c;
    struct elsewhere e;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_elsewhere(&c, &e, .5);
        open_drafting(&c, drafting(1, 30, rows[i].draft_max));
        read_prompt(&c, 1, "abcdXab"); /* n-grams would have "dX" */
        scene_token(&c, 1, 'c', false);
        struct lead_step step = lead_next(c.lead, 0);
        assert_string_equal(own_rows(step.parts), rows[i].rows);
        assert_int_equal(e.n_asked, rows[i].n_asked);
        assert_int_equal(e.most, rows[i].most);
        if (e.n_asked) assert_int_equal(e.after, 'c');
        assert_int_equal(step.drafted_us, e.n_asked ? 500 : 0);
        scene_close(&c);
    }
    open_elsewhere(&c, &e, .5); /* the third is an end id, which is big's to write */
    open_drafting(&c, drafting(1, 30, 8));
    read_prompt(&c, 1, "ab");
    scene_token(&c, 1, 'c', false);
    assert_string_equal(own_rows(lead_next(c.lead, 0).parts), "cxy");
    scene_token(&c, 1, 'd', true); /* both right: four the next time */
    assert_string_equal(own_rows(lead_next(c.lead, 0).parts), "dxy");
    assert_int_equal(e.most, 4);
    scene_close(&c);
}

/* As a trial they come when drafting costs half of a token; not when it costs as much as one. */
static void what_drafts_cost_is_known_before_the_first(void **state)
{
    (void)state;
    for (int dear = 0; dear <= 1; dear++) {
        struct scene c;
        struct elsewhere e;
        struct err err;
        open_elsewhere(&c, &e, dear ? 1.01 : .25);
        struct open_slot open = drafting(1, 60, 8);
        open.adaptive = true;
        open_drafting(&c, open);
        read_prompt(&c, 1, "ab");
        for (int i = 0; i < 6; i++) { /* plain tokens of a millisecond */
            const struct slot *s = &c.slots.slot[1];
            const struct token t = {i ? 0 : c.jobs[1], 1, 1, (uint32_t)s->len, s->prefix_hash[s->len], 'c', 0};
            assert_int_equal(lead_on_token(c.lead, &t, 1000 * (uint64_t)i, &err), OK);
            lead_next(c.lead, 1000 * (uint64_t)i);
            if (e.n_asked) break;
        }
        assert_int_equal(e.n_asked > 0, !dear);
        scene_close(&c);
    }
}

/* What the coordinator asks for is no look's business; a slot's own rows are. */
static uint32_t look_for_better(void *arg, const struct lead_text *text, double *cost)
{
    struct elsewhere *e = arg;
    e->n_looks++;
    e->n_own = text->n_own;
    e->n_written = text->n_written;
    if (e->n_looks == 4) *cost = .25;
    return 300;
}

/* Slot 1 drafts, at more than a token's cost. */
static void open_looking(struct scene *c, struct elsewhere *e)
{
    struct err err;
    scene_open(c);
    *e = (struct elsewhere){.c = c};
    lead_close(c->lead);
    const struct lead_config config = {
        .slots = &c->slots,
        .max_rows = MAX_ROWS,
        .n_vocab = N_VOCAB,
        .drafts = {.write = write_xyz, .look = look_for_better, .arg = e, .costs = {1.01}}};
    assert_int_equal(lead_open(&c->lead, &config, &err), OK);
    struct open_slot open = drafting(1, 60, 8);
    open.adaptive = true;
    open_drafting(c, open);
    read_prompt(c, 1, "ab");
}

/* Drafts that cost too much are not tried; once a look has found cheaper ones, they are. */
static void a_look_may_make_drafts_cheaper(void **state)
{
    (void)state;
    struct scene c;
    struct elsewhere e;
    struct err err;
    open_looking(&c, &e);
    for (int i = 0; i < 8 && !e.n_asked; i++) { /* plain tokens of a millisecond */
        const struct slot *s = &c.slots.slot[1];
        const struct token t = {i ? 0 : c.jobs[1], 1, 1, (uint32_t)s->len, s->prefix_hash[s->len], 'c', 0};
        assert_int_equal(lead_on_token(c.lead, &t, 1000 * (uint64_t)i, &err), OK);
        struct lead_step step = lead_next(c.lead, 1000 * (uint64_t)i);
        assert_int_equal(step.drafted_us, e.n_asked ? 800 : 300);
        assert_int_equal(e.n_looks, i + 1);
        assert_int_equal(e.n_own, i + 1);
        assert_int_equal(e.n_written, i + 1);
    }
    assert_in_range(e.n_looks, 4, 7);
    assert_int_equal(e.n_asked, 1);
    scene_close(&c);
}

/* A conversation: the next text begins where big stopped, and of that no more is big's than what follows its prompt. */
static void a_look_sees_what_big_wrote_of_this_text(void **state)
{
    (void)state;
    struct scene c;
    struct elsewhere e;
    struct err err;
    const struct row rows[] = {{.id = 'd'}, {.id = 'X'}, {.id = 'Y', .wanted = true}};
    open_looking(&c, &e);
    scene_token(&c, 1, 'c', false);
    lead_next(c.lead, 0);
    scene_token(&c, 1, 'd', true);
    assert_int_equal(lead_on_cut(c.lead, &(struct cut){1, 1}, &err), OK);
    struct open_slot open = drafting(1, 60, 8);
    open.round = open.text = 2;
    open_drafting(&c, open);
    const struct slot *s = &c.slots.slot[1];
    const struct part part = {.job = 90,
                              .slot = 1,
                              .round = 2,
                              .at = 3,
                              .prefix_hash = s->prefix_hash[3],
                              .rows = rows,
                              .n_rows = sizeof rows / sizeof *rows};
    assert_int_equal(lead_on_verify(c.lead, &part, 0, &err), OK);
    lead_next(c.lead, 0);
    const struct token t = {90, 1, 2, 6, s->prefix_hash[6], 'e', 0};
    assert_int_equal(lead_on_token(c.lead, &t, 0, &err), OK);
    lead_next(c.lead, 0);
    assert_int_equal(e.n_looks, 2);
    assert_int_equal(e.n_own, 1);
    assert_int_equal(e.n_written, 2);
    scene_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_drafts_what_followed_earlier_as_far_as_there_is_room),
        cmocka_unit_test(no_draft_goes_past_the_slot),
        cmocka_unit_test(drafts_go_two_further_than_the_last_were_right_while_they_pay),
        cmocka_unit_test(a_slot_may_go_on_only_while_its_drafts_are_right),
        cmocka_unit_test(a_pause_of_its_drafts_lasts_as_long_as_the_text),
        cmocka_unit_test(drafts_leave_every_slot_of_the_pass_its_row),
        cmocka_unit_test(with_a_memory_drafts_go_on_as_big_did_in_texts_that_are_over),
        cmocka_unit_test(a_text_is_over_too_where_another_is_copied_over_it),
        cmocka_unit_test(a_token_that_answers_none_of_its_rows_teaches_it_nothing),
        cmocka_unit_test(an_open_names_a_plan_that_there_is),
        cmocka_unit_test(drafts_may_come_from_elsewhere),
        cmocka_unit_test(what_drafts_cost_is_known_before_the_first),
        cmocka_unit_test(a_look_may_make_drafts_cheaper),
        cmocka_unit_test(a_look_sees_what_big_wrote_of_this_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
