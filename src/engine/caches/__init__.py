"""Caches of tables: last rows and distinct values, kept up with what becomes durable."""
