"""Deliveries of GitHub's webhooks, taken in: checked, kept in the inbox, and only then answered.

A process of its own, without credentials of a cloud or a cluster. What a delivery leads to is the
dispatcher's part, in another process.
"""
