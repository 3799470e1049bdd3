#!/usr/bin/env bash
# What is installed: the program and its launching script work from their place, the man pages have no fault that mandoc
# finds, the completions of bash, zsh and fish offer what the program takes, the package has no error that lintian
# finds, and uninstall removes all of it.
#   installed.sh BUILD_FOLDER TINY
set -u
build=$1 tiny=$2 tests=$(cd "$(dirname "$0")" && pwd) n_wrong=0
folder=$(mktemp -d)
manifest=$build/uninstall.txt # of whoever works in this build
[ ! -e "$manifest" ] || mv "$manifest" "$folder/manifest"
trap '[ ! -e "$folder/manifest" ] || mv "$folder/manifest" "$manifest"; rm -rf "$folder"' EXIT
cd "$folder" || exit 1

wrong() {
    n_wrong=$((n_wrong + 1))
    echo "WRONG: $1"
}

cmake --install "$build" --prefix "$folder/prefix" > out 2>&1 || wrong "cmake --install: $(tail -n 3 out)"
unset PILOTFISH_MPIRUN
PATH=$folder/prefix/bin:$PATH share=$folder/prefix/share

# --- the program and its script ---------------------------------------------------------------------------------------

"$tiny" big.gguf && "$tiny" little.gguf --left-out 2 || wrong "no toy models"
pair=(generate --big big.gguf --little little.gguf -n 12 --raw Hello)
pilotfish "${pair[@]}" > alone 2> err || wrong "generate: $(cat err)"
pilotfish-mpirun -n 4 pilotfish "${pair[@]}" --tp 2 > ranks 2> err || wrong "over ranks: $(cat err)"
{ [ -s alone ] && cmp -s alone ranks; } || wrong "another text over ranks: $(cat alone ranks)"
pilotfish-mpirun -n 3 pilotfish "${pair[@]}" --tp 2 > out 2> err
[ $? = 4 ] || wrong "3 ranks in place of 4 are taken"
grep -q ': pilotfish-mpirun -n 4 pilotfish generate ' err || wrong "the corrected command is not told: $(cat err)"
pilotfish help generate | grep -q '^  pilotfish-mpirun -n 4 pilotfish generate ' || wrong "help has no example of ranks"
{ pilotfish help && pilotfish help generate && pilotfish-mpirun --help; } | grep scripts/ &&
    wrong "help names a script that is not installed"
pilotfish-mpirun true 2>&1 | grep -q 'as in pilotfish-mpirun -n 4' || wrong "the script does not know its name"

# --- man pages --------------------------------------------------------------------------------------------------------

commands=(help version generate chat 'eval compare' 'eval perplexity' 'eval pareto' 'eval rows' 'bench pair'
    'bench step' 'bench kernels' 'bench spec' 'bench serve' 'plan search' plan simulate serve tokenize inspect doctor config worker)
