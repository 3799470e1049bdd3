#!/usr/bin/env bash
# scripts/figures, bench-pair, bench-exits, bench-arrival, compare-llama, compare-servers and uneven-stages on toys:
# numbers, a table that marks the best, a picture. And what they say where something is missing.
#   figures.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 figures=$3/figures
. "$(dirname "$0")/lib/cli.bash"
"$tiny" big.gguf && "$tiny" little.gguf --left-out 2 || wrong "no toy models"
for i in 1 2 3; do
    for kind in translation summarization; do
        echo "{\"category\": \"$kind\", \"question_id\": $i, \"turns\": [\"The little friend said $i\"]}"
    done
done > prompts
command=("$figures" bild --program "$pilotfish" --big big.gguf --little little.gguf --prompts prompts --each 2 -n 16)

n_checks=20
"${command[@]}" --thresholds "0.1,0 0.1,4" --out made -- --raw --ignore-eos > out 2> err || wrong "exit $?"
[ "$(grep -vc '^#' made/bild.tsv)" = 4 ] || wrong "not two rows a kind"
grep -Pq '^translation\t0.1\t0\t[0-9.]+\t100.0\t1.0\t1.0\t' made/bild.tsv || wrong "a rollback of 0 is not exact"
[ "$(grep -c '^\*' made/bild.txt)" -ge 2 ] || wrong "no kind has a best pair"
cmp -s out made/bild.txt || wrong "what is printed is not what is kept"
for kind in translation summarization; do
    grep -q 'ROUGE-L against big' "made/bild-$kind.svg" || wrong "no picture of $kind"
done
"${command[@]}" --thresholds "0.1,0 0.1,4" --net-delay 0,2 --out far -- --raw --ignore-eos > out 2> err ||
    wrong "over networks: exit $?: $(cat err)"
{ [ "$(grep -c '^translation, round trip [04] ms: .* exact speculation writes at [0-9.]*x$' out)" = 2 ] &&
    [ "$(grep -vc '^#' far/bild.tsv)" = 8 ] && [ "$(grep -c '"rtt_ms": 4.0' far/bild.jsonl)" = 4 ] &&
    awk -F'\t' '!/^#/ && ($4 / $12 - $13) ^ 2 > 1e-6 { exit 1 }' far/bild.tsv; } || wrong "over networks: other rows"
