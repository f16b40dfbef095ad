"""Benchmarks: commands that print ratios of one run."""
