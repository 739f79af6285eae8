"""The page on moving from InfluxDB says what is so."""

from collections.abc import Callable

import pytest

from tests.support.guide import follow
from tests.support.server import ROOT, ServerProcess

pytestmark = pytest.mark.e2e


def test_what_the_page_shows_happens(make_server: Callable[..., ServerProcess]) -> None:
    files, commands = follow(ROOT / "docs" / "migrating.md", make_server().start())
    assert files == 4
    assert commands >= 24
