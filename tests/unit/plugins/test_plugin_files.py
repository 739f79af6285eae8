"""Uploads into the plugin directory."""

import os
from pathlib import Path

import pytest

from engine.errors import PluginError, PluginLoadError, PluginPathError
from engine.filesystem import FileSystem
from engine.plugins.plugin_files import PluginFiles, files_of
from tests.support.deep_directories import deep_directories

HOSTILE_NAMES = [
    "../x.py",
    "a/../../x.py",
    "/abs.py",
    "",
    ".",
    "..",
    "a/",
    ".venv/lib/x.py",
    "a/.hidden/x.py",
    "a\0b.py",
    "a\\..\\x.py",
    "n" * 300,
    "d/" * 32 + "x.py",
    ("n" * 199 + "/") * 6 + "x.py",
    "😀" * 63,
    "a\nb.py",
    "\ud800.py",
]


def tree(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_a_file_is_stored_with_its_directories_and_overwritten(tmp_path):
    files = PluginFiles(tmp_path, FileSystem())
    files.store("a/b/p.py", "x = 1\n")
    files.store("a/b/p.py", "x = 2\n")
    files.store("a/settings.toml", "not = python")
    assert tree(tmp_path) == {"a/b/p.py": "x = 2\n", "a/settings.toml": "not = python"}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    root = tmp_path / "plugins"
    root.mkdir()
    with pytest.raises(PluginPathError, match="Path traversal detected"):
        PluginFiles(root, FileSystem()).store(name, "x = 1")
    with pytest.raises(PluginPathError):
        PluginFiles(root, FileSystem()).replace_package(name, {"__init__.py": ""})
    with pytest.raises(PluginPathError):
        PluginFiles(root, FileSystem()).replace_package("p", {"__init__.py": "", name: ""})
    assert list(tmp_path.rglob("*")) == [root]


def test_links_are_never_written_through(tmp_path):
    root, outside = tmp_path / "plugins", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "victim.py").write_text("v")
    (root / "dir").symlink_to(outside)
    (root / "file.py").symlink_to(outside / "victim.py")
    files = PluginFiles(root, FileSystem())
    for name in ("dir/new.py", "dir/victim.py", "file.py"):
        with pytest.raises(PluginPathError):
            files.store(name, "x = 1")
    with pytest.raises(PluginPathError):
        files.replace_package("dir", {"__init__.py": ""})
    with pytest.raises(PluginPathError):
        files.replace_package("dir/inner", {"__init__.py": ""})
    assert tree(outside) == {"victim.py": "v"}
    assert sorted(names_in(root)) == ["dir", "file.py"]


def test_a_directory_is_not_replaced_by_a_file_nor_entered_as_one(tmp_path):
    files = PluginFiles(tmp_path, FileSystem())
    files.store("a/p.py", "x = 1")
    with pytest.raises(PluginPathError):
        files.store("a", "x = 1")
    with pytest.raises(PluginPathError):
        files.store("a/p.py/q.py", "x = 1")
    assert tree(tmp_path) == {"a/p.py": "x = 1"}


def test_python_that_does_not_compile_is_refused_and_nothing_changes(tmp_path):
    files = PluginFiles(tmp_path, FileSystem())
    files.store("p.py", "x = 1")
    with pytest.raises(PluginLoadError, match="SyntaxError"):
        files.store("p.py", "def broken(:")
    with pytest.raises(PluginLoadError, match="SyntaxError"):
        files.replace_package("pack", {"__init__.py": "", "m.py": "def broken(:"})
    assert tree(tmp_path) == {"p.py": "x = 1"}


def test_a_package_is_replaced_as_a_whole(tmp_path):
    files = PluginFiles(tmp_path, FileSystem())
    files.replace_package("in/pack", {"__init__.py": "a = 1", "sub/m.py": "b = 1"})
    files.replace_package("in/pack", {"__init__.py": "a = 2", "other.py": "c = 1"})
    assert tree(tmp_path) == {"in/pack/__init__.py": "a = 2", "in/pack/other.py": "c = 1"}
    assert names_in(tmp_path / "in") == ["pack"]


