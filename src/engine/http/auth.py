# Owns who may speak to the server. While no admin token exists only this machine may, and a web
# page of somebody else's may not make the user's browser do it (DNS rebinding, cross-site
# requests). From the first admin token on, every request needs one.
"""Admission of requests."""

from urllib.parse import urlsplit

from engine.catalog.permissions import ALL_RIGHTS, Rights
from engine.catalog.tokens import TokenTable
from engine.clock import Clock
from engine.errors import (
    ForeignHostError,
    MalformedCredentialsError,
    UnauthenticatedError,
)
from engine.http.access import Access, Right
from engine.http.asgi import Request
from engine.http.credentials import (
    CREDENTIALS_CHARACTERS_MAX,
    password_in_form,
    password_parameter,
    token_of_header,
)
from engine.http.failure_brake import FailureBrake
from engine.http.http_config import HttpConfig
from engine.http.routing import Route
from engine.metrics import MetricsRegistry

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

# Credentials of which the rights are remembered.
KNOWN_MAX = 1024

_NO_RIGHTS = Rights([])


def _host_of(authority: str) -> str:
    return (urlsplit(f"//{authority}").hostname or "").lower()


class Gatekeeper:
    """Decides about each request before its handler runs."""

    def __init__(
        self, config: HttpConfig, tokens: TokenTable, clock: Clock, metrics: MetricsRegistry
    ) -> None:
        self._is_open = config.without_auth
        self._hosts = LOOPBACK_NAMES | {config.host.lower()}
        # The Host header that has passed last; never one that has not.
        self._last_host: str | None = None
        self._exempt = config.paths_without_token
        self._tokens = tokens
        self._clock = clock
        self._brake = FailureBrake(clock)
        # What credentials, as sent, have turned out to permit and until when. Holds only good ones,
        # and only of the present tokens.
        self._known: dict[str, tuple[Rights, int | None]] = {}
        self._known_version = -1
        self._has_admin = False
        self._failures = metrics.counter(
            "headrace_auth_failures_total", "Requests refused for their token.", ("reason",)
        )

    @property
    def needs_token(self) -> bool:
        """Whether requests need a token at this moment."""
        if self._known_version != self._tokens.version:
            self._known.clear()
            self._known_version = self._tokens.version
            self._has_admin = self._tokens.has_admin
        return self._has_admin and not self._is_open

    async def admit(self, request: Request, route: Route | None) -> Access:
        """What the client may do on `route`; None stands for a path that there is not.

        Raises:
            UnauthenticatedError, MalformedCredentialsError, TooManyFailuresError: No valid token.
            ForbiddenError: The token does not permit this.
            ForeignHostError: There are no tokens yet, and the Host or Origin is not this machine.
        """
        right = Right.ANY if route is None else route.right
        if not self.needs_token:
            self.check_site(request)
            return Access(ALL_RIGHTS, right, version=self._known_version)
        if right is Right.NONE or request.path in self._exempt:
            return Access(_NO_RIGHTS, Right.NONE)
        takes_password = bool(route and route.takes_password)
        password = password_parameter(request) if takes_password else None
        header = request.headers.get("authorization")
        if password is None and header is None and route is not None and route.takes_form:
            password = await password_in_form(request)
        version = self._known_version
        rights, expiry_ns = await self._rights_of(header, password, request.client)
        return Access(rights, right, version=version, expiry_ns=expiry_ns)

    def still_admits(self, access: Access) -> bool:
        """Whether `admit` would give the same again, to a request with the same headers and URL.

        All that it goes by besides those are tokens and the time.
        """
        return access.version == self._tokens.version and not self._is_over(access.expiry_ns)

    async def admit_call(
        self, authorization: str | None, origin: str | None, client: str
    ) -> Access:
        """What the client of a call that is not HTTP may read.

        Args:
            authorization: What stands in its header of that name.
            origin: The same of the header that browsers alone send.
            client: Address of the other end of the connection.

        Raises:
            UnauthenticatedError, MalformedCredentialsError, TooManyFailuresError: No valid token.
            ForbiddenError: The token permits to read nothing.
            ForeignHostError: There are no tokens yet, and a browser is behind the call.
        """
        if not self.needs_token:
            # Browsers cannot speak this protocol; should one learn it, it is not let in.
            if origin is not None and not self._is_open:
                raise _foreign_page()
            return Access(ALL_RIGHTS, Right.READ)
        rights, _ = await self._rights_of(authorization, None, client)
        return Access(rights, Right.READ)

    async def _rights_of(
        self, header: str | None, password: str | None, client: str
    ) -> tuple[Rights, int | None]:
        """What the token in `password`, or else in `header`, permits, and until when.

        Failures are counted.
        """
        try:
            return self._rights(header, password)
        except UnauthenticatedError as error:
            if not error.is_missing:
                self._failures.add(1, "wrong token")
                await self._brake.hold(client)
            else:
                self._failures.add(1, "no token")
            raise
        except MalformedCredentialsError:
            self._failures.add(1, "malformed")
            raise

    def count_forbidden(self) -> None:
        """A valid token did not permit what was asked."""
        self._failures.add(1, "forbidden")

    def _rights(self, header: str | None, password: str | None) -> tuple[Rights, int | None]:
        credentials = header if password is None else f"p={password}"
        if not credentials:
            raise _unauthenticated(is_missing=True)
        found = self._known.get(credentials)
        if found is None:
            if password is None:
                found = self._look_up(token_of_header(credentials))
            else:
                found = self._look_up(password)
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[credentials] = found
        if self._is_over(found[1]):
            raise _unauthenticated()
        return found

    def _is_over(self, expiry_ns: int | None) -> bool:
        return expiry_ns is not None and self._clock.now_ns() >= expiry_ns

    def _look_up(self, secret: str) -> tuple[Rights, int | None]:
        token = (
            self._tokens.of_secret(secret) if len(secret) <= CREDENTIALS_CHARACTERS_MAX else None
        )
        if token is None:
            raise _unauthenticated()
        return Rights(token.permissions), token.expiry_ns

    def check_site(self, request: Request) -> None:
        """While there are no tokens: refuse what comes from or through another site.

        Raises:
            ForeignHostError: It does.
        """
        if self._is_open or self.needs_token:
            return
        # Clients of HTTP/1.0 (load balancers, mostly) name no host; browsers always do.
        headers = request.headers
        host = headers.get("host")
        if host == self._last_host and "origin" not in headers and "sec-fetch-site" not in headers:
            return
        try:
            if host and _host_of(host) not in self._hosts:
                raise ForeignHostError(
                    f"requests for host {_host_of(host)!r} are refused while there are no tokens",
                    hint="use localhost or 127.0.0.1, or create a token: headrace create token "
                    "--admin",
                )
            origin = headers.get("origin")
            if origin is not None:
                is_foreign = (urlsplit(origin).hostname or "").lower() not in self._hosts
            else:
                # Images, links and forms that GET say nothing of where they stand but this.
                is_foreign = headers.get("sec-fetch-site") == "cross-site"
            if is_foreign:
                raise _foreign_page()
            # Taking an authority apart costs more than the rest of the check.
            self._last_host = host
        except ValueError:
            raise ForeignHostError("the Host or Origin header cannot be understood") from None


def _foreign_page() -> ForeignHostError:
    return ForeignHostError(
        "requests from web pages of other sites are refused while there are no tokens",
        hint="create a token: headrace create token --admin",
    )


def _unauthenticated(*, is_missing: bool = False) -> UnauthenticatedError:
    return UnauthenticatedError(
        "the request was not authenticated",
        hint="send the header 'Authorization: Bearer TOKEN'"
        if is_missing
        else "the token is unknown or has expired",
        is_missing=is_missing,
    )
