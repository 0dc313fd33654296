"""Exports of a provider's, read: what was delivered, as typed rows, checked."""
