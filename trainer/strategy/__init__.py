"""Runs of several stages, and runs that average others (docs/strategies.md)."""
