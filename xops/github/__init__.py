"""GitHub, read through its GraphQL and REST interfaces, and the one issue that is written."""
