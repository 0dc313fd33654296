"""A K3S release: its lock file, where it comes from, and the bundle for air gaps."""
