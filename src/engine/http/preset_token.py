# Owns the admin token that a server is given at start, and the decision whether it may listen on
# its address. Called by server.py after the log is read and before anything listens.
"""Admin token given at start."""

import logging
import re
from pathlib import Path
from typing import Annotated

import msgspec

from engine.catalog.permissions import ADMIN_PERMISSION
from engine.catalog.tokens import OPERATOR_NAME, TokenTable, hash_of, is_admin
from engine.config import ServeConfig, is_loopback
from engine.errors import ConfigError, SettingError
from engine.ingest.catalog_writer import CatalogWriter
from engine.logs import keys

logger = logging.getLogger(__name__)

# Shorter ones can be guessed.
TOKEN_CHARACTERS_MIN = 32
_TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]+\Z")


# Later times do not fit into 64 bits of nanoseconds: it is the year 2255.
_ExpiryMs = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]


class PresetToken(msgspec.Struct, frozen=True):
    """What the file of ``--admin-token-file`` holds."""

    token: str
    name: str = OPERATOR_NAME
    expiry_millis: _ExpiryMs | None = None

    def __repr__(self) -> str:
        """Without the token, which must not get into a log."""
        return f"PresetToken(name={self.name!r})"


def read_preset(config: ServeConfig) -> PresetToken | None:
    """The token that `config` presets, or None.

    Raises:
        SettingError: The file cannot be read, or the token is too easy.
    """
    if config.admin_token is not None:
        preset, source = PresetToken(config.admin_token), "HEADRACE_ADMIN_TOKEN"
    elif config.admin_token_file is not None:
        preset, source = _read(config.admin_token_file), "--admin-token-file"
    else:
        return None
    if len(preset.token) < TOKEN_CHARACTERS_MIN or not _TOKEN.match(preset.token):
        raise SettingError(
            f"{source}: a token has at least {TOKEN_CHARACTERS_MIN} letters, digits or _.~+/=-",
            hint="make one: headrace create token --admin --offline --output-file FILE",
        )
    return preset


def _read(path: Path) -> PresetToken:
    try:
        content = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise SettingError(f"--admin-token-file: cannot read {path}: {error.strerror}") from error
    if mode & 0o077:
        logger.warning("others may read the admin token's file", extra=keys(file=path))
    try:
        return msgspec.json.decode(content, type=PresetToken)
    except msgspec.DecodeError:
        # The reason may quote the file, and with it the token.
        raise SettingError(
            f"--admin-token-file: {path} is not of the right form",
            hint='write {"token": "apiv3_…", "name": "_admin"}',
        ) from None


async def apply_preset(preset: PresetToken, tokens: TokenTable, writer: CatalogWriter) -> None:
    """Make `preset` a valid admin token; of an existing one of its name the old text is void.

    Raises:
        InvalidNameError, WalError: As they say.
    """
    digest = hash_of(preset.token)
    expiry_ns = None if preset.expiry_millis is None else preset.expiry_millis * 1_000_000
    existing = next((token for token in tokens.all() if token.name == preset.name), None)
    if existing is None:
        await writer.create_token(
            preset.name, digest=digest, permissions=[ADMIN_PERMISSION], expiry_ns=expiry_ns
        )
        logger.info("admin token created as preset", extra=keys(name=preset.name))
    elif not is_admin(existing):
        raise ConfigError(f"the preset token's name '{preset.name}' is taken by another token")
    elif existing.hash != digest or existing.expiry_ns != expiry_ns:
        await writer.regenerate_token(preset.name, digest=digest, expiry_ns=expiry_ns)
        logger.warning("admin token replaced by the preset one", extra=keys(name=preset.name))


def check_address(config: ServeConfig, tokens: TokenTable) -> None:
    """Refuse to be open to other machines by accident.

    Raises:
        ConfigError: Others reach the address, and neither a token nor ``--without-auth`` says that
            they may.
    """
    if tokens.has_admin or config.without_auth:
        return
    for flag, bind in (("--http-bind", config.http_bind), ("--flight-bind", config.flight_bind)):
        if bind is None or is_loopback(bind[0]):
            continue
        raise ConfigError(
            f"{flag}: {bind[0]} can be reached from other machines, and there is no admin token",
            hint="give one with --admin-token-file, or create one while the server listens on "
            "127.0.0.1 (headrace create token --admin), or add --without-auth when the network "
            "keeps strangers out",
        )
