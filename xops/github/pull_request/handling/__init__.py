"""Handling one pull request: read it, plan, show, apply what was released, report."""
