#!/usr/bin/env bash
# Ranks: 1 and 3. Plans that are found: while the model decodes (--draft-plan swift), which changes no text; and of a
# list those that are worth what they cost (eval pareto).
#   found_plans.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 mpirun=$3/mpirun
. "$(dirname "$0")/lib/plans.bash"
. "$(dirname "$0")/lib/cli.bash"
"$tiny" big.gguf || wrong "no toy model"

# --- a plan that is looked for meanwhile: blocks 1 and 2 do nothing ---------------------------------------------------

"$tiny" idle.gguf --idle 6 || wrong "no toy model"
ask=(generate --big idle.gguf --raw -n 80 -o jsonl "the little friend")
writes whole
for layout in "--tp 3" "--tp 2 --pp 2"; do
    drafts --draft-plan swift:900 $layout --threads 1
done
over 3 drafts --draft-plan swift:900 --tp 2 --threads 1
drafts --draft-plan swift --threads 1
drafts --draft-plan layerskip:1-4 --tp 2 --threads 1
drafts --depth 1-2 --pp 2
"$tiny" side.gguf --idle 6 --side idle.gguf --exit 1 --and-exit 3 || wrong "no side file"
drafts --draft-plan balcony:side.gguf:1-3 --tp 2
drafts --draft-plan balcony:side.gguf --depth 1-3 --threads 1
drafts --draft-plan balcony:side.gguf:1-2 --pp 2
over 3 drafts --draft-plan balcony:side.gguf:1-3 --tp 2 --threads 1
refuses 3 "side.gguf has no exit after 4 to 9 blocks" generate --big idle.gguf --draft-plan balcony:side.gguf:4-9 x
refuses 3 "was made for another model" generate --big big.gguf --draft-plan balcony:side.gguf:1-3 x
refuses 3 "a second side file" generate --big idle.gguf --plan balcony:side.gguf:1 --draft-plan balcony:side.gguf:1-3 x
refuses 3 "block 1, which the served plan does not run" \
    generate --big idle.gguf --plan skip:1 --draft-plan balcony:side.gguf:1-3 x
refuses 4 "block 2 is not in the first of 2 stages" generate --big idle.gguf --pp 2 --draft-plan balcony:side.gguf:1-3 x
refuses 2 "--plan: balcony:side.gguf:1-3: a search of plans for drafts" \
    generate --big idle.gguf --plan balcony:side.gguf:1-3 x
refuses 2 "--draft-plan: balcony:side.gguf:3-1: cannot be read" \
    generate --big idle.gguf --draft-plan balcony:side.gguf:3-1 x
writes found --draft-plan swift # the guard may find that no draft pays
cmp -s found whole || wrong "--draft-plan swift: not big's own text"
refuses 2 "--draft-plan: swift:0: cannot be read; a search is spelled swift" \
    generate --big big.gguf --draft-plan swift:0 x
refuses 2 "--draft-plan: swift:1x: cannot be read" generate --big big.gguf --draft-plan swift:1x x
refuses 2 "--plan: swift: a search of plans for drafts, no plan" generate --big big.gguf --plan swift x
refuses 2 "--plan: layerskip:1-3: a search of plans for drafts" generate --big big.gguf --plan layerskip:1-3 x
refuses 2 "--draft-plan: layerskip:3-1: cannot be read" generate --big big.gguf --draft-plan layerskip:3-1 x
refuses 3 "an exit after 5 blocks, but the model has 4" generate --big big.gguf --draft-plan layerskip:2-5 x
refuses 3 "the served plan does not begin with the first 3 blocks" \
    generate --big big.gguf --plan ode:0-1,2@.5,3 --draft-plan layerskip:1-3 x
refuses 4 "block 2 is not in the first of 2 stages" generate --big big.gguf --pp 2 --draft-plan layerskip:1-3 x
refuses 2 "--draft-plan swift: its plan depends on the time" generate --big big.gguf --draft-plan swift --accept bild x

# --- what plans cost and are worth ------------------------------------------------------------------------------------

printf '# a comment\nskip:1\n\nlayerskip:3\n  layerskip:2\nskip:1a,2m\r\nplan.json\node:0-3\n' > plans
echo '{"plan": "skip:0", "lp_token": -1}' >> plans
echo '{"plan": ""}' >> plans
echo '{"entries": [{"block": 0}, {"block": 3, "part": "mlp"}]}' > plan.json
seq 400 > text
pareto=(eval pareto --big big.gguf --window 64 --plans plans text)
does '"frontier": ' "${pareto[@]}" -o jsonl
cp out expected
does . eval perplexity --big big.gguf --window 64 --plan skip:1a,2m --agreement whole -o jsonl text
for name in perplexity agreement; do
    grep '"plan": "skip:1a,2m"' expected | grep -q "$(number $name out)" || wrong "eval pareto: another $name"
done
run eval perplexity --big idle.gguf --window 64 --plan balcony:side.gguf:1 --agreement whole text
[ "$rc" = 3 ] && grep -q "^pilotfish: --plan: a side file is loaded at the start: leave --agreement out$" err ||
    wrong "--agreement of a plan with a side file: exit $rc"
does . "${pareto[@]}" -o csv
cp out csv
python3 - expected csv << 'END' || wrong "eval pareto: not the frontier, not in order, or another table"
import csv, json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
table = list(csv.DictReader(open(sys.argv[2])))
marks = [(r["bytes"], -r["lp_token"], -r["agreement"]) for r in rows]
beaten = [any(all(x <= y for x, y in zip(a, b)) and a != b for a in marks) for b in marks]
whole = next(r for r in rows if r["plan"] == "whole")
assert [r["frontier"] for r in rows] == [not b for b in beaten] and any(beaten) and not all(beaten)
assert [m[0] for m in marks] == sorted((m[0] for m in marks), reverse=True)
assert whole["agreement"] == whole["bytes"] == 1
assert len(rows) == 8 and all(str(r[k]) == t[k] for r, t in zip(rows, table) for k in ("plan", "tokens"))
assert all(float(t[k]) == r[k] for r, t in zip(rows, table) for k in ("bytes", "perplexity", "lp_token", "agreement"))
END
does . "${pareto[@]}" -o jsonl --tp 2 --pp 2 --threads 1
cmp -s out expected || wrong "eval pareto: other layouts, other rows"
over 3 does . "${pareto[@]}" -o jsonl --pp 2 --threads 1
cmp -s out expected || wrong "eval pareto: over ranks other rows"
does '^  *100.0 % .* 100.0 % \* whole$' "${pareto[@]}"
# bad CODE WORDS LINE: what is wrong with a list of such a line.
bad() {
    printf '%s\n' skip:1 "$3" > list
    run eval pareto --big big.gguf --window 64 --plans list text
    [ "$rc" = "$1" ] && grep -q "^pilotfish: $2" err || wrong "eval pareto, $3: exit $rc, $(cat err)"
}
bad 3 "list: line 2: plan skip:4: block 4, but the model has blocks 0 to 3" skip:4
bad 2 "list: line 2: skip:: cannot be read" skip:
bad 2 "list: line 2: none.json: No such file" none.json
bad 2 'list: line 2: an object of JSON with "plan" was expected' '{"x": 1}'
bad 3 "ode:0x2: the plan of a text: block 0 more often than the served plan has it" ode:0x2
refuses 2 "eval pareto needs plans: --plans FILE" eval pareto --big big.gguf text
refuses 2 "none: No such file" eval pareto --big big.gguf --plans none text
refuses 2 "/dev/null: no plan" eval pareto --big big.gguf --plans /dev/null text

verdict
