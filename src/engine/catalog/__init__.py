"""The catalog: databases and triggers, and the changes that make them."""
