"""The sections of the page, a module each; a section that has nothing to say is None."""
