# Completion of `cargo xtask` for bash. In ~/.bashrc:  source <(cargo xtask completions bash)
__xtask_binary() {
    local folder=$PWD target=${CARGO_TARGET_DIR:-}
    while [[ -n $folder ]]; do
        if [[ -f $folder/tasks.toml || -f $folder/xtask/Cargo.toml ]]; then
            local binary=${target:-$folder/target}/xtask/xtask
            [[ -x $binary ]] && printf '%s' "$binary"
            return
        fi
        folder=${folder%/*}
    done
}

__xtask_complete() {
    if [[ ${COMP_WORDS[1]-} != xtask || $COMP_CWORD -lt 2 ]]; then
        if [[ -n ${__xtask_cargo_before-} ]]; then
            "$__xtask_cargo_before" "$@"
        elif [[ $COMP_CWORD -eq 1 && xtask == "${COMP_WORDS[1]}"* ]]; then
            COMPREPLY=(xtask)
        fi
        return
    fi
    local binary word line
    binary=$(__xtask_binary)
    [[ -n $binary ]] || return
    # `=` splits words for readline; here `--env=x` is one.
    local words=() index
    for ((index = 2; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if [[ ($word == "=" || ${COMP_WORDS[index - 1]} == "=") && ${#words[@]} -gt 0 && $index -gt 2 ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
    done
    COMPREPLY=()
    while IFS=$'\t' read -r word line; do
        [[ ${COMP_WORDS[COMP_CWORD - 1]} == "=" || ${COMP_WORDS[COMP_CWORD]} == "=" ]] && word=${word#*=}
        COMPREPLY+=("$word")
    done < <("$binary" complete -- "${words[@]}" 2>/dev/null)
}

__xtask_cargo_before=$(complete -p cargo 2>/dev/null | sed -n 's/.* -F \([^ ]*\) .*/\1/p')
[[ $__xtask_cargo_before == __xtask_complete ]] && __xtask_cargo_before=
complete -o default -F __xtask_complete cargo
