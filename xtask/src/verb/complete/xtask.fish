# Completion of `cargo xtask` for fish. In ~/.config/fish/config.fish:  cargo xtask completions fish | source
function __xtask_binary
    set -l folder $PWD
    while test -n "$folder"
        if test -f "$folder/tasks.toml" -o -f "$folder/xtask/Cargo.toml"
            set -l target $folder/target
            set -q CARGO_TARGET_DIR; and set target $CARGO_TARGET_DIR
            test -x $target/xtask/xtask; and echo $target/xtask/xtask
            return
        end
        set folder (string replace -r '/[^/]*$' '' -- $folder)
    end
end

function __xtask_is_xtask
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test "$words[2]" = xtask
end

function __xtask_candidates
    set -l binary (__xtask_binary)
    test -n "$binary"; or return
    set -l words (commandline -opc)
    $binary complete -- $words[3..-1] (commandline -ct) 2>/dev/null
end

complete -c cargo -n 'not __fish_seen_subcommand_from xtask; and test (count (commandline -opc)) -eq 1' -a xtask -d 'Run a one-off task'
complete -c cargo -n __xtask_is_xtask -f -a '(__xtask_candidates)'
