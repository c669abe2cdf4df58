"""Many training runs: a search space goes in, the best model comes out.

Imports nothing by itself; `search.cli` is the command line.
"""
