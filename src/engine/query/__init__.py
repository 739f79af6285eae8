"""SQL over the tables of a database."""
