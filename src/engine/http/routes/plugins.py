# Owns the route of request triggers: everything below /api/v3/engine/ belongs to plugins.
"""Request triggers over HTTP."""

from engine.http.access import Right
from engine.http.asgi import Request, Response
from engine.http.error_responses import not_found_response
from engine.http.route_description import Answer, RawBody
from engine.http.routing import Route
from engine.http.services import Services
from engine.http.streaming import StreamedResponse
from engine.plugins.request_runner import RequestCall

PREFIX = "/api/v3/engine/"


def routes(services: Services) -> list[Route]:
    """The routes of this module."""

    async def engine_request(request: Request) -> Response:
        # Paths are compared as sent, without percent-decoding, as clients of the reference rely on.
        path = request.raw_path.removeprefix(PREFIX)

        def check() -> None:
            trigger = services.catalog.trigger_of_request(path)
            if trigger is not None:
                request.access.require(trigger.database)

        check()
        headers = {
            name: value for name, value in request.headers.items() if name != "authorization"
        }
        call = RequestCall(path, request.query_parameters(), headers, await request.body())
        # The path may have got another trigger while the body came in.
        check()
        answer = await services.dispatcher.request(call)
        if answer is None:
            return not_found_response(f"no enabled trigger has the specification request:{path}")
        if answer.pieces is not None:
            return StreamedResponse(
                answer.status,
                headers=list(answer.headers),
                pieces=answer.pieces,
                receive=request.receive,
            )
        return Response(answer.status, answer.body, None, list(answer.headers))

    # A plugin may do both with either method; this is what they mean to most authors.
    summary, answer = "Call a request trigger's plugin", Answer(200, "the plugin's answer")
    return [
        Route(
            ("GET",),
            f"{PREFIX}*",
            engine_request,
            summary,
            Right.READ,
            has_large_body=True,
            answer=answer,
        ),
        Route(
            ("POST",),
            f"{PREFIX}*",
            engine_request,
            summary,
            Right.WRITE,
            has_large_body=True,
            body=RawBody("application/octet-stream", "anything", required=False),
            answer=answer,
        ),
    ]
