"""The reserve of the disk."""

from pathlib import Path

import pytest

from engine import disk_reserve
from engine.disk_reserve import DiskReserve
from engine.errors import DiskFullError
from engine.http.error_responses import disk_full, error_response, v2_error_response
from tests.support.faulty_filesystem import FaultyFileSystem


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyFileSystem:
    monkeypatch.setattr(disk_reserve, "LOOK_INTERVAL_S", 0)
    disk = FaultyFileSystem(tmp_path)
    disk.room_bytes = 1000
    return disk


def test_rows_are_refused_below_the_reserve_and_taken_above(
    disk: FaultyFileSystem, caplog: pytest.LogCaptureFixture
) -> None:
    reserve = DiskReserve(disk.root, disk, 1000)
    reserve.check()
    disk.room_bytes = 999
    for _ in range(2):
        with pytest.raises(DiskFullError, match="999 bytes are free"):
            reserve.check()
    assert reserve.is_used
    assert [record.message for record in caplog.records] == [
        "disk reserve reached, rows are refused"
    ]
    disk.room_bytes = 1000
    reserve.check()
    assert not reserve.is_used


def test_no_reserve_asks_nothing(disk: FaultyFileSystem) -> None:
    disk.room_bytes = 0
    DiskReserve(disk.root, disk, 0).check()


def test_a_full_disk_is_507_for_every_client() -> None:
    error = DiskFullError("full", retry_after_s=3, hint="free space")
    for response in (error_response(error), v2_error_response(error)):
        assert response.status == 507
        assert ("retry-after", "3") in response.headers
    found = disk_full(OSError(28, "No space left on device"))
    assert found is not None
    assert found.code == "disk_full"
    assert disk_full(OSError(5, "Input/output error")) is None
    assert disk_full(ValueError()) is None
