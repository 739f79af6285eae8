"""Every command and flag of the reference's command line is taken, or refused by its name."""

import pytest

from engine.cli.main import build_parser
from engine.cli.unsupported import COMMANDS, SERVE_FLAGS

PARSER = build_parser()
CONNECTION = "-H http://h --token t --tls-ca f --tls-no-verify"
FORMAT = ("--format pretty", "--format json", "--format jsonl", "--format csv", "--format parquet")

TAKEN = (
    "create database x --retention-period 30d",
    "create database --database x",
    "create token --admin --name n --expiry 30d",
    "create token --admin --regenerate",
    "create token --admin --format json --offline --output-file f",
    "create token --admin --format text",
    *(
        f"create trigger -d db --trigger-spec {spec} {path} --upload --trigger-arguments k=v,k2=v2 "
        f"--disabled {asynchronous} --error-behavior {behavior} --token t name"
        for spec, path, asynchronous, behavior in (
            ("all_tables", "--path p.py", "--run-asynchronous", "log"),
            ("all-tables", "--plugin-filename p.py", "--run-asynchronously", "retry"),
            ("schedule:*", "--path p", "--run-asynchronous", "disable"),
        )
    ),
    "create table x -d d --tags a,b --fields f:int64",
    "create last_cache -d d -t t --key-columns a --value-columns b --count 1 --ttl 4h",
    "create distinct_cache n -d d -t t --columns a --max-cardinality 5 --max-age 1d",
    "delete last_cache n -d d -t t",
    "delete distinct_cache n -d d -t t",
    "delete database x -y",
    "delete database x --hard-delete now",
    "delete table x -d d --hard-delete never -y",
    "show databases --show-deleted",
    "delete database x --yes",
    "delete trigger x --database d --force",
    "delete token --token-name n -y",
    "update database -d x -r 30d",
    "update database --database x --retention-period none",
    "update trigger -d d -t x -p f",
    "update trigger -d d --trigger-name x --path f",
    *(f"show databases {form}" for form in FORMAT),
    *(f"show tokens {form}" for form in FORMAT),
    *(f"show plugins {form}" for form in FORMAT),
    *(f"show retention --database d {form}" for form in FORMAT),
    *(f"show system -d d table-list {form}" for form in FORMAT),
    "show system --database d table queries -l 3 -o issue_time -s id",
    "show s -d d table queries --limit 3 --order-by issue_time --select id --format json",
    f"show system -d d {CONNECTION} summary -l 10",
    "enable trigger x -d d",
    "disable trigger x -d d",
    "install package a b -r f",
    "install package --requirements f",
    "test wal_plugin f -d d --lp x --input-arguments a=b,c=d --cache-name n",
    "test wal_plugin f -d d --file f",
    "test schedule_plugin f -d d --schedule c --input-arguments a=b --cache-name n",
    "write -d d -f f -p ns --accept-partial --no-sync --gzip --max-request-size 1000 "
    "--max-concurrent-requests 3 -q --write-host http://w",
    "w --database d x --precision s --quiet --file f",
    "query -d d q -l sql --format csv -o f --query-host http://q",
    "q --database d -f f --language influxql --output f",
    "q --file f -d d",
    *(
        f"serve {flags}"
        for flags in (
            "--node-id n",
            "--host-id n",
            "--node-id-from-env V",
            "--object-store file",
            "--data-dir d",
            "--http-bind 127.0.0.1:1",
            "--without-auth",
            "--disable-authz health,ping,metrics",
            "--admin-token-file f",
            "--max-http-request-size 1",
            "--gen1-duration 10m",
            "--wal-flush-interval 1s",
            "--exec-mem-pool-bytes 1GB",
            "--exec-mem-pool-size 1GB",
            "--max-concurrent-queries 3",
            "--plugin-dir d",
            "--virtual-env-location d",
            "--plugin-repo http://h",
            "--package-manager uv",
            "--tls-key f --tls-cert f --tls-minimum-version tls-1.3",
            "--log-filter info",
            "--disable-telemetry-upload",
        )
    ),
)

