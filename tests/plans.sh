#!/usr/bin/env bash
# Ranks: 1, 3 and 4. The big model served under a plan (proto/plan.h): the same text in every layout, every output says
# that it is lossy, and what is no plan is refused.
#   plans.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 mpirun=$3/mpirun
. "$(dirname "$0")/lib/plans.bash"
. "$(dirname "$0")/lib/cli.bash"
"$tiny" big.gguf || wrong "no toy model"
cat > plan.json << 'END'
{"about": "the first block, half of the second twice, an MLP alone", "entries": [{"block": 0},
 {"block": 1, "step": 0.5}, {"block": 1, "step": 0.5, "cache": 2}, {"block": 3, "part": "mlp"}]}
END
for i in $(seq 16); do echo '{"prompt": "x"}'; done > many.jsonl
ask=(generate --big big.gguf --raw -n 12 -o jsonl "the little friend")

# --- the same text ----------------------------------------------------------------------------------------------------

same() {
    writes found "$@"
    cmp -s found alone || wrong "$*: not the text of one process"
}

writes whole
for plan in plan.json skip:1a,2 layerskip:3 ode:0,1x3@.5,3; do
    writes alone --plan "$plan"
    cmp -s alone whole && wrong "$plan changes nothing"
    same --plan "$plan" --tp 3 --threads 1
    same --plan "$plan" --pp 3 --threads 2
    same --plan "$plan" --tp 2 --pp 2
done
writes alone --plan plan.json
over 4 same --plan plan.json --pp 3 --threads 1
mv whole alone
same --plan ode:0-3 # the plain plan

# A rank that has only its model gets the plan from rank 0.
writes alone --plan plan.json
"$mpirun" -n 1 "$pilotfish" "${ask[@]}" --tp 2 --plan plan.json --threads 1 : \
    -n 2 "$pilotfish" worker --model big.gguf --threads 1 2> err | grep -o '"ids": .*"origin"' > found
cmp -s found alone || wrong "workers with a model alone: not the text of one process"

# --- big drafts by a plan of its own blocks ---------------------------------------------------------------------------

writes whole
for plan in layerskip:1 layerskip:2 layerskip:4 skip:2 skip:1a,2m ode:0,1x2@.5,3 plan.json; do
    drafts --draft-plan "$plan" --threads 1
    drafts --draft-plan "$plan" --tp 3 --threads 1
done
ids=$(seq -s, 3 2 511) # a cut head: the drafts' other ids are never chosen
echo '{"entries": [{"block": 0}, {"block": 1}, {"block": 2}, {"block": 3}], "ids": ['"$ids]}" > cut.json
"$tiny" little.gguf --left-out 2 || wrong "no little toy model"
mv whole uncut
writes whole --plan cut.json
cmp -s whole uncut && wrong "a cut head changes nothing"
for more in "--little little.gguf" "--draft-plan layerskip:2 --tp 2"; do # shellcheck disable=SC2086 # words
    drafts --plan cut.json $more
done
mv uncut whole
echo '{"entries": [{"block": 0}], "ids": [3, 5, 7]}' > few.json # fewer than --logprobs asks for: those that there are
one='\[[357], -[0-9.]*\]'
three="\[$one, $one, $one\]"
does "\"top\": \[$three, $three, .*$three\]" "${ask[@]}" --plan few.json --logprobs 20
drafts --depth 2
drafts --draft-plan layerskip:1 --depth 3 --tp 2 # another exit than the plan's
drafts --draft-plan layerskip:2 --pp 2
drafts --draft-plan layerskip:2 --tp 2 --pp 2 --threads 1
drafts --draft-plan layerskip:3 --pp 2 --stage-share 3,1 # the exit is the last of the first stage
drafts --draft-plan layerskip:1 --pp 3 --stage-share 9,100,9
over 3 drafts --draft-plan layerskip:3 --pp 2 --stage-share 30,10 --threads 1
writes found --tp 2 --shard-share 3,1 --stage-share 1,3 --pp 2
cmp -s found whole || wrong "uneven shares: not big's own text"
over 3 writes found --tp 2 --shard-share 1,6 --threads 1
cmp -s found whole || wrong "uneven shares over ranks: not big's own text"
for share in "--pp 2 --stage-share auto" "--tp 3 --shard-share auto" "--groups 2 --pp 2 --stage-share auto" \
    "--tp 2 --pp 2 --stage-share auto --shard-share auto"; do
    writes found --threads 1 $share
    cmp -s found whole || wrong "$share: not big's own text"
done
over 5 writes found --tp 2 --pp 2 --stage-share auto --shard-share auto --threads 1 --stats
cmp -s found whole || wrong "shares of auto over ranks: not big's own text"
grep -c '^verifier on host .*; rank [1-4], blocks .*, [1-8] heads\{0,1\}, .* reads [0-9.]* MiB a pass at [0-9.]* GB/s$' err |
    grep -qx 4 ||
    wrong "--stats does not say which share each rank has"
