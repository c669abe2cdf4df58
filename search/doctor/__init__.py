"""Why it does not work here: looks at the machine, says what it found and what to do about it."""
