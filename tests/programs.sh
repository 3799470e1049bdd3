#!/usr/bin/env bash
# Ranks: 2 to 4. Several programs in one launch: the coordinator with the prompt and the configuration, and workers who
# know nothing but their own model.
#   programs.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 mpirun=$3/mpirun hostile=$3/../tests/lib/hostile_gguf.py
. "$(dirname "$0")/lib/cli.bash"
"$tiny" big.gguf && "$tiny" little.gguf --left-out 2 && "$tiny" other.gguf --seed 2 || wrong "no toy models"
python3 "$hostile" big.gguf . > cases || wrong "no model of another vocabulary"
"$pilotfish" generate --big big.gguf --raw -n 40 hello > alone 2> err

# launch CODE PATTERN ARGUMENT...: the whole launch; the pattern is in what it says.
launch() {
    n_checks=$((n_checks + 1))
    timeout 120 "$mpirun" "${@:3}" > out 2> err < /dev/null
    rc=$?
    [ "$rc" = "$1" ] || wrong "${*:3}: exit $rc, not $1"
    cat out err | grep -aq -- "$2" || wrong "${*:3}: does not say '$2'"
    [ "$1" = 0 ] || [ "$(grep -c '^pilotfish: ' err)" = 1 ] || wrong "${*:3}: not one line"
}

# writes ARGUMENT...: the launch gives the text of big alone.
writes() {
    launch 0 "first token after" "$@"
    cmp -s out alone || wrong "$*: another text than big alone"
}

big=("$pilotfish" worker --role verifier --model big.gguf)
little=("$pilotfish" worker --role drafter --model little.gguf)
printf 'raw = yes\nn-predict = 40\nguard = off\nprompt = hello\n' > own.ini
own=("$pilotfish" generate --config own.ini --big big.gguf)

writes -n 1 "${own[@]}" --little little.gguf --tp 2 : -n 1 "${little[@]}" : -n 2 "${big[@]}" --threads 1
# --stats says what computes, worker by worker.
writes -n 1 "${own[@]}" --draft suffix --pp 2 --stats : -n 1 "${big[@]}" --threads 2 : -n 1 "${big[@]}" --threads 1
says=$(sed -nE 's/^(verifier) on host [^ ]+: (. threads?), (ref|avx2|avx512|amx, tiles from .*); rank .*, blocks .* MiB of KV, reads .* GB\/s$/\1 \2/p' err | sort)
[ "$says" = $'verifier 1 thread\nverifier 2 threads' ] || wrong "--stats says of its workers: $says"
writes -n 1 "${own[@]}" --little little.gguf : -n 2 "$pilotfish" worker --model big.gguf
# Rank 0 has no model's file.
bare=("$pilotfish" generate --config own.ini)
writes -n 1 "${bare[@]}" --draft little --tp 2 : -n 1 "${little[@]}" : -n 2 "${big[@]}" --threads 1
writes -n 1 "${bare[@]}" --pp 2 : -n 2 "${big[@]}" --threads 1
writes -n 1 "${bare[@]}" --little little.gguf : -n 1 "${little[@]}" : -n 1 "${big[@]}"
launch 3 "gone.gguf: cannot be opened" \
    -n 1 "${bare[@]}" --draft little : -n 1 "${little[@]}" : -n 1 "$pilotfish" worker --model gone.gguf
launch 3 "the vocabularies differ" \
    -n 1 "${bare[@]}" --draft little : -n 1 "$pilotfish" worker --model other_word.gguf : -n 1 "${big[@]}"
LC_ALL=C sed 's/{% for message/{% fur message/' big.gguf > untold.gguf
launch 3 "the model of peer 1 has no chat template" \
    -n 1 "$pilotfish" chat : -n 1 "$pilotfish" worker --model untold.gguf
launch 2 "generate needs a model" -n 1 "${bare[@]}"
launch 2 "rank 1 is a verifier here, but has no model" -n 2 "${bare[@]}"

launch 2 "here, but has no model for that" \
    -n 1 "${own[@]}" --little little.gguf : -n 1 "${big[@]}" : -n 1 "${little[@]}"
launch 4 "3 ranks, but --tp 1 --pp 1 takes 2" -n 1 "${own[@]}" : -n 2 "${big[@]}"
launch 3 "gone.gguf: cannot be opened" -n 1 "${own[@]}" : -n 1 "$pilotfish" worker --model gone.gguf
# A model is missing on one host: the command that is told works.
launch 3 "gone.gguf: cannot be opened: .* (host .*, rank 2)" -n 2 "${own[@]}" --pp 3 : \
    -n 1 "${bare[@]}" --big gone.gguf --pp 3 : -n 1 "${own[@]}" --pp 3
grep -q -- '-n 2 pilotfish ... : -n 1 pilotfish worker --model FILE : -n 1 pilotfish ...$' err ||
    wrong "a missing model: $(cat err)"
writes -n 2 "${own[@]}" --pp 3 : -n 1 "$pilotfish" worker --model big.gguf : -n 1 "${own[@]}" --pp 3
launch 3 "are different models" -n 1 "${own[@]}" --tp 2 : -n 1 "${big[@]}" : -n 1 "$pilotfish" worker --model other.gguf
launch 2 "worker computes for a coordinator on rank 0" -n 2 "${big[@]}"
launch 2 "unknown option --nonsense" -n 1 "${own[@]}" : -n 1 "${big[@]}" --nonsense
launch 2 "unknown option --nonsense" -n 1 "${own[@]}" : -n 1 "${own[@]}" --nonsense
launch 2 "unknown option --nonsense" -n 1 "${own[@]}" --tp 4 : -n 4 "${own[@]}" --tp 4 --nonsense
launch 0 "ranks  *2" -n 1 "$pilotfish" doctor : -n 1 "${big[@]}"
refuses 2 "worker computes for a coordinator on rank 0" worker --model big.gguf
refuses 2 "worker needs a model" worker
verdict
