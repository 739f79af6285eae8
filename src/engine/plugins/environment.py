# Owns the packages of plugins: a virtual environment beside the plugins, and the installs into it.
# The server's own packages are visible there and pinned to their versions, so that no install can
# change what the server runs on: one that would need another version fails and says so.
"""The virtual environment of plugins."""

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import re
import shutil
import signal
import site
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.errors import PackageInstallError, PackagesDisabledError, RequestError
from engine.logs import keys
from engine.redaction import without_credentials

logger = logging.getLogger(__name__)

INSTALL_TIMEOUT_S = 1800.0
_OUTPUT_LINES_SHOWN = 20
_OUTPUT_BYTES_KEPT = 16 * 1024
_READ_BYTES = 64 * 1024
# Name, extras, versions, conditions; neither addresses nor paths nor options.
_SPECIFIER = re.compile(
    r"\s*[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
    r" *(?:\[[A-Za-z0-9._, -]*\])?"
    r"(?: *,? *(?:===|[<>=!~]=|[<>]) *[A-Za-z0-9.*+!_-]+)*"
    r" *(?:;[ \w'\"<>=!~.()]*)?"
)
_BLANKS = re.compile(r" {2,}")
_ARCHIVE_SUFFIXES = (".whl", ".zip", ".gz", ".tgz", ".bz2", ".tbz", ".xz", ".txz", ".tar", ".egg")
_LINKS_FILE = "_headrace_server.pth"


class PluginPackages:
    """Installs packages for plugins, one request after the other."""

    def __init__(
        self, venv: Path, manager: str, on_change: Callable[[], None] = lambda: None
    ) -> None:
        """Packages of `venv`, which need not exist; `on_change` is called after an install.

        The manager is discover (uv where there is one, else pip), pip, uv or disabled.
        """
        self._venv = venv
        self._manager = manager
        self._on_change = on_change
        self._one_at_a_time = asyncio.Lock()

    async def install(self, packages: Sequence[str]) -> None:
        """Install packages by their specifiers, such as ``pandas==2.2``.

        Raises:
            PackagesDisabledError: The server allows no installs.
            RequestError: No package is named, or something that is an option.
            PackageInstallError: The package manager failed; its last lines are the message.
        """
        self._check_allowed()
        if not packages:
            raise RequestError("no packages are named", hint='send {"packages": ["NAME", …]}')
        for package in packages:
            # For each run of blanks the pattern has several places, which it tries one by one.
            if not _SPECIFIER.fullmatch(_BLANKS.sub(" ", package)) or package.endswith(
                _ARCHIVE_SUFFIXES
            ):
                raise RequestError(
                    f"'{without_credentials(package)}' is not the name of a package",
                    hint="options, addresses and paths are not taken; an address may stand in a "
                    "requirements file",
                )
        await self._install(["--", *packages])

    async def install_requirements(self, location: str) -> None:
        """Install what a requirements file says: a path on this machine, or a URL.

        Raises:
            PackagesDisabledError, RequestError, PackageInstallError: As `install`.
        """
        self._check_allowed()
        is_url = re.fullmatch(r"https?://\S+", location) is not None
        if not is_url and not await asyncio.to_thread(_is_file, location):
            raise RequestError(
                f"no requirements file at {without_credentials(location)}",
                hint="the path is one on the server",
            )
        await self._install(["-r", location])

    async def install_requirements_text(self, text: str) -> None:
        """Install what the text of a requirements file says.

        Raises:
            PackagesDisabledError, RequestError, PackageInstallError: As `install`.
        """
        self._check_allowed()
        with tempfile.NamedTemporaryFile("w", prefix="requirements-", suffix=".txt") as file:
            file.write(text)
            file.flush()
            await self._install(["-r", file.name])

    def _check_allowed(self) -> None:
        if self._manager == "disabled":
            raise PackagesDisabledError(
                "Package installation has been disabled. Contact your administrator for more "
                "information.",
                hint="the server was started with --package-manager disabled",
            )

    async def _install(self, what: Sequence[str]) -> None:
        async with self._one_at_a_time:
            uv = shutil.which("uv") if self._manager in ("discover", "uv") else None
            if self._manager == "uv" and uv is None:
                raise PackageInstallError("uv is not installed", hint="use --package-manager pip")
            python = await self._ready(uv)
            with tempfile.NamedTemporaryFile("w", prefix="constraints-", suffix=".txt") as file:
                file.write("\n".join(await asyncio.to_thread(_server_versions)))
                file.flush()
                if uv is not None:
                    command = [uv, "pip", "install", "--python", str(python), "-c", file.name]
                else:
                    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
                    command += ["--no-input", "-c", file.name]
                await _run([*command, *what])
        named = without_credentials(" ".join(what))
        logger.info("packages installed", extra=keys(venv=self._venv, packages=named))
        self._on_change()

    def _is_servers_own(self) -> bool:
        return self._venv.resolve() == Path(sys.prefix).resolve()

    async def _ready(self, uv: str | None) -> Path:
        """The environment's interpreter; the environment is made where there is none."""
        if await asyncio.to_thread(self._is_servers_own):
            raise PackageInstallError(
                f"{self._venv} is the server's own environment",
                hint="start the server with another --virtual-env-location",
            )
        python = self._venv / "bin" / "python"
        packages = site_packages(self._venv)
        if uv is not None:
            if not python.exists():
                await _run([uv, "venv", "--python", sys.executable, str(self._venv)])
        elif not python.exists() or (packages.is_dir() and not (packages / "pip").is_dir()):
            # Also where the making was cut short, or was somebody else's who needs no pip.
            await _run([sys.executable, "-m", "venv", str(self._venv)])
        await asyncio.to_thread(_link_server_packages, self._venv)
        return python


