#include <string.h>

#include "proto/suffix.h"
#include "worker/roles/lead_inside.h"

enum { REACH_MORE = 2 }; /* ids by which the next draft may be longer than the last one was right */

void lead_begin_policy(const struct lead *l, struct self *s, const struct open_slot *open)
{
    const struct cost_prior prior = {.draft = l->c.drafts.write ? l->c.drafts.costs[open->draft_plan] : 0};
    draft_policy_init(&s->policy, open->adaptive, false, prior, &(struct draft_profile){0});
    s->reach = REACH_MORE;
    lead_forget(s);
}

void lead_note_part(struct self *s, const struct token *t, uint64_t now_us)
{
    int n_drafts = s->part.n_drafts, n_right = (int)(t->at - s->part.at) - 1, n_judged = n_right + REACH_MORE;
    if (!s->part.in_work || n_right < 0 || n_right > n_drafts) return; /* written twice: its prompt came again */
    bool costs = s->policy.prior.draft != 0;
    const struct draft_policy_round round = {.n_drafted = costs || n_drafts < n_judged ? n_drafts : n_judged,
                                             .n_accepted = n_right,
                                             .n_tokens = n_right + 1,
                                             .ns = (double)(now_us - s->part.begun_us) * 1e3,
                                             .draft_ns = s->part.drafted_us * 1e3,
                                             .p_target = s->policy.p_target * (n_right + 1),
                                             .measured = true};
    s->part.in_work = false;
    if (n_drafts) s->reach = n_judged;
    if (!n_drafts || n_right < n_drafts) s->on &= !s->open.while_right;
    draft_policy_note(&s->policy, &round);
}

/* It says what the slot holds, from where the coordinator must send. */
static void refuse_self(struct lead *l, uint32_t slot)
{
    struct self *s = &l->self[slot];
    const struct part part = {
        .slot = slot, .round = s->open.round, .at = s->next.at, .prefix_hash = s->next.prefix_hash};
    s->lost = false;
    enum verdict_status status = slots_check(l->c.slots, slot, part.at, part.prefix_hash, 1);
    if (status != VERDICT_OK) lead_refuse(l, &part, status, slots_held(l->c.slots, slot));
}

bool lead_would_go_on(const struct self *s)
{
    return s->on && s->has_next && !s->job && s->next.at + 1 < s->acked + s->open.self_max;
}

static bool is_ready(const struct self *s)
{
    return lead_would_go_on(s) && !s->n_queued;
}

int64_t lead_draft_room(const struct lead *l, const struct self *s, int n_others)
{
    int64_t after = (int64_t)s->next.at + 2;
    int64_t rooms[] = {(int64_t)s->acked + s->open.self_max - after,
                       (int64_t)s->open.last_position - after,
                       l->c.slots->n_ctx - after,
                       l->c.max_rows - l->step.n_rows - 1 - n_others,
                       lead_rows_left(l, s) - 1,
                       s->open.draft_max,
                       s->reach};
    int64_t least = DRAFTS_MOST;
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) least = rooms[i] < least ? rooms[i] : least;
    return least;
}

struct suffix_draft lead_look_up(struct lead *l, uint32_t slot, int most)
{
    const struct self *s = &l->self[slot];
    int n = (int)s->next.at;
    int32_t ignored[DRAFTS_MOST];
    memcpy(l->text, l->c.slots->slot[slot].ids, (size_t)n * sizeof *l->text);
    l->text[n++] = s->next.id;
    return suffix_draft(l->c.memory, l->text, n, draft_policy_chance(&s->policy, most, 0), ignored, most);
}

/* What followed the text's end earlier, or comes from elsewhere. */
static int write_drafts(struct lead *l, uint32_t slot, int most)
{
    struct self *s = &l->self[slot];
    const struct slot *text = &l->c.slots->slot[slot];
    const struct lead_drafts *from = &l->c.drafts;
    s->part.drafted_us = 0;
    if (most <= 0) return 0;
    float chance = draft_policy_chance(&s->policy, most, 0);
    if (!from->write) return suffix_draft(l->c.memory, text->ids, text->len, chance, s->part.drafts, most).n;
    const struct draft_order order = {&s->open, most, chance};
    return from->write(from->arg, &order, s->part.drafts, &s->part.drafted_us);
}

