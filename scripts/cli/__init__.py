"""The command line: how it is parsed, what it prints, how it completes.

program        Invoke's program with our parser, help and overview
arguments      reads the words: tasks, options and values in any order, the closest known word
values         the types of values: Text, Number, Choice
task           Invoke's Task with identity, typed arguments, an error boundary
output         the only writer: results on stdout, messages on stderr, tables, JSON
plans          what a pipeline would do, for --plan and --dry
watch          a table that is repeated until Ctrl-C
confirmation   questions before something is deleted
progress       how far work is: the live board, or plain lines
board          the live board of a running pipeline on a terminal
completion     completion scripts for bash, zsh and fish, and where they are installed
github         GitHub Actions' commands: masks, errors, groups, summaries, variables
"""
