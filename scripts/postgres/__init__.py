"""Postgres: databases, copies of them, SQL and CSV files.

databases      create, drop, load schema and seed, count rows, list and end sessions
copies         whole databases: swap names, copy, templates
sql_files      run an SQL file in one transaction; report errors with their line
csv_load       load a CSV file in one transaction
browse         what a database contains: tables, columns, keys, indexes
rows           the rows of a table in pages
query          one typed query, run so that it can only read
reader         the role that may only read
reading        a read-only transaction with a time limit
schema_diff    compare a database with what its schema file creates
"""
