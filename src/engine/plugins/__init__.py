"""Triggers and plugins: when which code runs, in a worker process of its own."""
