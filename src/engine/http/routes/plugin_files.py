# Owns the routes that change plugin code: upload of files and packages, and the update of a
# trigger's own.
"""Plugin files over HTTP."""

import asyncio

import msgspec

from engine.catalog.model import Trigger
from engine.errors import PluginError, RequestError, TriggerNotFoundError
from engine.http.access import Right
from engine.http.asgi import Request, Response
from engine.http.route_description import JsonBody, Parameter
from engine.http.routes.configure import TriggerNameBody, read_json, read_query_or_json
from engine.http.routing import Route
from engine.http.services import Services
from engine.plugins import loader, trigger_spec
from engine.plugins.repository import PluginRepository
from engine.plugins.source_check import check_sources


class FileBody(msgspec.Struct, frozen=True):
    """A file: by its path in the plugin directory (POST), or as the code of a trigger (PUT)."""

    plugin_name: str
    content: str


class PackageFile(msgspec.Struct, frozen=True):
    """One file of a package."""

    relative_path: str
    content: str


class PackageBody(msgspec.Struct, frozen=True):
    """A package: by its path in the plugin directory (POST), or as the code of a trigger (PUT)."""

    plugin_name: str
    files: list[PackageFile]


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    files = services.plugin_files

    async def upload_file(request: Request) -> Response:
        body = await read_json(request, FileBody)
        await asyncio.to_thread(files.store, body.plugin_name, body.content)
        return Response(200)

    async def upload_package(request: Request) -> Response:
        body = await read_json(request, PackageBody)
        await asyncio.to_thread(files.replace_package, body.plugin_name, _contents(body))
        return Response(200)

    async def replace_file(request: Request) -> Response:
        path = request.query_parameters().get("path")
        if path is not None:
            content = await request.body()
            try:
                text = content.decode()
            except UnicodeDecodeError as error:
                raise RequestError(f"the file is not UTF-8 text: {error}") from error
            await asyncio.to_thread(files.store, path, text)
            return Response(200)
        body = await read_json(request, FileBody)
        trigger = _trigger(request, body.plugin_name)

        def replace() -> None:
            target = loader.resolve(services.plugin_repository.plugin_dir, trigger.plugin_filename)
            name = trigger.plugin_filename
            if target.is_dir():
                name = f"{name.rstrip('/')}/__init__.py"
            check_sources({name: body.content.encode()}, name, _kind(trigger))
            files.store(name, body.content)

        await asyncio.to_thread(replace)
        return Response(200)

    async def replace_package(request: Request) -> Response:
        body = await read_json(request, PackageBody)
        trigger = _trigger(request, body.plugin_name)
        contents = _contents(body)

        def replace() -> None:
            name = trigger.plugin_filename.rstrip("/")
            if not loader.resolve(services.plugin_repository.plugin_dir, name).is_dir():
                raise PluginError(
                    f"the plugin of trigger {trigger.name} is a single file: {name}",
                    hint="send one file, or create a trigger on the package",
                )
            entry = f"{name}/__init__.py"
            check_sources({entry: contents.get("__init__.py", "").encode()}, entry, _kind(trigger))
            files.replace_package(name, contents)

        await asyncio.to_thread(replace)
        return Response(200)

    async def update_trigger(request: Request) -> Response:
        body = await read_query_or_json(request, TriggerNameBody)
        trigger = services.catalog.trigger(body.db, body.trigger_name)
        digest = await services.trigger_factory.fetched_again(trigger)
        await services.catalog_writer.update_trigger(trigger, plugin_digest=digest)
        return Response(200)

    def _trigger(request: Request, name: str) -> Trigger:
        """The trigger of that name; the database may be left out where only one has it."""
        database = request.query_parameters().get("db")
        if database is not None:
            found = [services.catalog.trigger(database, name)]
        else:
            found = [trigger for trigger in services.catalog.triggers() if trigger.name == name]
        if not found:
            raise TriggerNotFoundError(f"the requested resource was not found: {name}")
        if len(found) > 1:
            databases = ", ".join(trigger.database for trigger in found)
            raise RequestError(
                f"several databases have a trigger {name}: {databases}",
                hint="say which with the query parameter db",
            )
        if PluginRepository.is_fetched(found[0].plugin_filename):
            raise PluginError(
                f"the plugin of trigger {name} is fetched: {found[0].plugin_filename}",
                hint="use 'headrace update trigger' without a file to fetch it again",
            )
        return found[0]

    files_path = "/api/v3/plugins/files"
    directory_path = "/api/v3/plugins/directory"
    update_path = "/api/v3/configure/processing_engine_trigger/update"
    trigger_database = Parameter(
        "db", "database of the trigger, where several have one of that name"
    )
    return [
        Route(
            ("POST",),
            files_path,
            upload_file,
            "Store a file in the plugin directory (`plugin_name` is its path)",
            Right.ADMIN,
            has_large_body=True,
            body=JsonBody(FileBody),
        ),
        Route(
            ("PUT",),
            files_path,
            replace_file,
            "Replace the code of a trigger (`plugin_name` is its name)",
            Right.ADMIN,
            parameters=(
                trigger_database,
                Parameter("path", "store the body, no JSON, as this file of the plugin directory"),
            ),
            has_large_body=True,
            body=JsonBody(FileBody),
        ),
        Route(
            ("POST",),
            directory_path,
            upload_package,
            "Store a package as a whole (`plugin_name` is its path)",
            Right.ADMIN,
            has_large_body=True,
            body=JsonBody(PackageBody),
        ),
        Route(
            ("PUT",),
            directory_path,
            replace_package,
            "Replace the package of a trigger (`plugin_name` is its name)",
            Right.ADMIN,
            parameters=(trigger_database,),
            has_large_body=True,
            body=JsonBody(PackageBody),
        ),
        Route(
            ("POST",),
            update_path,
            update_trigger,
            "Fetch the code of a `gh:` trigger again",
            Right.ADMIN,
            body=JsonBody(TriggerNameBody, may_be_parameters=True),
        ),
    ]


def _contents(body: PackageBody) -> dict[str, str]:
    return {file.relative_path: file.content for file in body.files}


def _kind(trigger: Trigger) -> trigger_spec.Kind:
    return trigger_spec.parse(trigger.spec, now_ns=trigger_spec.ACCEPTED_BEFORE).kind
