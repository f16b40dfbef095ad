"""The embedded stack: Postgres and an AWS emulator as plain processes, from Python packages.

stack            its targets, services, introduction and checks
postgres_server  the PostgreSQL server: its cluster, its start, its health
aws_emulator     the emulator's process
emulator/        its program: ministack behind a gate, with writes that survive a kill
"""
