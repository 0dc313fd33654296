"""The record of every change, outliving the database of the orchestrator."""