"$3/report" far/bild.jsonl --out far.html > out 2> err || wrong "report: exit $?: $(cat err)"
[ "$(grep -o 'data-name="[^"]*"' far.html | sort | uniq -c | awk '{print $1}' | sort -u)" = 2 ] ||
    wrong "report: not BiLD and exact at each round trip for each kind"
"${command[@]}" --each 9 --out no > out 2> err
rc=$?
{ [ "$rc" = 1 ] && grep -q '^figures: prompts: 3 prompts of kind translation, 9 wanted' err; } ||
    wrong "too few prompts: exit $rc"
"${command[@]}" --kinds translation --thresholds "0.1,x" --out no > out 2> err
rc=$?
{ [ "$rc" = 1 ] && grep -q '^figures: pilotfish gave 2: .*--rollback x: not a number' err; } ||
    wrong "a wrong threshold: exit $rc"
[ ! -e no ] || wrong "a figure that failed left a folder"

timed=("$3/bench-pair" --program "$pilotfish" --big big.gguf --prompts prompts --kinds translation,summarization)
timed+=(--each 2 --rounds 2 -n 16 --seconds 0.05)
"${timed[@]}" --little little.gguf -- --raw --ignore-eos > out 2> err || wrong "bench-pair: exit $?: $(cat err)"
{ [ "$(grep -cP '^(translation|summarization)( +[0-9.]+){5} +[0-9]+% +[0-9.]+$' out)" = 2 ] &&
    grep -q '^read loop [0-9.]* GB/s$' out; } || wrong "bench-pair: no table"
{ "${timed[@]}" -o jsonl -- --raw --ignore-eos > out 2> err &&
    grep -q '"kind": "translation", .*"ratio": ' out; } || wrong "bench-pair: no JSON"
"${timed[@]}" --optimum --rounds 1 --little little.gguf -- --raw --ignore-eos > out 2> err ||
    wrong "bench-pair --optimum: exit $?: $(cat err)"
[ "$(grep -cP '^(translation|summarization)( +[0-9.]+){6} +[0-9]+% +[0-9.]+$' out)" = 2 ] ||
    wrong "bench-pair: no optimum"

# An exit behind all blocks is always right: of 24 tokens 23 follow the first, 2 or 4 drafts and one more at a time.
exits=("$3/bench-exits" --program "$pilotfish" --big big.gguf --prompts prompts -n 24 --drafts 2,4)
"${exits[@]}" --exits 2,4 -o csv -- --raw --ignore-eos > out 2> err || wrong "bench-exits: exit $?: $(cat err)"
[ "$(head -n 1 out)" = exit,draft_max,accepted,tokens_verify,blocks_token,blocks_plain,tokens_s,plain_s,speed ] ||
    wrong "bench-exits: other columns"
{ [ "$(wc -l < out)" = 5 ] && grep -q '^4,2,1.0,2.875,4.0,4,' out && grep -q '^4,4,1.0,4.6,4.0,4,' out; } ||
    wrong "bench-exits: a whole model as its own drafter is not always right: $(cat out)"
"$pilotfish" bench pair --big big.gguf --prompts prompts -n 24 --raw --ignore-eos --guard off --draft-max 4 \
    --draft-plan layerskip:2 -o jsonl > pairs 2> err
blocks=$(python3 -c 'import json
rows = [json.loads(line)["drafts"] for line in open("pairs")]
print(round(sum(2 * r["drafted"] + 4 * r["verifies"] for r in rows) / sum(r["tokens"] - 1 for r in rows), 4))')
grep -q "^2,4,0.[0-9]*,[0-9.]*,$blocks,4," out || wrong "bench-exits: not $blocks blocks a token"
"${exits[@]}" --exits 1 --kinds translation --each 1 --launch "$3/mpirun -n 3" -- --raw --ignore-eos --pp 2 > out 2> err
{ [ "$(grep -cP '^ +1 +[24] +[0-9.]+% +[0-9.]+ +[0-9.]+ +4 +[0-9.]+ +[0-9.]+ +[0-9.]+$' out)" = 2 ]; } ||
    wrong "bench-exits over ranks: no table: $(cat err)"
"$2" side.gguf --side big.gguf --exit 3 || wrong "no side file" # a copy of the last block: as good as it
"${exits[@]}" --side side.gguf --exits 3 -o csv -- --raw --ignore-eos > out 2> err ||
    wrong "bench-exits --side: exit $?"
{ [ "$(wc -l < out)" = 3 ] && grep -q '^3,2,1.0,2.875,4.0,4,' out; } || wrong "bench-exits --side: $(cat out err)"
"${exits[@]}" --exits 2-5 > out 2> err
rc=$?
{ [ "$rc" = 1 ] && grep -q '^bench-exits: --exits 2-5: the model has 4 blocks$' err; } || wrong "bench-exits: exit $rc"
"${exits[@]}" --exits 2 -n 1 -- --raw > out 2> err
rc=$?
[ "$rc $(cat err)" = "1 bench-exits: each text ended with its first token: nothing to draft" ] ||
    wrong "bench-exits of one token: exit $rc: $(cat err)"
"${exits[@]}" --program ./none --exits 2 > out 2> err
rc=$?
{ [ "$rc" = 1 ] && grep -q '^bench-exits: .*none' err && [ "$(wc -l < err)" = 1 ]; } ||
    wrong "bench-exits without a program: exit $rc: $(cat err)"

"$figures" acceptance --program "$pilotfish" --big big.gguf --little big.gguf --prompts prompts --kinds translation \
    --each 2 -n 40 --draft-vocab 100 --out made -- --raw --ignore-eos > out 2> err ||
    wrong "acceptance: exit $?: $(cat err)"
grep -qP '^translation     as it is ( +1.00){8} +0.0%$' out || wrong "acceptance: a model is not always of its own mind"
grep -qP '^translation     fewer ids ( *0\.[0-9]+){8} +[1-9][0-9.]*%$' out ||
    wrong "acceptance: nothing is out of reach of few ids"

# Two programs that print what llama.cpp's would: 1 s a pass of one row, 2 s of four; a prompt at 100 token/s.
mkdir bin
cat > bin/llama-batched-bench << 'END'
#!/bin/sh
echo main: loading
for i in 1 4; do echo "{\"pl\": $i, \"tg\": 8, \"t_tg\": $((i * 8))}"; done
END
cat > bin/llama-bench << 'END'
#!/bin/sh
echo '[{"avg_ts": 100}]'
END
# Drafts of 4 are its best: two texts of 10 tokens, a second each.
cat > bin/llama-speculative-simple << 'END'
#!/bin/sh
case "$*" in *"--spec-draft-n-max 4 "*) took=1 ;; *) took=2 ;; esac
echo "decoded   10 tokens in    $took.000 seconds, speed:   not read t/s" >&2
END
chmod +x bin/*
"${timed[@]}" --llama bin --llama-each 2 --rounds 1 --little little.gguf -- --raw --ignore-eos > out 2> err ||
    wrong "bench-pair --llama: exit $?: $(cat err)"
{ [ "$(grep -cP '^(translation|summarization)( +[0-9.]+){5} +[0-9]+% +[0-9.]+ +10.00 +[0-9.]+$' out)" = 2 ] &&
    grep -q 'llama.cpp plain 100.00 token/s$' out; } || wrong "bench-pair: no llama.cpp"
beside=("$3/compare-llama" --program "$pilotfish" --rows 1,4 --rounds 2 --threads 1 --prompt 256 bin)
"${beside[@]}" big.gguf > out 2> err || wrong "compare-llama: exit $?: $(cat err)"
{ grep -qP '^ +4 +[0-9.]+ +4000.0 +[0-9.]+$' out && grep -qP '^prompt +[0-9.]+ +2560.0 +[0-9.]+$' out; } ||
    wrong "compare-llama: no table"
"${beside[@]}" gone.gguf > out 2> err
rc=$?
{ [ "$rc" = 1 ] && grep -q '^compare-llama: pilotfish gave 3: .*gone.gguf' err; } ||
    wrong "compare-llama: no model: exit $rc"

# A llama-server that is pilotfish's own, which knows these options by llama.cpp's names. A token takes a round trip.
slow="--net-delay 2 --self-max 0"
printf '#!/bin/sh\nexec "%s" serve "$@" --raw %s\n' "$pilotfish" "$slow" > bin/llama-server
chmod +x bin/llama-server
servers=("$3/compare-servers" --program "$pilotfish" --big big.gguf --prompts prompts --kinds translation,summarization)
servers+=(--each 2 --rounds 1 -n 12 --clients 1,3 --ctx 128 --threads 1 --raw --llama bin)
# shellcheck disable=SC2086
"${servers[@]}" --little little.gguf --llama-drafts "" -- $slow > out 2> err ||
    wrong "compare-servers: exit $?: $(cat err)"
for name in 'pilotfish --no-draft' 'pilotfish --little' 'llama.cpp' 'llama.cpp -md'; do
    [ "$(grep -cP "^ +[13]  $name *( +[0-9.]+){5}\$" out)" = 2 ] || wrong "compare-servers: not two rows of $name"
done
"${servers[@]}" --clients 3 -o jsonl -- $slow > out 2> err || wrong "compare-servers -o jsonl: exit $?: $(cat err)"
[ "$(grep -c '"server": "llama.cpp"' out) $(grep -c '"clients": 3' out) $(wc -l < out)" = '1 2 2' ] ||
    wrong "compare-servers: other rows of JSON"
"${servers[@]}" --ctx 8 > out 2> err
rc=$?
{ [ "$rc" = 1 ] && grep -q '^compare-servers: pilotfish: an answer has [0-9]* tokens, not 12$' err; } ||
    wrong "compare-servers: answers that are cut: exit $rc: $(cat err)"
"${servers[@]}" --llama . -- $slow > out 2> err
rc=$?
{ [ "$rc" = 1 ] && grep -q '^compare-servers: .*llama-server' err && [ "$(grep -c '^compare' err)" = 1 ]; } ||
    wrong "compare-servers: no llama-server: exit $rc: $(cat err)"

"$tiny" long.gguf --ctx 4096 || wrong "no toy model"
arrival=("$3/bench-arrival" --program "$pilotfish" --big long.gguf --clients 3 --prompt 400 --rounds 1 --threads 1)
"${arrival[@]}" --most 1e9 -- --no-draft $slow > out 2> err || wrong "bench-arrival: exit $?: $(cat err)"
{ grep -qP '^while 400 tokens are read +p50 [0-9.]+ ms, p99 [0-9.]+ ms, for [0-9.]+ s$' out &&
    grep -qP '^T\(19\) +[0-9.]+ ms$' out && grep -qP '^p99 / T +[0-9.]+, at most 1e\+09$' out; } ||
    wrong "bench-arrival: other numbers: $(cat out)"
"${arrival[@]}" --most 0.001 -- --no-draft $slow > out 2> err
[ "$? $(tail -n 1 out | grep -c 'at most 0.001$')" = '6 1' ] || wrong "bench-arrival: a wait that is too long passes"

stages=("$3/uneven-stages" --program "$pilotfish" --big big.gguf --threads 1,1 --rounds 1 -n 8)
"${stages[@]}" --most 1e9 -- --ignore-eos > out 2> err || wrong "uneven-stages: exit $?: $(cat err)"
for share in auto 'by bytes'; do
    grep -qP "^$share +[0-9]+,[0-9]+ +[0-9.]+,[0-9.]+ +[0-9.]+,[0-9.]+( +[0-9.]+){4}\$" out ||
        wrong "uneven-stages: no row of $share"
done
"${stages[@]}" --most 0.001 -- --ignore-eos > out 2> err
[ $? = 6 ] || wrong "uneven-stages: a pass that is too long passes"
verdict