def test_the_old_package_stays_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    files = PluginFiles(tmp_path, FileSystem())
    files.replace_package("pack", {"__init__.py": "a = 1"})
    rename = os.rename

    def failing(source, target, **where):
        if str(source).endswith(".new") and target == "pack":
            raise OSError(28, "No space left on device")
        rename(source, target, **where)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="No space"):
        files.replace_package("pack", {"__init__.py": "a = 2"})
    assert tree(tmp_path) == {"pack/__init__.py": "a = 1"}
    assert names_in(tmp_path) == ["pack"]


def test_a_package_needs_an_init_file(tmp_path):
    with pytest.raises(PluginError, match="must contain"):
        PluginFiles(tmp_path, FileSystem()).replace_package("pack", {"m.py": ""})


def test_the_list_has_every_python_file_of_a_package(tmp_path):
    files = PluginFiles(tmp_path, FileSystem())
    files.replace_package("pack", {"__init__.py": "", "sub/m.py": "b = 1"})
    files.store("single.py", "x = 1")
    found = files_of("t", "db", tmp_path / "pack")
    assert [(file.file_name, file.size_bytes) for file in found] == [
        ("__init__.py", 0),
        ("sub/m.py", 5),
    ]
    (single,) = files_of("t", "db", tmp_path / "single.py")
    assert (single.file_name, single.file_path) == ("single.py", str(tmp_path / "single.py"))
    assert files_of("t", "db", tmp_path / "gone.py") == []


def test_a_package_takes_the_place_of_a_package_only(tmp_path):
    """An upload must not delete a directory of other plugins, or a file."""
    files = PluginFiles(tmp_path, FileSystem())
    files.store("team/one.py", "x = 1")
    files.store("two.py", "x = 2")
    for name in ("team", "two.py"):
        with pytest.raises(PluginPathError, match="not a package"):
            files.replace_package(name, {"__init__.py": ""})
    assert tree(tmp_path) == {"team/one.py": "x = 1", "two.py": "x = 2"}


def test_a_replacement_that_a_crash_cut_short_is_undone(tmp_path):
    """Killed between its two renames, it leaves the package under a hidden name."""
    files = PluginFiles(tmp_path, FileSystem())
    files.replace_package("in/pack", {"__init__.py": "a = 1"})
    files.replace_package("whole", {"__init__.py": "w = 2"})
    (tmp_path / "in" / "pack").rename(tmp_path / "in" / ".pack.0123abcd.old")
    (tmp_path / "in" / ".pack.0123abcd.new").mkdir()
    (tmp_path / ".whole.0123abcd.old").mkdir()
    (tmp_path / ".p.py.89abcdef.new").write_text("half")
    (tmp_path / ".venv" / ".x.0123abcd.new").mkdir(parents=True)
    (tmp_path / ".mine.new").write_text("not the server's")
    files.recover()
    assert tree(tmp_path) == {
        "in/pack/__init__.py": "a = 1",
        "whole/__init__.py": "w = 2",
        ".mine.new": "not the server's",
    }
    assert names_in(tmp_path / "in") == ["pack"]
    assert (tmp_path / ".venv" / ".x.0123abcd.new").is_dir()
    PluginFiles(tmp_path / "absent", FileSystem()).recover()


def test_directories_without_end_do_not_stop_a_start(tmp_path):
    files = PluginFiles(tmp_path, FileSystem())
    (tmp_path / ".p.py.89abcdef.new").write_text("half")
    with deep_directories(tmp_path):
        files.recover()
    assert names_in(tmp_path) == []


def test_what_is_left_over_is_removed_where_it_was_made(tmp_path, monkeypatch):
    """Not by its path, which may lead elsewhere by then."""
    root, outside = tmp_path / "plugins", tmp_path / "outside"
    files = PluginFiles(root, FileSystem())
    root.mkdir()
    files.replace_package("in/pack", {"__init__.py": "a = 1"})
    rename, renamed = os.rename, []

    def swapping(source, target, **where):
        rename(source, target, **where)
        renamed.append(target)
        if target == "pack":
            (old,) = (name for name in renamed if name.endswith(".old"))
            (root / "in").rename(tmp_path / "moved")
            (outside / old).mkdir(parents=True)
            (outside / old / "victim.txt").write_text("v")
            (root / "in").symlink_to(outside)

    monkeypatch.setattr(os, "rename", swapping)
    files.replace_package("in/pack", {"__init__.py": "a = 2"})
    assert [path.name for path in outside.rglob("*.txt")] == ["victim.txt"]
    assert names_in(tmp_path / "moved") == ["pack"]
