# Owns the routes by which a client makes a backup: it begins one, fetches the files that it does
# not have yet, and ends it. The server writes nothing for it, and gives no other file.
"""Backup routes."""

import errno

import msgspec

import engine
from engine.errors import BackupNotFoundError, RequestError
from engine.http.access import Right
from engine.http.asgi import Request, Response, json_response
from engine.http.route_description import Answer, JsonBody, Parameter
from engine.http.routes.configure import read_json
from engine.http.routing import Route
from engine.http.services import Services
from engine.http.streaming import StreamedResponse


class BackupBody(msgspec.Struct, frozen=True):
    """POST /api/v3/backup."""

    secrets: bool = True


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    backups = services.backups

    async def begin(request: Request) -> Response:
        body = await read_json(request, BackupBody)
        name, position, files = await backups.begin(with_secrets=body.secrets)
        return json_response(
            {
                "backup_id": name,
                "position": position,
                "created_ns": services.clock.now_ns(),
                "cluster_uuid": services.cluster_uuid,
                "node_id": services.node_id,
                "server_version": engine.__version__,
                "files": files,
            }
        )

    async def read(request: Request) -> Response:
        parameters = request.query_parameters()
        missing = [name for name in ("id", "kind", "path") if name not in parameters]
        if missing:
            raise RequestError(f"missing query parameter '{missing[0]}'")
        kind, path = parameters["kind"], parameters["path"]
        try:
            pieces = backups.read(parameters["id"], kind, path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
                raise
            # Plugin files and secrets are not held: they may go at any time.
            raise BackupNotFoundError(f"{kind}/{path} is not there any more") from error
        return StreamedResponse(
            200,
            headers=[("content-type", "application/octet-stream")],
            pieces=pieces,
            receive=request.receive,
        )

    async def end(request: Request) -> Response:
        backup_id = request.query_parameters().get("id")
        if backup_id is None:
            raise RequestError("missing query parameter 'id'")
        backups.end(backup_id)
        return Response(204)

    name = Parameter("id", "the `backup_id`", required=True)
    path = "/api/v3/backup"
    return [
        Route(
            ("POST",),
            path,
            begin,
            "Begin a backup: hold the files of this moment; `headrace backup` does the rest",
            Right.ADMIN,
            body=JsonBody(BackupBody),
            answer=Answer(
                200,
                "`{backup_id, position, created_ns, cluster_uuid, node_id, server_version, files: "
                "[{kind, path, size_bytes, is_fixed, damage?}]}`; 409 when four are under way",
                ("application/json",),
            ),
        ),
        Route(
            ("GET",),
            f"{path}/file",
            read,
            "Read a file of a backup; 404 when the backup is over (ended, or 5 minutes of silence)",
            Right.ADMIN,
            parameters=(
                name,
                Parameter("kind", "as listed", required=True),
                Parameter("path", "as listed", required=True),
            ),
            answer=Answer(200, "the file", ("application/octet-stream",)),
        ),
        Route(
            ("DELETE",),
            path,
            end,
            "End a backup: let go of its files",
            Right.ADMIN,
            parameters=(name,),
            answer=Answer(204),
        ),
    ]
