"""Postgres: databases, copies of them, SQL and CSV files.

databases      create, drop, load schema and seed, count rows, list and end sessions
copies         whole databases: swap names, copy, templates
notes          which files were loaded, written in the database itself
ownership      the tag of databases that this tool created, and may drop
properties     settings, privileges and comment of a database, which a copy does not have
relations      the tables of a database, in all schemas of the app
sql_files      run SQL files in one transaction
sql_errors     psql's errors, with the file and line where they occurred
sources        which files an SQL file reads; their digests
csv_load       load CSV files in the transaction of the SQL files
sequences      after a load, the next number of a serial column is free
browse         what a database contains: tables, columns, keys, indexes
rows           the rows of a table in pages
query          one typed query, run so that it can only read
reader         the role that may only read
reading        a read-only transaction with a time limit
schema_diff    compare a database with what its schema files create
"""
