"""Where studies are stored: opened by URL, waited for while it is away, written to in few transactions."""
