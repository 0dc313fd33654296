"""Databases of xOps' own, in SQLite or PostgreSQL, whose tables Alembic makes and keeps up."""
