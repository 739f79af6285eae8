# Owns what the plugin package asks for and may not import: storing what runs write, and disabling
# triggers. Built in server.py.
"""The server's services to plugins."""

from collections.abc import Sequence

from engine.catalog.model import Trigger
from engine.ingest.catalog_writer import CatalogWriter
from engine.ingest.pipeline import IngestPipeline
from engine.ingest.write_request import WriteRequest
from engine.plugins.ports import WriteBack
from engine.store.run_records import RunRecord, encode_record
from lp_core import Precision


class Committer:
    """Gives the plugin package the write pipeline."""

    def __init__(self, pipeline: IngestPipeline) -> None:
        self._pipeline = pipeline

    async def commit(self, writes: Sequence[WriteBack], record: RunRecord) -> None:
        """Store all `writes` and `record` together, or nothing."""
        await self._pipeline.commit([_request(write) for write in writes], encode_record(record))

    async def write(self, write: WriteBack) -> None:
        """Store one write at once."""
        await self._pipeline.write(_request(write))


def _request(write: WriteBack) -> WriteRequest:
    return WriteRequest(
        database=write.database,
        body=write.lines,
        precision=Precision.NANOSECOND,
        accept_partial=False,
        no_sync=write.no_sync,
        origin=write.origin,
        hops=write.hops,
    )


class Switch:
    """Lets the plugin package disable a trigger."""

    def __init__(self, writer: CatalogWriter) -> None:
        self._writer = writer

    async def disable(self, trigger: Trigger, reason: str) -> None:
        """Disable `trigger` durably."""
        await self._writer.disable_trigger(trigger.database, trigger.name, reason=reason)
