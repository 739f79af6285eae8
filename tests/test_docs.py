"""The documentation names what exists: routes, commands, settings; its snippets run."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from engine.errors import EngineError
from engine.http.app import routes
from engine.plugins.source_check import check_plugin
from engine.serve_options import FLAGS
from tests.support.any_service import AnyService
from tests.support.server import ROOT, ServerProcess
from tests.support.waiting import wait_for

DOCS = ROOT / "docs"


def generator(name: str = "generate") -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_api_is_what_the_routing_table_gives() -> None:
    page = (DOCS / "http_api.md").read_text()
    assert generator().generated(page) == page, "run `make docs`"
    for route in routes(AnyService()):
        assert route.path.replace("/*", "/PATH") in page
        assert route.summary


def test_the_page_of_the_commands_is_what_the_parsers_give() -> None:
    page = (DOCS / "cli.md").read_text()
    assert generator("generate_cli").generated(page) == page, "run `make docs`"
    for command in ("headrace serve", "headrace create trigger", "headrace show system table"):
        assert f"### {command}\n" in page


def test_every_setting_with_a_limit_is_documented() -> None:
    text = (DOCS / "operations.md").read_text()
    for option in FLAGS:
        if option.flag not in ("--node-id", "--object-store", "--without-auth", "--log-level"):
            assert f"`{option.flag}`" in text, option.flag


def test_error_codes_are_distinct() -> None:
    def kinds(base: type[EngineError]) -> set[type[EngineError]]:
        return {base, *(kind for sub in base.__subclasses__() for kind in kinds(sub))}

    codes = [kind.code for kind in kinds(EngineError)]
    assert len(codes) == len(set(codes))


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.e2e
def test_the_plugin_of_the_readme_works(make_server: Callable[..., ServerProcess]) -> None:
    text = (ROOT / "README.md").read_text()
    (source,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    server = make_server().start()
    server.plugin("report.py", source)
    shell = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    lines = [line.split("#")[0].strip() for line in shell.splitlines()]
    lines = [line for line in lines if line.startswith("headrace ") and "serve" not in line]
    assert len(lines) == 7
    for line in lines[:5]:
        arguments = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", line)][1:]
        result = server.cli(*arguments)
        assert result.returncode == 0, (line, result.stderr)

    def reported() -> bool:
        arguments = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", lines[5])][1:]
        return "| cpu " in server.cli(*arguments).stdout

    wait_for(reported, "the report is written")
    assert (
        "reported 1 tables"
        in server.cli("query", "-d", "mydb", "SELECT * FROM system.processing_engine_logs").stdout
    )


@pytest.mark.parametrize(
    ("filename", "kind"),
    [("system_metrics.py", "schedule"), ("aggregate_writes.py", "wal"), ("summary.py", "request")],
)
def test_example_plugins_pass_the_check_at_creation(filename: str, kind: str) -> None:
    check_plugin(Path(ROOT / "examples" / "plugins" / filename), kind)


def test_the_example_of_lp_core_gives_what_it_says() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "lp_core.md").read_text(), re.DOTALL)
    names: dict[str, object] = {}
    shown = 0
    for line in example.splitlines():
        code, _, comment = line.partition("  # ")
        if comment.startswith("["):
            assert eval(code, names) == eval(comment), line
            shown += 1
        else:
            exec(code, names)
    assert shown == 1
    line = b"cpu,host=a usage=1.5,cores=4i 1627680000000000000\n"
    assert eval("build_lines(batch)", names) == line