def _is_file(location: str) -> bool:
    try:
        return Path(location).is_file()
    except OSError:  # its name is too long
        return False


def _link_server_packages(venv: Path) -> None:
    """With these on its path the package manager knows what need not be installed."""
    packages = site_packages(venv)
    if not packages.is_dir():
        raise PackageInstallError(
            f"{venv} was not made by the server's Python {sys.version_info.major}."
            f"{sys.version_info.minor}, which could not import what is installed there",
            hint="remove it, and the next install makes a new one",
        )
    links = packages / _LINKS_FILE
    text = "".join(f"{directory}\n" for directory in server_site_packages())
    if not links.is_file() or links.read_text() != text:
        links.write_text(text)


def site_packages(venv: Path) -> Path:
    """Where a virtual environment of this interpreter's version keeps its packages."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return venv / "lib" / version / "site-packages"


def server_site_packages() -> list[str]:
    """The directories that the server's own packages lie in."""
    return [directory for directory in site.getsitepackages() if Path(directory).is_dir()]


def _server_versions() -> list[str]:
    """``name==version`` of everything that the server's own packages take precedence with."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=server_site_packages()):
        name = distribution.metadata["Name"]
        # The tools of an environment are not what plugins import, and pip may renew its own.
        if name and name.lower() not in ("pip", "setuptools", "wheel"):
            found.setdefault(name.lower(), f"{name}=={distribution.version}")
    return sorted(found.values())


async def _run(command: Sequence[str]) -> None:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    )
    try:
        # A start that is cut short kills the process alone, and it may have children already.
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            await _end(await starting)
        raise
    except OSError as error:
        raise PackageInstallError(f"{command[0]} cannot be started: {error}") from error
    assert process.stdout is not None
    try:
        async with asyncio.timeout(INSTALL_TIMEOUT_S):
            output = await _last_of(process.stdout)
            await process.wait()
    except TimeoutError:
        raise PackageInstallError(
            f"the package manager took longer than {INSTALL_TIMEOUT_S:g} s"
        ) from None
    finally:
        await _end(process)
    if process.returncode != 0:
        text = without_credentials(output.decode("utf-8", "replace"))
        lines = text.strip().splitlines()[-_OUTPUT_LINES_SHOWN:]
        raise PackageInstallError(
            "\n".join(lines) or f"the package manager ended with status {process.returncode}",
            hint="nothing that the server runs on was changed",
        )


async def _end(process: asyncio.subprocess.Process) -> None:
    # Builds are processes of their own, which live on when only their parent is killed.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        await process.wait()


async def _last_of(stream: asyncio.StreamReader) -> bytes:
    """The end of what comes through `stream`."""
    kept = bytearray()
    while piece := await stream.read(_READ_BYTES):
        kept += piece
        del kept[:-_OUTPUT_BYTES_KEPT]
    return bytes(kept)
