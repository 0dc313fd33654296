"""Who is one person, who is a machine, and how many there are at least and at most."""
