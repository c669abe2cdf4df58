"""Charts as plain data: positions in percent and paths, which a template makes visible."""
