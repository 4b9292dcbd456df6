# Completion of `cargo xtask` for zsh. In ~/.zshrc, behind compinit:  source <(cargo xtask completions zsh)

# The binary that cargo has built: asking cargo takes longer than a completion may.
__xtask_binary() {
    local folder=$PWD binary
    while :; do
        binary=${CARGO_TARGET_DIR:-$folder/target}/xtask/xtask
        if [[ -x $binary ]]; then
            print -rn -- "$binary"
            return
        fi
        [[ -n $folder ]] || break
        folder=${folder%/*}
    done
    whence -p xtask
}

__xtask_complete() {
    local first=3 binary line word
    if [[ ${words[1]:t} == xtask ]]; then
        first=2
    elif [[ ${words[2]-} != xtask || $CURRENT -lt 3 ]]; then
        # Not ours: to the completion that was there before.
        if [[ -n ${__xtask_cargo_before-} ]]; then
            $__xtask_cargo_before "$@"
        fi
        if [[ $CURRENT -eq 2 ]]; then
            compadd xtask
        fi
        return
    fi
    binary=$(__xtask_binary) || return 1
    local -a candidates descriptions
    while IFS= read -r line; do
        word=${line%%$'\t'*}
        candidates+=("$word")
        line=${line#*$'\t'}
        descriptions+=("$word${line:+  -- $line}")
    done < <("$binary" complete -- "${(@)words[first,CURRENT]}" 2>/dev/null)
    compadd -l -d descriptions -a candidates
}

__xtask_cargo_before=${_comps[cargo]-}
[[ $__xtask_cargo_before == __xtask_complete ]] && __xtask_cargo_before=
compdef __xtask_complete cargo xtask
