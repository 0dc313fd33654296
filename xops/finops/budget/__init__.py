"""Whether an environment fits its budget, and what would make it fit."""
