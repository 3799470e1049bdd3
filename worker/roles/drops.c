#include "worker/roles/drops.h"

#include <stdlib.h>

int drops_init(struct drops *d, int n_slots, struct err *err)
{
    *d = (struct drops){.n = n_slots, .slot = calloc((size_t)n_slots, sizeof *d->slot)};
    return d->slot ? OK : err_set(err, E_LAYOUT, "out of memory");
}

void drops_free(struct drops *d)
{
    free(d->slot);
    *d = (struct drops){0};
}

void drops_note(struct drops *d, const struct slots *slots, const struct token *token)
{
    bool follows = slots_check(slots, token->slot, token->at, token->prefix_hash, 0) == VERDICT_OK;
    if (follows && !slots_has(slots, token->slot, token->at, &token->id, 1)) d->slot[token->slot].token = *token;
}

/* Older parts of the text that begin behind the Token's place go on from a draft there: from another id than big's, or
 * one with big's id has come before, and the Token is forgotten. */
bool drops_find(struct drops *d, const struct part *part, uint32_t n_tokens)
{
    if (part->slot >= (uint32_t)d->n) return false;
    struct token *t = &d->slot[part->slot].token;
    bool older = t->number && (int32_t)(n_tokens - t->number) < 0 && part->round == t->round && !part->from;
    bool differs = part->at > t->at || (part->at == t->at && part->rows[0].id != t->id);
    if (older && differs) return true;
    if (part->at <= t->at) t->number = 0;
    return false;
}

bool drops_settle(struct drops *d, const struct part *part, bool found)
{
    if (part->slot >= (uint32_t)d->n) return found;
    struct slot_drops *s = &d->slot[part->slot];
    bool lacks = s->lacks && part->at > s->from && !part->from;
    if (!lacks) s->from = part->at;
    s->lacks = found || lacks;
    if (s->lacks) d->n_rows += (uint32_t)part->n_rows;
    return s->lacks;
}

uint32_t drops_held(const struct drops *d, const struct part *part)
{
    if (part->slot >= (uint32_t)d->n) return 0;
    const struct slot_drops *s = &d->slot[part->slot];
    return s->token.number && s->token.at < s->from ? s->token.at : s->from;
}