refuses 4 "--shard-share 100,1 gives shard 1 none of 9 heads: give it a greater weight" \
    generate --big big.gguf --tp 2 --shard-share 100,1 x
refuses 2 "20: not the weights of 2 stages" generate --big big.gguf --pp 2 --stage-share 20 x
refuses 2 "1,x: not the weights of 2 stages" generate --big big.gguf --pp 2 --stage-share 1,x x
over 3 drafts --draft-plan layerskip:2 --pp 2 --threads 1
over 4 drafts --draft-plan plan.json --tp 3 --threads 1
writes whole --plan skip:1
drafts --plan skip:1 --draft-plan skip:1-2
does . generate --big big.gguf --raw --temp 1 --seed 3 -n 12 --draft-plan layerskip:3 --guard off --check \
    "the little friend"
grep -q '^check: 12 tokens' err || wrong "samples were not checked"
does . bench pair --big big.gguf --raw --prompts many.jsonl -n 4 --seconds 0.1 --draft-plan layerskip:2
refuses 3 "an exit after 5 blocks, but the model has 4" generate --big big.gguf --depth 5 x
refuses 4 "block 2 is not in the first of 2 stages" generate --big big.gguf --pp 2 --depth 3 x
refuses 2 "--draft-plan and --little: two drafters" generate --big big.gguf --little big.gguf --draft-plan layerskip:2 x
refuses 2 "--draft-plan and --draft: two drafters" generate --big big.gguf --draft ngram --draft-plan layerskip:2 x
writes whole --draft-plan skip:2 --accept bild --rollback 6 --fallback 0.1 # lossy: its text depends on its drafts
writes found --draft-plan skip:2 --accept bild --rollback 6 --fallback 0.1 --tp 3 --threads 1
cmp -s found whole || wrong "bild: other shards, another text"
over 3 writes found --draft-plan skip:2 --accept bild --rollback 6 --fallback 0.1 --tp 2 --threads 1
cmp -s found whole || wrong "bild: ranks, another text"
refuses 2 "--draft-plan: layerskip:: cannot be read" generate --big big.gguf --draft-plan layerskip: x
refuses 3 "draft-plan: plan layerskip:5: an exit after 5 blocks" generate --big big.gguf --draft-plan layerskip:5 x
refuses 3 "block 1, which the served plan does not run" generate --big big.gguf --plan skip:1 --draft-plan layerskip:2 x
refuses 4 "block 2 is not in the first of 2 stages" generate --big big.gguf --pp 2 --draft-plan layerskip:3 x
over 3 refuses 4 "block 2 is not in the first of 2 stages" generate --big big.gguf --pp 2 --draft-plan layerskip:3 x
refuses 4 "and the first of 2 stages has 4 entries: fewer stages" \
    generate --big big.gguf --pp 2 --stage-share 4,4 --plan ode:0x8 --draft-plan ode:0x2@4 x

# --- what is lossy says so --------------------------------------------------------------------------------------------

does . generate --big big.gguf --raw -n 4 --plan skip:1 "the little friend"
grep -q '^lossy: the big model is served under the plan skip:1$' err || wrong "generate does not say so"
does '"plan": "skip:1"' generate --big big.gguf --raw -n 4 -o jsonl --plan skip:1 "the little friend"
seq 100 > text
does '^lossy: .* the plan skip:1$' eval perplexity --big big.gguf --window 32 --plan skip:1 text
run eval perplexity --big big.gguf --window 32 --plan cut.json text
[ "$rc" = 3 ] && grep -q "^pilotfish: the text has id 24, which the plan's head has not" err ||
    wrong "perplexity under a cut head: exit $rc"
does . bench step --big big.gguf --rows 1 --contexts 0 --rounds 1 --plan skip:1

# --- KV belongs to the plan's entries ---------------------------------------------------------------------------------

# kv MIB ARGUMENT...
kv() {
    does . generate --big big.gguf --raw -n 1 --ctx 512 --prompts many.jsonl --parallel 16 "${@:2}"
    grep -q " $1 MiB of KV" err || wrong "${*:2}: not $1 MiB of KV"
}
kv 3
kv 1 --plan layerskip:2
kv 6 --plan ode:0x8

# --- inspect ----------------------------------------------------------------------------------------------------------

does 'attention   #3\.\.$' inspect big.gguf --plan ode:0,1x3@.5,2m
does 'mlp         #3#\.$' inspect big.gguf --plan ode:0,1x3@.5,2m
does 'KV caches   4 of 4$' inspect big.gguf --plan ode:0,1x3@.5,2m
does 'runs        0-1,3, then' inspect --big big.gguf --plan skip:2
does '"runs": "ode:0,1x3@0.5,2m"' inspect big.gguf --plan ode:0,1x3@.5,2m -o jsonl