REFUSED = (
    *(" ".join(words) + " name -d d -t t --anything" for words in COMMANDS),
    "debug catalog list --node-id n",
    *(f"serve {flag} 1" for flags in SERVE_FLAGS for flag in flags),
    "--num-io-threads 2 serve",
    "--num-threads 2 serve",
)

# What the reference's documentation lists for `serve`, less what `TAKEN` has.
SERVE_REFUSED = frozenset(
    [
        "--bucket",
        "--aws-access-key-id",
        "--aws-secret-access-key",
        "--aws-default-region",
        "--aws-endpoint",
        "--google-service-account",
        "--azure-storage-account",
        "--azure-storage-access-key",
        "--admin-token-recovery-http-bind",
        "--gen1-lookback-duration",
        "--wal-snapshot-size",
        "--wal-files-per-snapshot",
        "--wal-max-write-buffer-size",
        "--wal-max-buffered-writes",
        "--wal-replay-fail-on-error",
        "--wal-replay-concurrency-limit",
        "--snapshotted-wal-files-to-keep",
        "--snapshot-concurrency-limit",
        "--checkpoint-interval",
        "--force-snapshot-mem-threshold",
        "--force-snapshot-mem-size",
        "--parquet-mem-cache-size",
        "--file-cache-size",
        "--parquet-mem-cache-prune-percentage",
        "--parquet-mem-cache-prune-interval",
        "--parquet-mem-cache-query-path-duration",
        "--disable-parquet-mem-cache",
        "--query-file-limit",
        "--query-log-size",
        "--query-log-max-entries",
        "--retention-check-interval",
        "--delete-grace-period",
        "--hard-delete-default-duration",
        "--last-cache-eviction-interval",
        "--distinct-cache-eviction-interval",
        "--table-index-cache-max-entries",
        "--table-index-cache-concurrency-limit",
        "--restrict-plugin-triggers-to",
        "--num-datafusion-threads",
        "--datafusion-num-threads",
        "--datafusion-config",
        "--log-destination",
        "--log-format",
        "-v",
        "--cluster-id",
        "--telemetry-endpoint",
        "--tcp-listener-file-path",
        "--test-mode",
    ]
)


@pytest.mark.parametrize("line", TAKEN)
def test_it_is_taken(line: str) -> None:
    words = line.split()
    whole = PARSER.parse_args(words)
    quick = build_parser(words[0]).parse_args(words)
    assert whole.module == quick.module
    assert whole.function == quick.function


@pytest.mark.parametrize("line", REFUSED)
def test_it_is_refused_by_its_name(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        PARSER.parse_args(line.split())
    assert ended.value.code == 2
    assert "is not supported" in capsys.readouterr().err


def test_every_flag_of_serve_is_taken_or_refused() -> None:
    assert {flag for flags in SERVE_FLAGS for flag in flags} >= SERVE_REFUSED


@pytest.mark.parametrize("flag", ["-V", "--version", "-h", "--help", "--help-all"])
def test_help_and_version_end_well(flag: str) -> None:
    with pytest.raises(SystemExit) as ended:
        PARSER.parse_args([flag])
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("line", "guess"),
    [
        ("quer -d d", "'query'"),
        ("create databse x", "'database'"),
        ("query -d d --fromat json", "'--format'"),
        ("query -d d --format parket", "'parquet'"),
        ("serve --datadir x", "'--data-dir'"),
        ("show system -d d tabl queries", "'table'"),
    ],
)
def test_the_nearest_word_is_suggested(
    line: str, guess: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        PARSER.parse_args(line.split())
    assert ended.value.code == 2
    assert f"did you mean {guess}?" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["query -d d --form json", "serve --data d", "frobnicate"])
def test_flags_are_not_abbreviated(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        PARSER.parse_args(line.split())
    assert ended.value.code == 2
    assert "headrace" in capsys.readouterr().err
