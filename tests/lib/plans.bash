# What tests of plans share (sourced, with cli.bash behind it, which leaves the folder; `ask` is a call of
# `generate -o jsonl`).

# writes FILE ARGUMENT...: ids and log-probabilities into FILE.
writes() {
    does . "${ask[@]}" "${@:2}"
    grep -o '"ids": .*"origin"' out > "$1"
}

# drafts ARGUMENT...: with drafts, and big's own text, which is in the file `whole`.
drafts() {
    writes found --guard off --draft-max 4 "$@"
    cmp -s found whole || wrong "$*: not big's own text"
    grep -q '"drafted": [1-9]' out || wrong "$*: nothing was drafted"
}

# number NAME FILE: as the last line of lines of JSON has it.
number() { tail -1 "$2" | grep -o "\"$1\": [0-9.]*" || echo "no $1 in $2"; }
