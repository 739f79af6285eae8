# Owns a fuzzing run: one target, so many seconds. With atheris it is guided by coverage: of the
# compiled code where that was built for it (make fuzz, with clang), else of the reference parser.
"""Fuzz one target: ``python -m tests.fuzz.run TARGET --seconds 60 [--corpus DIR]``."""

import argparse
import hashlib
import importlib.util
import sys
import time
from pathlib import Path

from tests.fuzz.mutation import INPUT_BYTES_MAX, inputs
from tests.fuzz.seeds import TOKENS, seeds
from tests.fuzz.targets import TARGETS


def write_inputs(directory: Path, contents: list[bytes]) -> None:
    """Put each input into a file of its own, named by its content."""
    directory.mkdir(parents=True, exist_ok=True)
    for content in contents:
        digest = hashlib.sha256(content).hexdigest()[:24]
        (directory / digest).write_bytes(content)


def quoted(token: bytes) -> str:
    """The token as libFuzzer reads it."""
    return "".join(f"\\x{byte:02x}" for byte in token)


def run_with_atheris(target: str, seconds: int, corpus: Path, findings: Path) -> None:
    """Let libFuzzer choose the inputs; it ends the process."""
    import atheris

    write_inputs(corpus, seeds(target))
    findings.mkdir(parents=True, exist_ok=True)
    tokens = corpus.with_name(f"{target}.dict")
    tokens.write_text("".join(f'"{quoted(token)}"\n' for token in TOKENS))
    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-dict={tokens}",
        f"-artifact_prefix={findings}/{target}-",
        "-timeout=20",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
        "-verbosity=1",
        str(corpus),
    ]
    from tests.support import reference_parser

    atheris.instrument_func(reference_parser.parse_line)
    atheris.Setup(arguments, TARGETS[target], internal_libfuzzer=not is_built_for_libfuzzer())
    atheris.Fuzz()


def is_built_for_libfuzzer() -> bool:
    """Whether the extensions report their coverage to a libFuzzer that was loaded first."""
    from lp_core import _parse

    return b"__sanitizer_cov_8bit_counters_init" in Path(_parse.__file__).read_bytes()


def run_plain(target: str, seconds: int, findings: Path, seed: int) -> int:
    """Random changes without guidance; returns the number of inputs tried."""
    deadline = time.monotonic() + seconds
    for number, data in enumerate(inputs(seeds(target), seed)):
        if time.monotonic() >= deadline:
            return number
        try:
            TARGETS[target](data)
        except BaseException:
            write_inputs(findings, [data])
            print(f"finding in {target}, input kept in {findings}: {data!r}", file=sys.stderr)
            raise
    raise AssertionError("the inputs have no end")


def main() -> None:
    """Fuzz as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--directory", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--engine", choices=["atheris", "plain"])
    parser.add_argument("--seed", type=int, default=0, help="of the plain engine")
    parser.add_argument("--replay", type=Path, help="run the target on this file and end")
    options = parser.parse_args()
    if options.replay is not None:
        TARGETS[options.target](options.replay.read_bytes())
        return
    engine = options.engine or ("atheris" if importlib.util.find_spec("atheris") else "plain")
    findings = options.directory / "findings"
    print(f"{options.target}: {engine}, {options.seconds} s", flush=True)
    if engine == "atheris":
        corpus = options.directory / "corpus" / options.target
        run_with_atheris(options.target, options.seconds, corpus, findings)
    else:
        count = run_plain(options.target, options.seconds, findings, options.seed)
        print(f"{options.target}: {count} inputs, no finding")


if __name__ == "__main__":
    main()
