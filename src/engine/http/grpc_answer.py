# Owns the answer to gRPC clients that come to the port of HTTP, where the reference serves Flight.
# ASGI cannot: a gRPC answer ends with trailers. An answer that is an error may be headers alone.
"""The answer to gRPC on the port of HTTP."""

from engine.http.asgi import Request, Response

CONTENT_TYPE = "application/grpc"
# gRPC's number for UNIMPLEMENTED.
_UNIMPLEMENTED = "12"


def is_grpc(request: Request) -> bool:
    """Whether a gRPC client asks."""
    return request.headers.get("content-type", "").startswith(CONTENT_TYPE)


def grpc_answer(flight_bind: tuple[str, int] | None) -> Response:
    """What tells a gRPC client where Flight is served, or how it would be."""
    if flight_bind is None:
        text = (
            "this server does not serve Flight: start it with --flight-bind HOST:PORT and give "
            "that port to the client (influxdb3-python: query_port_overwrite=PORT)"
        )
    else:
        text = (
            f"Flight is served on port {flight_bind[1]}, this one is for HTTP: give that port to "
            f"the client (influxdb3-python: query_port_overwrite={flight_bind[1]})"
        )
    headers = [("grpc-status", _UNIMPLEMENTED), ("grpc-message", text)]
    return Response(200, b"", CONTENT_TYPE, headers)
