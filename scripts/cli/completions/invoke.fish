# Completion of ./invoke for fish: made and removed as `./invoke completion --help` says.
function __invoke_tasks
    set --local start (commandline --current-token --cut-at-cursor)
    set --local words (commandline --tokenize --cut-at-cursor) $start
    set --local command (string replace --regex '^~/' "$HOME/" -- $words[1])
    set --local names
    if not string match --quiet '*/*' -- $command; or test -f (dirname -- $command)/tasks.py; or test -f (dirname -- $command)/app.toml
        set names ($command --complete -- invoke $words[2..-1] 2>/dev/null)
    end
    string match --entire --regex -- '^'(string escape --style=regex -- $start) $names
    or __fish_complete_path $start
end
complete --command invoke --no-files --arguments '(__invoke_tasks)'
