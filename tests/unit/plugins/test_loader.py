# Path safety and the check at creation; loading itself is tested in real workers, see test_host.py.

import pytest

from engine.errors import PluginLoadError, PluginNotFoundError, PluginPathError
from engine.plugins.loader import resolve
from engine.plugins.source_check import check_plugin


@pytest.fixture
def plugin_dir(tmp_path):
    directory = tmp_path / "plugins"
    (directory / "sub").mkdir(parents=True)
    (directory / "sub" / "import.py").touch()
    (directory / "package").mkdir()
    (directory / "package" / "__init__.py").touch()
    (tmp_path / "outside.py").touch()
    return directory


def test_files_and_packages_are_found_below_the_plugin_directory(plugin_dir):
    assert resolve(plugin_dir, "sub/import.py") == plugin_dir / "sub" / "import.py"
    assert resolve(plugin_dir, "package/") == plugin_dir / "package"


def test_a_link_that_stays_inside_is_followed(plugin_dir):
    (plugin_dir / "link.py").symlink_to("sub/import.py")
    assert resolve(plugin_dir, "link.py") == plugin_dir / "sub" / "import.py"


@pytest.mark.parametrize("name", ["n" * 300 + ".py", "n/" * 3_000 + "p.py"])
def test_a_name_that_no_file_can_have_is_not_found(tmp_path, name):
    with pytest.raises(PluginNotFoundError, match="File name too long"):
        resolve(tmp_path, name)


@pytest.mark.parametrize("name", ["../outside.py", "sub/../../outside.py", "/etc/passwd", "a\0b"])
def test_names_that_lead_outside_are_refused(plugin_dir, name):
    with pytest.raises(PluginPathError, match="Path traversal detected"):
        resolve(plugin_dir, name)


def test_links_that_lead_outside_are_refused(plugin_dir):
    (plugin_dir / "file.py").symlink_to(plugin_dir.parent / "outside.py")
    (plugin_dir / "dir").symlink_to(plugin_dir.parent)
    for name in ("file.py", "dir/outside.py", "dir/absent.py"):
        with pytest.raises(PluginPathError):
            resolve(plugin_dir, name)


@pytest.mark.parametrize("name", ["absent.py", "", ".", "sub", "sub/import.py/x"])
def test_what_is_not_a_plugin_is_not_found(plugin_dir, name):
    with pytest.raises(PluginNotFoundError) as caught:
        resolve(plugin_dir, name)
    assert caught.value.hint


def test_a_loop_of_links_is_not_found(plugin_dir):
    (plugin_dir / "loop").symlink_to("loop")
    with pytest.raises(PluginNotFoundError):
        resolve(plugin_dir, "loop")


@pytest.mark.parametrize(
    "source",
    [
        "def process_writes(a, b, c): pass",
        "if True:\n    def process_writes(a, b, c): pass",
        "try:\n    import x\nexcept ImportError:\n    from y import process_writes",
        "from y import z as process_writes",
        "process_writes = make()",
        "x, process_writes = 1, 2",
        "class process_writes: pass",
    ],
)
def test_an_entry_point_is_found_without_executing_the_file(tmp_path, source):
    path = tmp_path / "plugin.py"
    path.write_text(source + "\nraise SystemExit('executed')\n")
    check_plugin(path, "wal")
    with pytest.raises(PluginLoadError, match="process_request function is not present"):
        check_plugin(path, "request")


def test_a_star_import_may_bring_the_entry_point(tmp_path):
    path = tmp_path / "plugin.py"
    path.write_text("from y import *")
    check_plugin(path, "wal")


def test_an_inner_function_is_no_entry_point(tmp_path):
    path = tmp_path / "plugin.py"
    path.write_text("def outer():\n    def process_writes(a, b, c): pass\n")
    with pytest.raises(PluginLoadError) as caught:
        check_plugin(path, "wal")
    assert str(caught.value) == (
        "the process_writes function is not present in the plugin. Should be defined as: "
        "process_writes(influxdb3_local, table_batches, args=None)"
    )


def test_an_asynchronous_entry_point_is_refused(tmp_path):
    path = tmp_path / "plugin.py"
    path.write_text("async def process_writes(a, b, c): pass")
    with pytest.raises(PluginLoadError, match="async def"):
        check_plugin(path, "wal")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("def f(:\n", "SyntaxError"),
        ("def f():\nx", "IndentationError"),
        ("return 1", "'return' outside function"),
        ("x = '\0'", "null"),
    ],
)
def test_code_that_does_not_compile_is_refused_with_file_and_line(tmp_path, source, text):
    path = tmp_path / "plugin.py"
    path.write_text(source)
    with pytest.raises(PluginLoadError, match=text):
        check_plugin(path, "wal")


def test_every_module_of_a_package_must_compile(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("from .code import process_writes")
    (package / "code.py").write_text("def process_writes(a, b, c): pass")
    check_plugin(package, "wal")
    (package / "code.py").write_text("def process_writes(a, b, c) pass")
    with pytest.raises(PluginLoadError, match=r"code\.py, line 1"):
        check_plugin(package, "wal")


def test_a_file_that_cannot_be_read_is_not_found(tmp_path):
    with pytest.raises(PluginNotFoundError, match="Plugin not found"):
        check_plugin(tmp_path / "absent.py", "wal")
