# Owns what the reference's command line has and this one has not: each with the reason and what to
# do instead. docs/cli.md lists it.
"""Commands and flags of the reference that are refused by name."""

from engine.cli.parsing import Verbs

_CACHES = "what is too old is left out whenever a cache is asked"
_OBJECT_STORE = "data lives in files of this machine: --object-store file, --data-dir DIR"
_FILE_CACHE = "the operating system caches files"
_TABLE_INDEX = "files are found through the manifest, which is in memory"
_DELETION = "the command that deletes says when rows go: --hard-delete"
_INSTANCE = "the log is written by group commit, and moved to files by its size"

COMMANDS: dict[tuple[str, str], str] = {
    ("debug", "catalog"): "the catalog is part of the log: headrace wal dump FILE prints it",
}

# Flags of `serve`, all spellings of one together.
SERVE_FLAGS: dict[tuple[str, ...], str] = {
    ("--bucket",): _OBJECT_STORE,
    ("--aws-access-key-id",): _OBJECT_STORE,
    ("--aws-secret-access-key",): _OBJECT_STORE,
    ("--aws-default-region",): _OBJECT_STORE,
    ("--aws-endpoint",): _OBJECT_STORE,
    ("--aws-session-token",): _OBJECT_STORE,
    ("--aws-allow-http",): _OBJECT_STORE,
    ("--aws-skip-signature",): _OBJECT_STORE,
    ("--aws-credentials-file",): _OBJECT_STORE,
    ("--google-service-account",): _OBJECT_STORE,
    ("--azure-storage-account",): _OBJECT_STORE,
    ("--azure-storage-access-key",): _OBJECT_STORE,
    ("--azure-endpoint",): _OBJECT_STORE,
    ("--azure-allow-http",): _OBJECT_STORE,
    ("--admin-token-recovery-http-bind",): "a lost admin token is replaced by --admin-token-file",
    ("--gen1-lookback-duration",): "files of any age are queried",
    ("--wal-snapshot-size", "--wal-files-per-snapshot"): f"{_INSTANCE}: --persist-log-size",
    ("--wal-max-write-buffer-size", "--wal-max-buffered-writes"): (
        "what waits for the disk has a limit of its own, see docs/operations.md"
    ),
    ("--wal-replay-fail-on-error",): "a damaged log always stops the start; see docs/operations.md",
    ("--wal-replay-concurrency-limit",): "the log is read in its order",
    ("--snapshotted-wal-files-to-keep",): "log files go once nobody needs them: --wal-kept-max",
    ("--snapshot-concurrency-limit",): "one thread moves rows to files",
    ("--checkpoint-interval",): f"{_INSTANCE}: --checkpoint-log-size",
    ("--force-snapshot-mem-threshold", "--force-snapshot-mem-size"): (
        f"{_INSTANCE}: --persist-log-size"
    ),
    ("--parquet-mem-cache-size", "--file-cache-size"): _FILE_CACHE,
    ("--parquet-mem-cache-prune-percentage", "--file-cache-prune-percentage"): _FILE_CACHE,
    ("--parquet-mem-cache-prune-interval", "--file-cache-prune-interval"): _FILE_CACHE,
    ("--parquet-mem-cache-query-path-duration", "--file-cache-recency"): _FILE_CACHE,
    ("--disable-parquet-mem-cache", "--disable-file-cache"): _FILE_CACHE,
    ("--query-file-limit",): "a query may read any number of files",
    ("--query-log-size", "--query-log-max-entries"): "system.queries has the last 1000 queries",
    ("--retention-check-interval",): "rows past their retention are hidden at once",
    ("--delete-grace-period",): _DELETION,
    ("--hard-delete-default-duration",): _DELETION,
    ("--last-cache-eviction-interval",): _CACHES,
    ("--distinct-cache-eviction-interval",): _CACHES,
    ("--table-index-cache-max-entries",): _TABLE_INDEX,
    ("--table-index-cache-concurrency-limit",): _TABLE_INDEX,
    ("--restrict-plugin-triggers-to",): "triggers are for who has an admin token",
    ("--num-io-threads", "--num-threads"): "the server needs one thread for connections",
    ("--num-datafusion-threads", "--datafusion-num-threads"): "queries use every processor",
    ("--datafusion-config",): "SQL runs on another engine; see docs/sql.md",
    ("--log-destination",): "the log goes to standard error",
    ("--log-format",): "log lines are of one form; see docs/operations.md",
    ("-v",): "use --log-level debug",
    ("--cluster-id",): "one server is a cluster of its own",
    ("--telemetry-endpoint",): "nothing is ever sent anywhere",
    ("--tcp-listener-file-path",): "use --http-bind with a port",
    ("--test-mode",): "it is for the reference's own tests",
}

# These may stand before the command in the reference.
GLOBAL_FLAGS = (("--num-io-threads", "--num-threads"),)


def add_refused(nouns: Verbs, verb: str) -> None:
    """Add the `COMMANDS` of `verb`, to be refused whatever words follow."""
    for (first, noun), reason in COMMANDS.items():
        if first == verb:
            nouns.add_parser(noun).refusal = reason
