"""The tasks: one module per collection. They name what the folders below do.

kinds          how a task is declared; the options that all tasks of one kind share
environment    setup, reset, undo, up, down, status, logs, check, doctor, env, timeline, web, ci
project        completion, bench, screenshots, test
db, snapshot, ddb, patterns (ddb.patterns), cognito, rds
"""
