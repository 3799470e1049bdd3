#!/usr/bin/env bash
# Options from a file, the environment and the command line: which counts, where it is from, and what is wrong in a
# file.
#   config.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 mpirun=$3/mpirun source=$3/..
. "$(dirname "$0")/lib/cli.bash"
"$tiny" big.gguf && "$tiny" little.gguf --left-out 2 || wrong "no toy models"

# shows LINE ARGUMENT...: config --show has the line.
shows() {
    run config --show "${@:2}"
    [ "$rc" = 0 ] || wrong "config --show ${*:2}: exit $rc"
    grep -qxF -- "$1" out || wrong "config --show ${*:2}: no line '$1'"
}

# --- which counts -----------------------------------------------------------------------------------------------------

cat > all.ini << 'END'
# A comment, and an empty line.

big = big.gguf
little = little.gguf ; and one behind a value
n-predict = 12
guard = off
raw = yes
ignore-eos = no
top-p = 0.5
stop = one
stop = two
END
shows "; n-predict = 0 ; default"
shows "; big is not given"
shows "; api-key is given, and not shown ; command line" --api-key hush
shows "n-predict = 12 ; all.ini" --config all.ini
shows "n-predict = 12 ; all.ini" --config=all.ini
shows "little = little.gguf ; all.ini" --config all.ini
shows "; draft = little ; default" --config all.ini
shows "guard = off ; all.ini" --config all.ini
shows "raw = yes ; all.ini" --config all.ini
shows "; ignore-eos = no ; default" --config all.ini
shows "stop = two ; all.ini" --config all.ini
shows "n-predict = 7 ; command line" --config all.ini -n 7
PILOTFISH_N_PREDICT=9 PILOTFISH_GUARD=on shows "n-predict = 9 ; PILOTFISH_N_PREDICT" --config all.ini
PILOTFISH_N_PREDICT=9 shows "n-predict = 7 ; command line" --config all.ini -n 7
PILOTFISH_CONFIG=all.ini shows "n-predict = 12 ; all.ini"
shows "; net-delay = 0 ; default"
shows "net-delay = 2.5 ; command line" --net-delay 2.5
shows "net-delay = 20,drafter=0.5 ; command line" --net-delay 20,drafter=.5
cp out shown.ini
shows "net-delay = 20,drafter=0.5 ; shown.ini" --config shown.ini
shows "stop = three ; command line" --config all.ini --stop three
[ "$(grep -c '^stop' out)" = 1 ] || wrong "the file's stops are added to the line's"
# The file's little model is no reason to refuse it.
shows "draft = suffix ; command line" --config all.ini --draft suffix
shows "draft = suffix ; command line" --config all.ini --draft ngram # its other name
shows "; little is not given" --config all.ini --draft suffix
shows "draft-plan = fast=layerskip:2 ; command line" --draft-plan fast=layerskip:2
shows "draft-plan = most=skip:1 ; command line" --draft-plan fast=layerskip:2 --draft-plan most=skip:1
shows "; draft-plan is not given" --depth 2,8 --accept bild
shows "draft-plan = half=layerskip:1 ; command line" --draft-plan half=layerskip:1 --depth 2,8
grep -qx "; draft = none ; default" out || wrong "--draft-plan changes --draft"
run config --show --config all.ini --tp 2
cp out shown.ini
shows "tp = 2 ; shown.ini" --config shown.ini # what is shown is such a file
run config --show --tp 2 --stop $'\n\n' --stop ' ;' --system 'a ; b' --prompt 'a;b' --raw
cp out shown.ini
shows "tp = 2 ; shown.ini" --config shown.ini # also where a value cannot stand in one
shows "prompt = a;b ; shown.ini" --config shown.ini
grep -qxF '; stop = "\n\n", which no line of a file can say ; command line' shown.ini || wrong "a stop of two newlines"
[ "$(grep -c '^\(stop\|system\)' out)" = 0 ] || wrong "a text that a line of a file cannot say was cut"

# --- it is what runs --------------------------------------------------------------------------------------------------

