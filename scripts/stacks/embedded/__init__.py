"""The embedded stack: Postgres and an AWS emulator as plain processes, from Python packages.

stack              its targets, services, introduction and checks
postgres_server    the PostgreSQL server: its start, its health
postgres_cluster   its data folder: where it is, how it is created
postgres_programs  its programs, and the extensions that they do not bring
extensions/        those extensions
aws_emulator       the emulator's process
emulator/          its program: ministack behind a gate, with writes that survive a kill
"""
