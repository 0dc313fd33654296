"""Files that people write and files that xOps writes: models, settings, secrets by reference."""
