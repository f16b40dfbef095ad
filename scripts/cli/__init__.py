"""The command line: how it is parsed, what it prints, how it completes.

program        Invoke's program with our overview, and the closest name for an unknown one
task           Invoke's Task with identity, optional positional arguments, an error boundary
output         the only writer: results on stdout, messages on stderr, tables, JSON, plans
board          the live board of a running pipeline
completion     completion scripts for bash, zsh and fish, and where they are installed
github         GitHub Actions' commands: masks, errors, groups, summaries, variables
"""
