"""Every task: `./invoke --list`. They are in scripts/tasks/; docs/architecture.md is the map."""

import importlib.util
import os
import runpy
import sys
from pathlib import Path

runpy.run_path(str(Path(__file__).with_name("scripts") / "caches.py"))

from invoke.collection import Collection

# Another Invoke, from pipx for example, may load this file without our requirements.
if importlib.util.find_spec("psutil") is None:
    launcher = str(Path(__file__).resolve().with_name("invoke"))
    os.execv(launcher, [launcher, *sys.argv[1:]])  # noqa: S606

from scripts.cli import output
from scripts.tasks import cognito, db, ddb, environment, patterns, project, rds, snapshot

output.prepare()

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
