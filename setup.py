"""Build of the Cython extensions of lp_core and engine; everything else stands in pyproject.toml.

Switches, read from the environment so that they reach an isolated build:
``HEADRACE_DEBUG=1``     bounds checks, C assertions, no optimisation
``HEADRACE_SANITIZE=1``  address and undefined-behaviour sanitizers (run with LD_PRELOAD=libasan)
``HEADRACE_FUZZ=1``      coverage for libFuzzer and the address sanitizer; needs CC=clang
``HEADRACE_COVERAGE=1``  line tracing for Cython coverage
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_py import build_py


def is_on(switch: str) -> bool:
    """Whether the environment switches it on."""
    return os.environ.get(switch, "0") not in ("", "0")


DEBUG = is_on("HEADRACE_DEBUG")
SANITIZE = is_on("HEADRACE_SANITIZE")
FUZZ = is_on("HEADRACE_FUZZ")
COVERAGE = is_on("HEADRACE_COVERAGE")

compile_args = ["-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-unused-function"]
link_args: list[str] = []
if DEBUG or SANITIZE:
    compile_args += ["-O1", "-g", "-UNDEBUG"]
else:
    compile_args += ["-O3"]
if SANITIZE:
    flags = [
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=undefined",
        "-fno-omit-frame-pointer",
    ]
    compile_args += flags
    link_args += flags

if FUZZ:
    compile_args += [
        "-fsanitize=fuzzer-no-link,address",
        "-fno-omit-frame-pointer",
        "-g",
        "-UNDEBUG",
    ]

directives = {
    "language_level": 3,
    "binding": True,
    "embedsignature": True,
    "boundscheck": DEBUG,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": DEBUG,
    "linetrace": COVERAGE,
}
macros = [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")] if COVERAGE else []

extensions = [
    Extension(
        ".".join(source.relative_to("src").with_suffix("").parts),
        [str(source)],
        include_dirs=["src/lp_core"],
        define_macros=macros,
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        depends=[str(header) for header in sorted(Path("src/lp_core").glob("*.h"))],
    )
    for source in sorted(Path("src").rglob("_*.pyx"))
]


class BuildWithoutGeneratedC(build_py):
    """Keeps the generated .c files, which lie beside their .pyx, out of the wheel."""

    def find_data_files(self, package: str, src_dir: str) -> list[str]:
        """Package data without generated or Cython source."""
        files: list[str] = super().find_data_files(package, src_dir)
        return [name for name in files if not name.endswith((".c", ".cpp", ".pyx"))]


setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives=directives,
        include_path=["src"],
        nthreads=os.cpu_count() or 1,
    ),
    cmdclass={"build_py": BuildWithoutGeneratedC},
    # One compiler for each core; --parallel says otherwise.
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