# --- search -----------------------------------------------------------------------------------------------------------

seq 400 > text
search=(plan search --big big.gguf --window 64 --remove 2 -o jsonl text)
does '"off": 2, .*"plan": "skip:[0-3],[0-3]"' "${search[@]}"
cp out curve && cp plan.json.log log && cp plan.json found.json
scored=(eval perplexity --big big.gguf --window 64)
does . "${scored[@]}" --plan found.json -o jsonl text
grep -q "$(number perplexity curve)" out || wrong "the plan's perplexity is not that of the search"
does . "${scored[@]}" --plan found.json --agreement whole -o jsonl text
for name in perplexity agreement; do
    grep -q "$(number $name curve)" out || wrong "$name beside that of the whole is not that of the search"
done
cp out expected
does . "${scored[@]}" --plan found.json --agreement whole -o jsonl --tp 2 --pp 2 text
cmp -s out expected || wrong "other layouts agree otherwise"
does '^100.00 % of the likeliest tokens are those under ode:0,1x4@.5,3$' \
    "${scored[@]}" --plan ode:0,1x4@.5,3 --agreement ode:0,1x4@.5,3 text
# A coarse schedule agrees with the fine one as it stands: its perplexity is that of being served.
does . "${scored[@]}" --plan ode:0,1x2@1,3 -o jsonl text
does "$(number perplexity out), .*\"agreement\": 0.[0-9]*" \
    "${scored[@]}" --plan ode:0,1x2@1,3 --agreement ode:0,1x4@.5,3 -o jsonl text
refuses 2 "--agreement compares --plan with another plan" "${scored[@]}" --agreement whole text
run "${scored[@]}" --plan ode:0,1x3,3 --agreement whole text
[ "$rc" = 3 ] && grep -q "^pilotfish: the plan of a text: block 1 more often than the served plan has it$" err ||
    wrong "a plan that is no part of the other: exit $rc"
# The best of all that were scored at each step, in any layout, and also when it goes on after a kill.
for off in 1 2; do
    commas=$([ $off = 1 ] && echo '^[^,]*$' || echo ',') # in the plan's spelling
    best=$(tail -n +2 log | sed 's/{"plan": "\([^"]*\)", "lp_token": \([^,]*\),.*/\2 \1/' | grep -- "$commas" | sort -g | tail -1)
    grep -q "\"off\": $off, .*\"plan\": \"${best#* }\"" curve || wrong "off $off: not $best"
done
does . "${search[@]}" --save other.json --tp 2 --pp 3 --threads 1
cmp -s out curve && cmp -s other.json.log log || wrong "other layouts search otherwise"
over 3 does . "${search[@]}" --save other.json --pp 2 --threads 1
cmp -s out curve && cmp -s other.json.log log || wrong "ranks search otherwise"
head -c 500 log > plan.json.log
does . "${search[@]}" --resume
cmp -s out curve && cmp -s plan.json found.json || wrong "a search that was resumed ends otherwise"
cmp -s plan.json.log log || wrong "what was known was scored again"
does '"off": 2, .*"plan": "skip:[0-3][am]*,*[0-3]*[am]*"' "${search[@]}" --parts --by agreement --save parts.json
run plan search --big big.gguf --window 32 --resume text
[ "$rc" = 2 ] && grep -q "^pilotfish: .* is of another model, text or --window" err || wrong "went on with another window"
refuses 2 "none.json.log: No such file" plan search --big big.gguf --save none.json --resume text
refuses 2 "none/plan.json.log: No such file" plan search --big big.gguf --save none/plan.json text
mkdir folder
refuses 2 "--save folder: Is a directory" plan search --big big.gguf --save folder text
[ ! -e folder.log ] || wrong "a search that cannot begin leaves a log"
ln -s /dev/full full.json
run "${search[@]}" --save full.json
[ "$rc" = 1 ] && grep -q "^pilotfish: full.json: No space left on device$" err || wrong "a plan that is not written: exit $rc"
refuses 2 "the model has 4" plan search --big big.gguf --remove 4 text
refuses 2 "plan search needs a text" plan search --big big.gguf

# --- no plan ----------------------------------------------------------------------------------------------------------

for command in "generate --big big.gguf x" "inspect big.gguf" "bench step --big big.gguf --rows 1 --contexts 0"; do
    refuses 3 "block 4, but the model has blocks 0 to 3" $command --plan skip:4
    refuses 2 "skip:4-: cannot be read" $command --plan skip:4-
    refuses 2 "none.json: No such file" $command --plan none.json
done
over 3 refuses 3 "block 4, but the model has blocks 0 to 3" generate --big big.gguf --pp 2 --plan skip:4 x
refuses 4 "the plan has 2 entries: use --pp 2 or less" generate --big big.gguf --pp 3 --plan layerskip:2 x

verdict
