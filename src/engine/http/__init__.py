"""The HTTP interface: a thin ASGI application over the server's services."""
