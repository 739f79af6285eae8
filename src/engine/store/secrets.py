# Owns the secrets that trigger arguments may name: one file each, which nobody but the server's
# user may read, and the values in memory. Values leave this module for workers alone; what is shown
# or logged goes through `redacted`.
"""Secrets of trigger arguments."""

import json
import logging
import re
import stat
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from engine.errors import SecretError, SecretNotFoundError
from engine.filesystem import FileSystem
from engine.logs import keys
from engine.redaction import without

logger = logging.getLogger(__name__)

# An argument of this form stands for the value of the secret of that name.
REFERENCE_PREFIX = "secret:"
NAME_CHARACTERS_MAX = 64
# A shorter one would be found, and hidden, all over the place.
VALUE_CHARACTERS_MIN = 4
VALUE_BYTES_MAX = 64 * 1024
# Of each secret, values that are still hidden though there is a newer one.
_VALUES_BEFORE_MAX = 4

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SecretStore:
    """Secrets by name."""

    def __init__(self, directory: Path, filesystem: FileSystem) -> None:
        self._directory = directory
        self._filesystem = filesystem
        self._values: dict[str, str] = {}
        self._before: dict[str, deque[str]] = {}

    def load(self) -> None:
        """Read what is there; for the start of the server.

        Raises:
            SecretError: A secret can be read by others, or is not text.
        """
        if not self._directory.is_dir():
            return
        for path in sorted(self._directory.iterdir()):
            if not _NAME.fullmatch(path.name) or path.name.endswith(".tmp"):
                continue
            if path.stat().st_mode & _OTHERS:
                raise SecretError(
                    f"others may read the secret {path}", hint=f"chmod 600 {path}, and start again"
                )
            try:
                self._values[path.name] = self._filesystem.read(path).decode()
            except UnicodeDecodeError as error:
                raise SecretError(f"the secret {path} is not text") from error

    def names(self) -> list[str]:
        """Names of all secrets, sorted."""
        return sorted(self._values)

    def put(self, name: str, value: str) -> None:
        """Store a secret durably, in place of an older one of that name.

        Raises:
            SecretError: The name or the value cannot be taken; the value is not in the message.
        """
        if not _NAME.fullmatch(name) or len(name) > NAME_CHARACTERS_MAX or name.endswith(".tmp"):
            raise SecretError(
                f"'{name}' cannot be the name of a secret",
                hint="use letters, digits, '_', '-' and '.', beginning with a letter or digit",
            )
        content = value.encode()
        if len(value) < VALUE_CHARACTERS_MIN or len(content) > VALUE_BYTES_MAX:
            raise SecretError(
                f"a secret has at least {VALUE_CHARACTERS_MIN} characters and at most "
                f"{VALUE_BYTES_MAX} bytes"
            )
        self._filesystem.make_directory(self._directory, mode=0o700)
        self._filesystem.write_whole(self._directory / name, content, mode=0o600)
        self._retire(name)
        self._values[name] = value
        logger.info("secret stored", extra=keys(name=name))

    def delete(self, name: str) -> None:
        """Forget a secret, durably.

        Raises:
            SecretNotFoundError: There is none of that name.
        """
        if name not in self._values:
            raise _not_found(name)
        self._filesystem.remove(self._directory / name)
        self._filesystem.sync_directory(self._directory)
        self._retire(name)
        logger.info("secret deleted", extra=keys(name=name))

    def resolved(self, arguments: Mapping[str, str] | None) -> dict[str, str] | None:
        """The arguments with the values of secrets in place of their names.

        Raises:
            SecretNotFoundError: A secret is not there.
        """
        if arguments is None:
            return None
        found = dict(arguments)
        for key, name in _references(arguments):
            value = self._values.get(name)
            if value is None:
                raise _not_found(name)
            found[key] = value
        return found

    def redacted(self, text: str, arguments: Mapping[str, str] | None) -> str:
        """`text` without the values of the secrets that `arguments` name."""
        if arguments is None:
            return text
        names = {name for _, name in _references(arguments)}
        values = {self._values[name] for name in names if name in self._values}
        values |= {value for name in names for value in self._before.get(name, ())}
        forms = {form for value in values for form in _forms(value)}
        return without(text, forms)

    def _retire(self, name: str) -> None:
        """Go on hiding a value that is replaced or deleted: a run may have been given it before."""
        if name in self._values:
            self._before.setdefault(name, deque(maxlen=_VALUES_BEFORE_MAX)).append(
                self._values.pop(name)
            )


def _forms(value: str) -> Iterable[str]:
    """How a value may stand in a text: as it is, in a repr() or JSON, or in an address."""
    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value)
    yield quote(value, safe="")
    yield quote_plus(value)


def _references(arguments: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for key, value in arguments.items():
        if value.startswith(REFERENCE_PREFIX):
            yield key, value.removeprefix(REFERENCE_PREFIX)


def _not_found(name: str) -> SecretNotFoundError:
    return SecretNotFoundError(
        f"there is no secret '{name}'", hint=f"headrace create secret {name}, its value on stdin"
    )
