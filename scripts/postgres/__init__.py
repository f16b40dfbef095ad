"""Postgres: databases, copies of them, SQL and CSV files.

databases      create, drop, load schema and seed, count rows, list and end sessions
copies         whole databases: swap names, copy, templates
sql_files      run an SQL file in one transaction; report errors with their line
csv_load       load a CSV file in one transaction
schema_diff    compare a database with what its schema file creates
"""
