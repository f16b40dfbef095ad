"""The environment as a whole: the pipelines that set it up, replace it, save it, describe it.

setup          the pipelines that create: setup, up, down, and any of their steps
services       single services: pick one of a pipeline, restart
reset          the pipelines that replace or drop: reset, db.reset, drop, undo, snapshots
steps          the steps that create data, each named for the task that runs it alone
ddb_steps      those of DynamoDB
check          the step that reads all data back
app_steps      the app's own, from app.toml
parts          what app.toml may leave out
transaction    one change of all three stores: prepare, commit, complete
journal        change.json, the write-ahead log of the change that is not completed
recovery       the two ways out of an interrupted change: complete it, or revert it
saved_state    what all three stores hold, saved: the manifest, its parts, restoring one
verification   is a saved state whole? reads all that restoring it will read
snapshots      saved states with a name
runner         how a pipeline is run: locked, shown, recorded
ci             a temporary environment for one command
scaffold       init: writes app.toml and a launcher for an existing repository
variables      the environment variables that an app needs, in several formats
transfer       load, export and import from the command line, with checkpoints
statistics     tables, row counts and sizes of what the services hold, of undo and snapshots
sql_reader     the login for SQL that is typed into a page
"""
