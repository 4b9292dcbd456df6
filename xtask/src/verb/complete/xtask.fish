# Completion of `cargo xtask` for fish. In ~/.config/fish/config.fish:  cargo xtask completions fish | source

# The binary that cargo has built: asking cargo takes longer than a completion may.
function __xtask_binary
    set -l folder $PWD
    while true
        set -l target $folder/target
        set -q CARGO_TARGET_DIR; and set target $CARGO_TARGET_DIR
        if test -x $target/xtask/xtask
            echo $target/xtask/xtask
            return
        end
        test -n "$folder"; or break
        set folder (string replace -r '/[^/]*$' '' -- $folder)
    end
    command -s xtask
end

function __xtask_is_xtask
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test "$words[2]" = xtask
end

# $argv: how many words stand before those that are for xtask.
function __xtask_candidates
    set -l binary (__xtask_binary); or return
    set -l words (commandline -opc)
    set -l ours
    for index in (seq (math $argv[1] + 1) (count $words))
        set -a ours $words[$index]
    end
    set -l last (commandline -ct)
    $binary complete -- $ours "$last" 2>/dev/null
end

complete -c cargo -n 'test (count (commandline -opc)) -eq 1' -a xtask -d 'Run a one-off task'
complete -c cargo -n __xtask_is_xtask -f -a '(__xtask_candidates 2)'
complete -c xtask -f -a '(__xtask_candidates 1)'
