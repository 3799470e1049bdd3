# zsh -f complete.zsh FOLDER WORDS: what zsh offers after the words, a line each, with _pilotfish of the folder. zsh
# completes only at a terminal, so another zsh has one (zpty), in which compadd prints what it is given.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; stty -echo -onlcr; unsetopt zle; fpath=($1 \$fpath); setopt zle"
zpty -w shell 'autoload -Uz compinit && compinit -D -u
compadd() {
    local -a found
    [[ " ${@[1,(i)(-|--)]}" == *\ -(O|A|D)\ * ]] && { builtin compadd "$@"; return }
    builtin compadd -A found "$@"
    print -rl -- "found "$^found
}
complete_and_end() { print; _main_complete; print end of completion; exit }
zle -C complete_and_end complete-word complete_and_end
bindkey "^I" complete_and_end
print ready'
while zpty -r shell line; do [[ $line == ready* ]] && break; done
zpty -w -n shell "$2"$'\t'
while zpty -r shell line; do
    line=${line%%[$'\r\n']*}
    [[ $line == 'end of completion'* ]] && break
    [[ $line == 'found '* ]] && print -r -- ${line#found }
done
zpty -d shell
