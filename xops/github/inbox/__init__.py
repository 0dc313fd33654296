"""Deliveries of GitHub's webhooks, kept until they were dealt with and for a while after."""
