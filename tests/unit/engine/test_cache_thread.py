"""The thread that keeps caches up."""

import threading
from pathlib import Path
from typing import Any

from engine.caches import table_caches
from engine.persist.thread import PersistConfig
from tests.support.storage import Storage


def test_a_stop_that_comes_just_before_the_thread_waits_ends_it(
    tmp_path: Path, monkeypatch: Any
) -> None:
    class Waker(threading.Event):
        """Closes the caches where the call to wake up is about to be lost."""

        def clear(self) -> None:
            caches._is_closed.set()
            caches._wake.set()
            super().clear()

    monkeypatch.setattr(table_caches, "_INTERVAL_S", 0)
    storage = Storage(tmp_path, PersistConfig())
    caches = storage.caches
    caches._wake = Waker()
    caches.start()
    thread = caches._thread
    assert thread is not None
    thread.join(20)
    assert not thread.is_alive()
    storage.close()
