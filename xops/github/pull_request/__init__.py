"""Pull requests: what GitHub says of one, what follows from it, and what is told on it."""
