"""FOCUS, the FinOps Open Cost and Usage Specification: its columns, its rules, what breaks them."""
