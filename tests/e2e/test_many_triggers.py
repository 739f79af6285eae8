"""Guarantee: two hundred triggers on one server cost little until they have something to do."""

import psutil
import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for, wait_for_value

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TRIGGERS = 200
COUNT = """
def process_writes(api, batches, args):
    for batch in batches:
        line = LineBuilder("counted").tag("table", batch["table_name"])
        api.write(line.int64_field("n", len(batch["rows"])))
"""


def workers_of(server: ServerProcess) -> int:
    assert server.process is not None
    zygotes = psutil.Process(server.process.pid).children()
    return sum(len(zygote.children()) for zygote in zygotes)


def counted(server: ServerProcess) -> int:
    answer = server.ask("db", "SELECT sum(n) AS n FROM counted")
    return int(answer.json()[0]["n"]) if answer.status == 200 else 0


def test_each_of_many_triggers_sees_its_own_table_and_only_those_have_workers(
    server: ServerProcess,
) -> None:
    server.plugin("count.py", COUNT)
    server.cli("create", "database", "db")
    for number in range(TRIGGERS):
        spec = f"table:t{number}"
        assert server.create_trigger("db", f"trigger{number}", spec, "count.py").status == 200
    for number in range(3):
        assert server.write("db", f"t7 f={number}i\nnobodys f=1i\n").status == 204
        wait_for_value(
            lambda: counted(server), number + 1, "the trigger of the table runs", timeout_s=30
        )
    assert workers_of(server) == 1

    everywhere = "".join(f"t{number} f=1i\n" for number in range(TRIGGERS))
    assert server.write("db", everywhere).status == 204
    wait_for_value(lambda: counted(server), 3 + TRIGGERS, "every trigger runs", timeout_s=90)
    assert workers_of(server) == TRIGGERS

    def lag() -> int:
        rows = server.query(
            "db", "SELECT sum(lag_rows) AS n FROM system.processing_engine_triggers"
        )
        return int(rows[0]["n"])

    wait_for(lambda: lag() == 0, "no trigger lags")
    assert server.stop() == 0
