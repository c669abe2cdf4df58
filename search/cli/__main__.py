"""`python -m search.cli` is the same as `cp-search`."""

from search.cli import main

if __name__ == "__main__":
    main()
