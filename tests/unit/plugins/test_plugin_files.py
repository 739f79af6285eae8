"""Uploads into the plugin directory."""

import os
from pathlib import Path

import pytest

from engine.errors import PluginError, PluginLoadError, PluginPathError
from engine.plugins.plugin_files import PluginFiles, files_of

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
    files = PluginFiles(tmp_path)
    files.store("a/b/p.py", "x = 1\n")
    files.store("a/b/p.py", "x = 2\n")
    files.store("a/settings.toml", "not = python")
    assert tree(tmp_path) == {"a/b/p.py": "x = 2\n", "a/settings.toml": "not = python"}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    root = tmp_path / "plugins"
    root.mkdir()
    with pytest.raises(PluginPathError, match="Path traversal detected"):
        PluginFiles(root).store(name, "x = 1")
    with pytest.raises(PluginPathError):
        PluginFiles(root).replace_package(name, {"__init__.py": ""})
    with pytest.raises(PluginPathError):
        PluginFiles(root).replace_package("p", {"__init__.py": "", name: ""})
    assert list(tmp_path.rglob("*")) == [root]


def test_links_are_never_written_through(tmp_path):
    root, outside = tmp_path / "plugins", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "victim.py").write_text("v")
    (root / "dir").symlink_to(outside)
    (root / "file.py").symlink_to(outside / "victim.py")
    files = PluginFiles(root)
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
    files = PluginFiles(tmp_path)
    files.store("a/p.py", "x = 1")
    with pytest.raises(PluginPathError):
        files.store("a", "x = 1")
    with pytest.raises(PluginPathError):
        files.store("a/p.py/q.py", "x = 1")
    assert tree(tmp_path) == {"a/p.py": "x = 1"}


def test_python_that_does_not_compile_is_refused_and_nothing_changes(tmp_path):
    files = PluginFiles(tmp_path)
    files.store("p.py", "x = 1")
    with pytest.raises(PluginLoadError, match="SyntaxError"):
        files.store("p.py", "def broken(:")
    with pytest.raises(PluginLoadError, match="SyntaxError"):
        files.replace_package("pack", {"__init__.py": "", "m.py": "def broken(:"})
    assert tree(tmp_path) == {"p.py": "x = 1"}


def test_a_package_is_replaced_as_a_whole(tmp_path):
    files = PluginFiles(tmp_path)
    files.replace_package("in/pack", {"__init__.py": "a = 1", "sub/m.py": "b = 1"})
    files.replace_package("in/pack", {"__init__.py": "a = 2", "other.py": "c = 1"})
    assert tree(tmp_path) == {"in/pack/__init__.py": "a = 2", "in/pack/other.py": "c = 1"}
    assert names_in(tmp_path / "in") == ["pack"]


def test_the_old_package_stays_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    files = PluginFiles(tmp_path)
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
        PluginFiles(tmp_path).replace_package("pack", {"m.py": ""})


def test_the_list_has_every_python_file_of_a_package(tmp_path):
    files = PluginFiles(tmp_path)
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
