"""Where Alembic looks for how it is to be run."""
