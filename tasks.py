"""Every task: `./invoke --list`. They are in scripts/tasks/; docs/architecture.md is the map."""

from invoke.collection import Collection

from scripts.cli import output
from scripts.tasks import cognito, db, ddb, environment, patterns, project, rds, snapshot

output.end_on_interrupt()

ns = Collection()
for module in (environment, project):
    for task in Collection.from_module(module).tasks.values():
        ns.add_task(task)
for module in (db, snapshot, ddb, cognito, rds):
    ns.add_collection(Collection.from_module(module))
ns.collections["ddb"].add_collection(Collection.from_module(patterns))

if __name__ == "__main__":
    from scripts.cli.program import DevProgram

    DevProgram(ns).run()
