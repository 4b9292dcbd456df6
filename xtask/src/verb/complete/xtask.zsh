# Completion of `cargo xtask` for zsh. In ~/.zshrc, behind compinit:  source <(cargo xtask completions zsh)
__xtask_binary() {
    local folder=$PWD binary
    while [[ -n $folder ]]; do
        if [[ -f $folder/tasks.toml || -f $folder/xtask/Cargo.toml ]]; then
            binary=${CARGO_TARGET_DIR:-$folder/target}/xtask/xtask
            [[ -x $binary ]] && print -rn -- "$binary"
            return
        fi
        folder=${folder%/*}
    done
}

__xtask_complete() {
    if [[ ${words[2]-} != xtask || $CURRENT -lt 3 ]]; then
        if [[ -n ${__xtask_cargo_before-} ]]; then
            $__xtask_cargo_before "$@"
        else
            compadd xtask
        fi
        return
    fi
    local binary line
    binary=$(__xtask_binary)
    [[ -n $binary ]] || return 1
    local -a candidates descriptions
    while IFS= read -r line; do
        local word=${line%%$'\t'*} help=${line#*$'\t'}
        candidates+=("$word")
        descriptions+=("${word}${help:+  -- $help}")
    done < <("$binary" complete -- "${(@)words[3,$CURRENT]}" 2>/dev/null)
    compadd -l -d descriptions -a candidates
}

__xtask_cargo_before=${_comps[cargo]-}
[[ $__xtask_cargo_before == __xtask_complete ]] && __xtask_cargo_before=
compdef __xtask_complete cargo
