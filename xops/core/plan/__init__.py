"""The plan: what would change, as a value that is shown, hashed, stored and approved."""
