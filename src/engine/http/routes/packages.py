# Owns the routes that install packages for plugins.
"""Packages over HTTP."""

import msgspec

from engine.errors import RequestError
from engine.http.access import Right
from engine.http.asgi import Request, Response
from engine.http.route_description import Answer, JsonBody
from engine.http.routes.configure import read_json
from engine.http.routing import Route
from engine.http.services import Services


class PackagesBody(msgspec.Struct, frozen=True):
    """POST …/install_packages."""

    packages: list[str]


class RequirementsBody(msgspec.Struct, frozen=True):
    """POST …/install_requirements: where the file is (on the server, or a URL), or its text."""

    requirements_location: str | None = None
    requirements: str | None = None


def routes(services: Services) -> list[Route]:
    """The routes of this module."""

    async def install_packages(request: Request) -> Response:
        body = await read_json(request, PackagesBody)
        await services.packages.install(body.packages)
        return Response(200)

    async def install_requirements(request: Request) -> Response:
        body = await read_json(request, RequirementsBody)
        if (body.requirements is None) == (body.requirements_location is None):
            raise RequestError("either requirements_location or requirements must be given")
        if body.requirements is not None:
            await services.packages.install_requirements_text(body.requirements)
        elif body.requirements_location is not None:
            await services.packages.install_requirements(body.requirements_location)
        return Response(200)

    prefix = "/api/v3/configure/plugin_environment"
    installed = Answer(200, "installed; 422 with the package manager's last lines when not")
    return [
        Route(
            ("POST",),
            f"{prefix}/install_packages",
            install_packages,
            "Install packages for plugins",
            Right.ADMIN,
            body=JsonBody(PackagesBody),
            answer=installed,
        ),
        Route(
            ("POST",),
            f"{prefix}/install_requirements",
            install_requirements,
            "Install what a requirements file says (on the server, a URL, or its text)",
            Right.ADMIN,
            body=JsonBody(RequirementsBody),
            answer=installed,
        ),
    ]
