"""The tasks: one module per collection. They name what the folders below do.

kinds          how a task is declared; the options that all tasks of one kind share
environment    setup, reset, undo, up, down, restart, status, logs, check, doctor, env, run, step,
               timeline, web, ci
project        init, completion, bench, screenshots, test
db, snapshot, ddb, patterns (ddb.patterns), cognito, rds
"""
