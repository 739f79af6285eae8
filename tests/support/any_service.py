# Owns a stand-in for the services of the routes, for tests that look at the table and call no handler.
"""Services that answer every look-up."""


class AnyService:
    """Has every attribute, and each is one like it."""

    def __getattr__(self, name: str) -> "AnyService":
        return self
