"""A Prefect server: what is deployed on it, its automations, its runs."""