[ "$(pilotfish help | grep -c '^  pilotfish [a-z ]*[a-z]\( \|$\)')" -ge ${#commands[@]} ] || wrong "help lists fewer"
options_of() { pilotfish help "$1" | sed -n 's/^  \(-[a-z]*, \)\?\(--[a-z0-9-]*\).*/\2/p' | sort; }

cp -r "$share/man/man1" pages && gunzip -r pages
for command in '' "${commands[@]}" mpirun; do
    page=pages/pilotfish${command:+-${command// /-}}.1
    LC_ALL=C mandoc -Tlint -W warning "$page" || wrong "$page"
    LC_ALL=C.UTF-8 man --warnings -l -Tutf8 -Z "$page" 2>&1 > formatted | grep . && wrong "$page, says man"
    case $command in '' | mpirun) continue ;; esac
    mandoc -Tascii "$page" | col -b > formatted
    for option in $(options_of "$command"); do
        grep -q -- "^ \{7\}$option\b" formatted || wrong "pilotfish-$command(1) lacks $option"
    done
done
[ "$(ls pages | wc -l)" = $((${#commands[@]} + 2)) ] || wrong "man pages: $(ls pages)"

# --- completions ------------------------------------------------------------------------------------------------------

in_bash() {
    bash -c '. "$1/bash-completion/completions/pilotfish"
        read -r -a COMP_WORDS <<< "${2//=/ = }"
        [[ $2 != *[\ =] ]] || COMP_WORDS+=("")
        [[ $2 != *= ]] || unset "COMP_WORDS[-1]"
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _pilotfish; printf "%s\n" "${COMPREPLY[@]}"' bash "$share" "$1"
}
in_zsh() { timeout 20 zsh -f "$tests/lib/complete.zsh" "$share/zsh/site-functions" "$1"; }
in_fish() { # which gives a value with its option, if they are one word
    fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$share/fish/vendor_completions.d/pilotfish.fish" "$1" |
        sed 's/\t.*//; s/^--[a-z0-9-]*=//'
}

# offers LINE WORD...: what follows the line, in each shell.
offers() {
    local shell found
    for shell in bash zsh fish; do
        found=$("in_$shell" "$1" | sort | tr '\n' ' ')
        [ "$found" = "$(printf '%s\n' "${@:2}" | sort | tr '\n' ' ')" ] || wrong "$shell, after '$1': $found"
    done
}

offers 'pilotfish ' help version generate chat serve eval bench plan simulate tokenize inspect doctor config worker
offers 'pilotfish gen' generate
offers 'pilotfish eval ' compare pareto perplexity rows
offers 'pilotfish bench k' kernels
offers 'pilotfish plan ' search
offers 'pilotfish plan --g' --goal
offers 'pilotfish plan search --rem' --remove
offers 'pilotfish plan --goal ' latency throughput
offers 'pilotfish help to' tokenize
offers 'pilotfish help bench s' serve spec step
offers 'pilotfish generate --th' --think --threads
offers 'pilotfish worker --ro' --role
offers 'pilotfish generate --think ' auto off on
offers 'pilotfish generate --think=o' off on
offers 'pilotfish generate --guard ' on off
offers 'pilotfish worker --role d' drafter
offers 'pilotfish bench step -md li' little.gguf
offers 'pilotfish eval perplexity bi' big.gguf
offers 'pilotfish inspect bi' big.gguf
for command in "${commands[@]}"; do
    case $command in config | help) continue ;; esac # it takes the options of all; names of commands follow it
    options_of "$command" > options
    for shell in bash fish; do
        "in_$shell" "pilotfish $command --" | sort | diff - options > out || wrong "$shell, $command: $(cat out)"
    done
done
in_zsh 'pilotfish generate --' | sort > out
[ -z "$(options_of generate | comm -23 - out)" ] || wrong "zsh lacks options: $(options_of generate | comm -23 - out)"

# --- the package ------------------------------------------------------------------------------------------------------

(cd "$build" && cpack -B "$folder/package") > out 2>&1 || wrong "cpack: $(tail -n 3 out)"
lintian --allow-root --fail-on error package/*.deb > out 2>&1 || wrong "lintian: $(cat out)"
dpkg-deb -f package/*.deb Depends | grep -qiE 'cuda|nvidia|cmocka' && wrong "the package needs what only some have"
dpkg-deb -c package/*.deb | grep -E '/(tests?|tiny|pilotfish_docs|usr/local)(/|$)' && wrong "the package has too much"

# --- and away again ---------------------------------------------------------------------------------------------------

cmake --build "$build" --target uninstall > out 2>&1 || wrong "uninstall: $(tail -n 3 out)"
find prefix -not -type d | grep . && wrong "uninstall leaves these"
find prefix -path '*/doc/pilotfish*' | grep . && wrong "uninstall leaves our folder"
cmake --build "$build" --target uninstall > out 2>&1 && wrong "nothing is installed, and is removed"
tr -s '\n ' ' ' < out | grep -q 'nothing was installed from this build' || wrong "uninstall does not tell that" # wrapped
echo "$n_wrong wrong"
[ "$n_wrong" = 0 ]
