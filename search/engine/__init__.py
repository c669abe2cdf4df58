"""Where runs happen: a job in, what it left behind out."""
