# Owns the tokens that exist, and the rules that a change to them must keep. Part of the catalog;
# whether a request's token is a known one is decided in http/credentials.py.
"""The table of tokens."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence

import msgspec

from engine.catalog.changes import CreateToken, DeleteToken, RegenerateToken
from engine.catalog.model import Token
from engine.catalog.permissions import ADMIN_PERMISSION
from engine.errors import (
    AlreadyExistsError,
    InvalidNameError,
    LastAdminTokenError,
    TokenNotFoundError,
)
from engine.ids import TokenId

OPERATOR_NAME = "_admin"
TOKEN_PREFIX = "apiv3_"  # noqa: S105 - what tokens begin with
TOKEN_NAME_BYTES_MAX = 511
TOKEN_RANDOM_BYTES = 64


def new_secret(random: bytes) -> str:
    """The text of a token made of `random` bytes."""
    return TOKEN_PREFIX + urlsafe_b64encode(random).rstrip(b"=").decode()


def hash_of(secret: str) -> bytes:
    """What is stored of a token. It is long and random, so one round of SHA-512 is enough."""
    return hashlib.sha512(secret.encode("utf-8", "surrogatepass")).digest()


def is_admin(token: Token) -> bool:
    """Whether `token` permits everything."""
    return ADMIN_PERMISSION in token.permissions


class TokensImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint keeps of the tokens."""

    tokens: tuple[Token, ...] = ()
    next_id: int = 1


class TokenTable:
    """Tokens as of the last applied change."""

    def __init__(self) -> None:
        self._tokens: dict[TokenId, Token] = {}
        self._by_hash: dict[bytes, Token] = {}
        self._next_id = 1
        # Rises with every change: who keeps something derived from tokens looks here.
        self.version = 0

    def all(self) -> list[Token]:
        """All tokens in order of creation."""
        # Queries ask from other threads.
        return list(self._tokens.values())

    @property
    def has_admin(self) -> bool:
        """Whether anybody can administer the server by a token."""
        return any(is_admin(token) for token in self._tokens.values())

    def named(self, name: str) -> Token:
        """The token of that name.

        Raises:
            TokenNotFoundError: There is none.
        """
        for token in self._tokens.values():
            if token.name == name:
                return token
        raise TokenNotFoundError(f"the requested resource was not found: {name}")

    def of_secret(self, secret: str) -> Token | None:
        """The token whose text is `secret`, expired or not, or None."""
        digest = hash_of(secret)
        # The look-up goes by a hash with a key of this process, of a digest: its time tells nothing
        # about any stored one. What decides is the comparison.
        found = self._by_hash.get(digest)
        is_equal = hmac.compare_digest(digest, bytes(64) if found is None else found.hash)
        return found if is_equal else None

    def new_token(
        self,
        name: str,
        *,
        digest: bytes,
        permissions: Sequence[str],
        created_ns: int,
        expiry_ns: int | None,
    ) -> CreateToken:
        """The change that creates token `name`.

        Raises:
            InvalidNameError: The name breaks the rules, or there are no permissions.
            AlreadyExistsError: It exists.
            TokenNotFoundError: It is not for an administrator, and there is none yet.
        """
        if not name or len(name.encode("utf-8", "surrogatepass")) > TOKEN_NAME_BYTES_MAX:
            raise InvalidNameError(f"token name must have 1 to {TOKEN_NAME_BYTES_MAX} bytes")
        if any(ord(character) < 0x20 or ord(character) == 0x7F for character in name):
            raise InvalidNameError("token name cannot contain control characters")
        if any(token.name == name for token in self._tokens.values()):
            raise AlreadyExistsError(
                f"token name already exists, {name}",
                hint="choose another name, or delete it first: headrace delete token",
            )
        if not permissions:
            raise InvalidNameError("a token needs at least one permission")
        if ADMIN_PERMISSION not in permissions and not self.has_admin:
            raise TokenNotFoundError(
                "there is no admin token yet, so everybody on this machine may do everything",
                hint="create one first: headrace create token --admin",
            )
        token = Token(
            id=TokenId(self._next_id),
            name=name,
            hash=digest,
            permissions=tuple(permissions),
            created_ns=created_ns,
            expiry_ns=expiry_ns,
        )
        return CreateToken(token)

    def removal(self, name: str) -> DeleteToken:
        """The change that deletes token `name`.

        Raises:
            TokenNotFoundError: There is none.
            LastAdminTokenError: It is the operator's, or the last that permits everything.
        """
        token = self.named(name)
        if name == OPERATOR_NAME:
            raise LastAdminTokenError(
                "cannot delete operator token", hint="regenerate it, and the old text is void"
            )
        lasting = (
            is_admin(one) and (one.expiry_ns is None or token.expiry_ns is not None)
            for one in self._tokens.values()
            if one.id != token.id
        )
        if is_admin(token) and not any(lasting):
            raise LastAdminTokenError(
                f"{name} is the only admin token that lasts", hint="create another one first"
            )
        return DeleteToken(token.id)

    def image(self) -> TokensImage:
        """What a checkpoint keeps."""
        return TokensImage(tokens=tuple(self._tokens.values()), next_id=self._next_id)

    def restore(self, image: TokensImage) -> None:
        """Take over what a checkpoint has kept."""
        self._tokens = {token.id: token for token in image.tokens}
        self._by_hash = {token.hash: token for token in image.tokens}
        self._next_id = image.next_id
        self.version += 1

    def apply(self, change: CreateToken | RegenerateToken | DeleteToken) -> None:
        """Take over a durable change; one about a token that is gone already has no effect."""
        match change:
            case CreateToken(token=token):
                self._tokens[token.id] = token
                self._next_id = max(self._next_id, token.id + 1)
            case RegenerateToken(token_id=token_id) if token_id in self._tokens:
                self._tokens[token_id] = msgspec.structs.replace(
                    self._tokens[token_id],
                    hash=change.hash,
                    updated_ns=change.updated_ns,
                    expiry_ns=change.expiry_ns,
                )
            case DeleteToken(token_id=token_id):
                self._tokens.pop(token_id, None)
            case _:
                pass
        self._by_hash = {token.hash: token for token in self._tokens.values()}
        self.version += 1
