"""The engine: runs steps by their dependencies, independent of the services and the terminal.

pipeline       Step, Event, and run(): steps in parallel as their dependencies allow
history        recorded runs, one JSON Lines file per run
timeline       a recorded run as bars, with its critical path
checks         Check, Finding, and run(): checks in parallel, each guarded
"""
