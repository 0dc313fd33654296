"""The cost report: what was spent, against what was allowed and promised, and what is odd."""