sed -i '/^stop/d' all.ini
does . generate --big big.gguf --little little.gguf --guard off --raw -n 12 hello
cp out plain
does . generate --config all.ini hello
cmp -s out plain || wrong "a file's options are not those of the line"
PILOTFISH_CONFIG=all.ini over 3 does . generate hello
cmp -s out plain || wrong "the ranks do not see the file's options"
refuses 2 "--top-p: it needs sampling" generate --config all.ini --top-p 0.5 hello
echo "prompt = not this" >> all.ini
does . generate --config all.ini hello
cmp -s out plain || wrong "a prompt on the line does not replace the file's"

# --- what is wrong ----------------------------------------------------------------------------------------------------

# bad TEXT PATTERN: the file is refused, with the number of its line.
bad() {
    printf '%b' "$1" > bad.ini
    refuses 2 "$2" generate --config bad.ini hello
}
bad 'big = x\nlitle = y\n' 'bad.ini:2: there is no option litle; did you mean little?'
bad 'frobnicate = y\n' 'bad.ini:1: there is no option frobnicate'
bad '\n\nn-predict = many\n' 'bad.ini:3: --n-predict many: not a whole number'
bad 'raw = perhaps\n' 'bad.ini:1: raw perhaps: must be yes or no'
bad 'big = x\nbig = y\n' 'bad.ini:2: --big is given twice'
bad 'big = x\njust words\n' 'bad.ini:2: not NAME = VALUE'
bad '[generate]\nbig = x\n' 'bad.ini:2: \[generate\]: there are no sections'
bad 'config = other.ini\n' 'bad.ini:1: there is no option config'
bad "big = $(printf '%0300d' 1)\n" 'bad.ini:1: longer than'
printf 'big = a\0b\n' > bad.ini
refuses 2 "bad.ini:1: " generate --config bad.ini hello
refuses 2 "gone.ini: No such file" generate --config gone.ini hello
refuses 2 "cannot be read" generate --config . hello
PILOTFISH_CTX=1 refuses 2 "PILOTFISH_CTX: --ctx 1: must be from" generate --big big.gguf hello
refuses 2 "config needs an option: pilotfish config --show" config
refuses 2 "did you mean --show" config --sow

printf '\357\273\277n-predict = 8\r\nraw = yes\r\n' > windows.ini
shows "n-predict = 8 ; windows.ini" --config windows.ini
shows "raw = yes ; windows.ini" --config windows.ini

# --- variables that look like ours ------------------------------------------------------------------------------------

notes() {
    grep -q -- "^note: $1" err || wrong "no note '$1'"
    [ "$(grep -c '^note: ' err)" = 1 ] || wrong "not one note"
}
PILOTFISH_THREDS=2 shows "; threads = 0 ; default"
notes "PILOTFISH_THREDS has no effect: there is no such option; did you mean PILOTFISH_THREADS?"
PILOTFISH_MODLES=x does . version
[ ! -s err ] || wrong "version reads the environment"
PILOTFISH_MODLES=x does . generate --big big.gguf --raw -n 2 hello
notes "PILOTFISH_MODLES has no effect: there is no such option; did you mean PILOTFISH_MODELS?"
PILOTFISH_FROBNICATE=x over 2 does . generate --big big.gguf --raw -n 2 hello
notes "PILOTFISH_FROBNICATE has no effect: there is no such option$"
ranks=(env $'PILOTFISH_\e[31m\nX=1')
does . generate --big big.gguf --raw -n 2 hello
ranks=()
notes 'PILOTFISH_[^[:cntrl:]]* has no effect'
PILOTFISH_MAX_TOKENS=9 shows "n-predict = 9 ; PILOTFISH_N_PREDICT" # an alias will do, as on the line
printf 'max_tokens = 8\n' > alias.ini
shows "n-predict = 8 ; alias.ini" --config alias.ini

# Every variable that the program and its scripts look at is known.
known=$(cd "$source" && { grep -rhoE 'getenv\("PILOTFISH_[A-Z_]+' coordinator proto worker kernels main.c cluster.c
    grep -rhoE '(\$\{?|export |environ.*")PILOTFISH_[A-Z_]+' scripts; } | grep -oE 'PILOTFISH_[A-Z_]+' | sort -u)
[ "$(wc -w <<< "$known")" -ge 6 ] || wrong "few variables were found: $known"
for name in $known; do
    env "$name=1" "$pilotfish" config --show > out 2> err
    grep -q "^note: $name" err && wrong "$name is not known"
done
verdict
