# Completion of ./invoke for zsh: made and removed as `./invoke completion --help` says.
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
_invoke_tasks() {
    local -a names
    local command=${(Q)words[1]}
    case $command in
        '~'/*) command=$HOME/${command#*/} ;;
    esac
    # Another program that is called invoke gets the usual files.
    if [[ $command != */* || -f ${command%/*}/tasks.py || -f ${command%/*}/app.toml ]]; then
        names=(${(f)"$("$command" --complete -- invoke "${(@Q)words[2,CURRENT]}" 2>/dev/null)"})
    fi
    (( $#names )) && compadd -- $names || _default
}
compdef _invoke_tasks invoke
