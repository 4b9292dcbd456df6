# Completion of `cargo xtask` for bash. In ~/.bashrc:  source <(cargo xtask completions bash)

# The binary that cargo has built: asking cargo takes longer than a completion may.
__xtask_binary() {
    local folder=$PWD binary
    while :; do
        binary=${CARGO_TARGET_DIR:-$folder/target}/xtask/xtask
        if [[ -x $binary ]]; then
            printf '%s' "$binary"
            return
        fi
        [[ -n $folder ]] || break
        folder=${folder%/*}
    done
    type -P xtask
}

# The words of cargo that are not ours: to the completion that was there before, or that bash-completion has for it.
__xtask_cargo() {
    if [[ -z $__xtask_cargo_before ]]; then
        if declare -F _comp_load >/dev/null; then
            _comp_load cargo
        elif declare -F _completion_loader >/dev/null; then
            _completion_loader cargo
        fi >/dev/null 2>&1
        __xtask_remember
        complete -o default -F __xtask_complete cargo
    fi
    if [[ -n $__xtask_cargo_before ]]; then
        "$__xtask_cargo_before" "$@"
    fi
    if [[ $COMP_CWORD -eq 1 && xtask == "${COMP_WORDS[1]}"* ]]; then
        COMPREPLY+=(xtask)
    fi
}

__xtask_complete() {
    local first=2 binary word line index
    if [[ ${1##*/} == xtask ]]; then
        first=1
    elif [[ ${COMP_WORDS[1]-} != xtask || $COMP_CWORD -lt 2 ]]; then
        __xtask_cargo "$@"
        return
    fi
    COMPREPLY=()
    binary=$(__xtask_binary) || return
    # `=` splits words for readline; here `--env=x` is one.
    local words=()
    for ((index = first; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if [[ ${#words[@]} -gt 0 && ($word == "=" || ${COMP_WORDS[index - 1]} == "=") ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
    done
    while IFS=$'\t' read -r word line; do
        # readline replaces what stands behind the `=` alone.
        [[ ${COMP_WORDS[COMP_CWORD - 1]} == "=" || ${COMP_WORDS[COMP_CWORD]} == "=" ]] && word=${word#*=}
        COMPREPLY+=("$word")
    done < <("$binary" complete -- "${words[@]}" 2>/dev/null)
}

__xtask_remember() {
    local rule
    rule=$(complete -p cargo 2>/dev/null)
    __xtask_cargo_before=
    if [[ $rule =~ -F\ ([^ ]+) && ${BASH_REMATCH[1]} != __xtask_complete ]]; then
        __xtask_cargo_before=${BASH_REMATCH[1]}
    fi
}

__xtask_remember
complete -o default -F __xtask_complete cargo xtask