/* The text ends with big's next id. None goes on past an end id: that one is big's to write. */
static int draft(struct lead *l, uint32_t slot, int n_others)
{
    struct self *s = &l->self[slot];
    int64_t room = lead_draft_room(l, s, n_others);
    int n = write_drafts(l, slot, room > 0 ? draft_policy_window(&s->policy, (int)room) : 0);
    for (int i = 0; i < n; i++)
        if (lead_is_end(s, s->part.drafts[i])) return i;
    return n;
}

/* For a better way to draft; what was learned of the last one does not count for it. Returns how long it took. */
static uint32_t look(struct lead *l, uint32_t slot)
{
    struct self *s = &l->self[slot];
    const struct lead_drafts *from = &l->c.drafts;
    uint32_t len = s->next.at + 1, counted = s->n_counted > s->n_prompt ? s->n_counted : s->n_prompt;
    if (!from->look || counted >= len) return 0;
    double cost = from->costs[0];
    l->n_written += len - counted;
    s->n_counted = len;
    const struct lead_text text = {&s->open, (int)(len - s->n_prompt), l->n_written};
    uint32_t us = from->look(from->arg, &text, &cost);
    if (cost == from->costs[0]) return us;
    l->c.drafts.costs[0] = cost;
    for (int i = 0; i < l->c.slots->n; i++) lead_begin_policy(l, &l->self[i], &l->self[i].open);
    return us;
}

/* n_others: slots that are to have a row in this pass too. */
static void start_self(struct lead *l, uint32_t slot, int n_others, uint64_t now_us)
{
    struct self *s = &l->self[slot];
    struct own_part *own = &s->part;
    const struct token *next = &s->next;
    s->has_next = false;
    s->lost = slots_check(l->c.slots, slot, next->at, next->prefix_hash, 1) != VERDICT_OK;
    s->knows &= !s->lost;
    if (s->lost) return;
    slots_apply(l->c.slots, slot, next->at, &next->id, 1);
    uint32_t look_us = look(l, slot);
    int n = draft(l, slot, n_others);
    for (int i = 0; i <= n; i++)
        own->rows[i] = (struct row){.id = i ? own->drafts[i - 1] : next->id,
                                    .wanted = true,
                                    .n_top = s->open.n_top,
                                    .judge = &own->drafts[i],
                                    .n_judge = i < n};
    own->in_work = true;
    own->at = next->at;
    own->n_drafts = n;
    own->begun_us = now_us + look_us;
    l->step.drafted_us += own->drafted_us + look_us;
    const struct part part = {.slot = slot,
                              .round = s->open.round,
                              .at = next->at,
                              .prefix_hash = next->prefix_hash,
                              .rows = own->rows,
                              .n_rows = (size_t)n + 1,
                              .sampler = s->open.sampler};
    lead_join(l, &part, s->open.adaptive);
}

static int count_ready(const struct lead *l)
{
    int n = 0;
    for (int i = 0; i < l->c.slots->n; i++) n += is_ready(&l->self[i]);
    return n;
}

uint64_t lead_self_wait_us(const struct lead *l, uint64_t now_us)
{
    uint64_t wait_us = UINT64_MAX;
    for (int i = 0; i < l->c.slots->n; i++) {
        const struct self *s = &l->self[i];
        uint32_t hold_us = s->hold_us > l->c.hold_us ? s->hold_us : l->c.hold_us;
        uint64_t due_us = s->next_us + hold_us, left_us = hold_us && due_us > now_us ? due_us - now_us : 0;
        if (is_ready(s) && left_us < wait_us) wait_us = left_us;
    }
    return wait_us;
}

void lead_take_ready(struct lead *l, uint64_t now_us)
{
    int n = l->c.slots->n, first = l->turn, n_others = count_ready(l);
    bool full = (!l->step.n_parts && lead_self_wait_us(l, now_us) > 0) || lead_has_another_plan(l, NULL);
    for (int i = 0; i < n; i++) {
        int slot = (first + i) % n;
        struct self *s = &l->self[slot];
        if (is_ready(s) && !full && lead_rows_left(l, s) > 0) {
            full = !lead_has_room(l, 1);
            if (full) l->turn = slot;
            if (!full) start_self(l, (uint32_t)slot, --n_others, now_us);
            if (!full && l->spares && s->open.adaptive) l->n_spare += s->budget.most - s->budget.used;
        }
        if (s->lost) refuse_self(l, (uint32_t)slot);
    }
}
