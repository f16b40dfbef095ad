# Completion of ./invoke for bash: made and removed as `./invoke completion --help` says.
_invoke_tasks() {
    local command=${1/#\~\//$HOME/} names name
    COMPREPLY=()
    case $command in
        */*) # not another program called invoke
            [ -f "${command%/*}/tasks.py" ] || [ -f "${command%/*}/app.toml" ] || return 0
            ;;
    esac
    names=$("$command" --complete -- invoke "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null) || return 0
    while IFS= read -r name; do
        COMPREPLY+=("$name")
    done < <(compgen -W "$names" -- "$2")
}
complete -o default -F _invoke_tasks invoke
