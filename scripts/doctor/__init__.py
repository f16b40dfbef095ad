"""doctor: checks of this machine, the services and the data, each with a reason and a fix.

examine        list and run the checks; apply safe fixes
report         print the findings: problems first
machine        Python, packages, disk, ports, leftovers of earlier runs
data           the database, its schema, users, tables and conversations
"""
