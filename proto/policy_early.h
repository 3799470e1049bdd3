/* policy_early.h -- whether to draft early (BiLD, 2302.07863, its window kept): while big verifies a draft of a lossy
 * text, the drafter may write the next one already, as if all of this were kept and big's own id behind it were
 * little's. Pure: numbers in, a choice out. The text never depends on it, nor which drafts are verified: only the time.
 *
 *   right:  the next draft is there, or nearly, when the verdict is: min(n tD, tT + R - tD) is saved
 *   wrong:  the drafter may be in the middle of a pass, which the ask of the right draft waits for: tD at most
 *
 * So it pays only where drafter and big have cores of their own, which the caller knows.
 */
#ifndef PROTO_POLICY_EARLY_H
#define PROTO_POLICY_EARLY_H

#include <stdbool.h>

struct draft_policy_early {    /* of a text; means in which the newest weighs most; [1]: little was unsure there */
    double kept[2], right[2];  /* the chance that a draft is kept whole; that the guess is big's id then */
    double n_drafts, draft_ns; /* of a draft: ids; time of each. 0: not known */
    double verify_ns;          /* from sending a verify to its verdict: tT + R. 0: not known, and a trial pays */
};

struct draft_policy_early draft_policy_early_init(void);
bool draft_policy_early_pays(const struct draft_policy_early *e, bool unsure);
/* n ids have taken so long. */
void draft_policy_early_note_draft(struct draft_policy_early *e, int n, double ns);
void draft_policy_early_note_verdict(struct draft_policy_early *e, bool unsure, bool kept, double verify_ns);
/* All was kept, and the guess was big's id, or not. */
void draft_policy_early_note_guess(struct draft_policy_early *e, bool unsure, bool right);

#endif
