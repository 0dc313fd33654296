"""The file of a cluster: its models, and how it is read."""
