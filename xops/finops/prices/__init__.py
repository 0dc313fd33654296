"""Prices as data: one row each, with where and when it was seen."""
