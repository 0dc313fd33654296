"""How Alembic runs the revisions: on the connection and within the transaction of the caller."""

from alembic import context

given = context.config.attributes
context.configure(
    connection=given["connection"],
    target_metadata=given["tables"].metadata,
    version_table=given["tables"].note.name,
    transactional_ddl=True,
    on_version_apply=given["on_version_apply"],
    xops_tables=given["tables"].name,
)
with context.begin_transaction():
    context.run_migrations()
