# Owns the server's error hierarchy. Errors carry data and a stable snake_case `code`; HTTP statuses
# are decided in http/error_responses.py alone. OSError and MemoryError pass through unwrapped.
"""Errors of the server."""

from typing import ClassVar


class EngineError(Exception):
    """Base of all errors that the server raises on purpose.

    Attributes:
        code: Stable machine-readable category.
        hint: What the user can do next; empty when the message says it all.
    """

    code: ClassVar[str] = "engine_error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(EngineError):
    """A flag, environment variable or combination of them is not acceptable."""

    code = "config_error"


class SettingError(ConfigError):
    """A setting of the server cannot be understood, or settings do not go together."""

    code = "setting_error"


class CatalogError(EngineError):
    """A catalog change or look-up is not possible."""

    code = "catalog_error"


class DatabaseNotFoundError(CatalogError):
    """No database of that name exists."""

    code = "database_not_found"


class TableMissingError(CatalogError):
    """No table of that name exists in the database."""

    code = "table_missing"


class TriggerNotFoundError(CatalogError):
    """No trigger of that name exists in the database."""

    code = "trigger_not_found"


class CacheNotFoundError(CatalogError):
    """The table has no cache of that name."""

    code = "cache_not_found"


class CacheTableNotFoundError(CatalogError):
    """A cache is wanted of a table that its database does not have."""

    code = "cache_table_not_found"


class TokenNotFoundError(CatalogError):
    """No token of that name exists."""

    code = "token_not_found"


class LastAdminTokenError(CatalogError):
    """Without this token nobody could administer the server any more."""

    code = "last_admin_token"


class AlreadyExistsError(CatalogError):
    """A resource of that name (or request path) exists already."""

    code = "already_exists"


class AlreadyDeletedError(CatalogError):
    """What is to be changed was deleted before."""

    code = "already_deleted"


class InvalidNameError(CatalogError):
    """A name does not follow the naming rules."""

    code = "invalid_name"


class TriggerEnabledError(CatalogError):
    """An enabled trigger is deleted without force."""

    code = "trigger_enabled"


class BackupFailedError(EngineError):
    """A backup or a restore could not be done."""

    code = "backup_failed"


class BackupLimitError(EngineError):
    """Too many backups are under way."""

    code = "backup_limit"


class BackupNotFoundError(EngineError):
    """There is no such backup under way, or no such file in it."""

    code = "backup_not_found"


class WriteError(EngineError):
    """A write cannot be accepted."""

    code = "write_error"


class PartialWriteError(WriteError):
    """Some lines of a write were refused; ``stored`` says whether the good ones were kept."""

    code = "partial_write"

    def __init__(
        self, message: str, *, lines: list[dict[str, object]], stored: bool, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.lines = lines
        self.stored = stored


class BackPressureError(WriteError):
    """The server cannot take more work now; try again after ``retry_after_s``."""

    code = "back_pressure"

    def __init__(self, message: str, *, retry_after_s: int = 1, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class DiskFullError(BackPressureError):
    """There is no room on the disk for what is to be written."""

    code = "disk_full"


class BodyTooLargeError(WriteError):
    """A request body, raw or decompressed, is over the limit."""

    code = "body_too_large"


class DeadLetterNotFoundError(EngineError):
    """No parked rows have that id."""

    code = "dead_letter_not_found"


class RequestError(EngineError):
    """A request is malformed: parameters, headers, encoding or body."""

    code = "bad_request"


class WalError(EngineError):
    """The log does not accept records any more."""

    code = "wal_error"


class RecoveryError(EngineError):
    """The data directory cannot be brought back to a consistent state."""

    code = "recovery_error"


class QueryError(EngineError):
    """A query is refused or failed for a reason in the query."""

    code = "query_error"


class QueryNotSupportedError(QueryError):
    """A statement, function or clause is one that the server does not offer (yet)."""

    code = "query_not_supported"


class TableNotFoundError(QueryError):
    """A query names a table that its database does not have."""

    code = "table_not_found"


class QueryCancelledError(QueryError):
    """A query was stopped because nobody waits for its answer any more."""

    code = "query_cancelled"


class QueryTimeoutError(QueryError):
    """A query ran longer than its limit."""

    code = "query_timeout"


class QueryResourceError(QueryError):
    """A query needs more memory or temporary space than it may use."""

    code = "query_resources"


class FileDamagedError(QueryError):
    """A query needs rows of a file that cannot be read."""

    code = "file_damaged"


class PluginError(EngineError):
    """A plugin cannot be loaded or run."""

    code = "plugin_error"


class TriggerRightsError(PluginError):
    """A plugin asked for what its trigger has no right to."""

    code = "trigger_rights"


class SecretError(PluginError):
    """A secret cannot be taken."""

    code = "bad_secret"


class SecretNotFoundError(PluginError):
    """There is no secret of that name."""

    code = "secret_not_found"


class PluginNotFoundError(PluginError):
    """The plugin file does not exist in the plugin directory."""

    code = "plugin_not_found"


class PluginPathError(PluginError):
    """The plugin file name leads outside the plugin directory."""

    code = "plugin_path"


class PluginFetchError(PluginError):
    """A plugin repository does not give a file."""

    code = "plugin_fetch"


class PackageInstallError(PluginError):
    """A package for plugins could not be installed."""

    code = "package_install"


class PackagesDisabledError(PluginError):
    """The server does not install packages."""

    code = "packages_disabled"


class PluginLoadError(PluginError):
    """The plugin file exists but cannot be executed or lacks its entry point."""

    code = "plugin_load"


class PluginTimeoutError(PluginError):
    """A run took longer than the trigger's time-out and its worker was killed."""

    code = "plugin_timeout"


class PluginCrashedError(PluginError):
    """The worker process ended while it ran the plugin."""

    code = "plugin_crashed"


class PluginWorkerLostError(PluginCrashedError):
    """The worker process went for a reason outside of the run, which is not to blame."""

    code = "plugin_worker_lost"


class TriggerSpecError(PluginError):
    """A trigger specification cannot be understood."""

    code = "trigger_spec"


class AuthError(EngineError):
    """A request is not allowed to do this."""

    code = "auth_error"


class ForeignHostError(AuthError):
    """While there are no tokens, a request comes from or through another site."""

    code = "foreign_host"


class ForbiddenError(AuthError):
    """A valid token does not permit what was asked."""

    code = "forbidden"


class UnauthenticatedError(AuthError):
    """A request brings no token (``is_missing``), or one that is not valid."""

    code = "unauthenticated"

    def __init__(self, message: str, *, hint: str = "", is_missing: bool) -> None:
        super().__init__(message, hint=hint)
        self.is_missing = is_missing


class MalformedCredentialsError(AuthError):
    """An Authorization header cannot be understood."""

    code = "malformed_credentials"


class TooManyFailuresError(AuthError):
    """So many clients are being slowed for wrong tokens that one more cannot wait its time."""

    code = "too_many_failures"


class EndpointDisabledError(AuthError):
    """The server was started without what this route is about."""

    code = "endpoint_disabled"
