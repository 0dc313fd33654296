"""A decision record as data: its scores recomputed, its winner shaken, its claims checked."""
