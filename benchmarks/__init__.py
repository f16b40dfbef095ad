"""Benchmarks: `./invoke bench` measures this project against what it cannot avoid, and others do.

Figures are ratios: in each round both sides are measured in turn, on the same servers. Everything
happens in a checkout of its own in a temporary folder; nothing of this one is touched.
"""
