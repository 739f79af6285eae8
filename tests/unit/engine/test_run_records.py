"""Records of plugin runs: what earlier builds wrote stays readable, and is written again."""

import pytest

from engine.ids import DatabaseId, Position, TriggerId
from engine.store.row_deletes import (
    DeleteRowsRecord,
    Every,
    Opposite,
    Some,
    TagAbsent,
    TagIn,
    TagIs,
    TimeIs,
    encode_delete,
)
from engine.store.run_records import (
    BackfillStep,
    ParkedRows,
    Retry,
    RunRecord,
    Step,
    decode_record,
    decode_rows,
    encode_record,
    encode_rows,
)

TRIGGER = TriggerId(3)
ROWS = [("m", [{"t": "x", "u": 2**64 - 1, "f": 0.5, "b": True, "time": -(2**63)}])]

# The first two were written before state and dead letters existed. Bytes of a release are never
# changed here, only added.
GOLDEN = {
    "84a474797065ab637572736f725f73746570aa747269676765725f696403a5737461727401a3656e6409": RunRecord(
        trigger_id=TRIGGER, step=Step(Position(1), Position(9))
    ),
    "82a474797065a372756eaa747269676765725f696404": RunRecord(trigger_id=TriggerId(4)),
    "83a474797065a6726573756c74aa747269676765725f696403a47374657083a5737461727401a3656e6409a9"
    "726f77735f646f6e6505": RunRecord(
        trigger_id=TRIGGER, step=Step(Position(1), Position(9), rows_done=5)
    ),
    "84a474797065a6726573756c74aa747269676765725f696403a47374657082a5737461727401a3656e6409a573"
    "746174659292a161c4012a92a162c0": RunRecord(
        trigger_id=TRIGGER,
        step=Step(Position(1), Position(9)),
        state=[("a", b"\x2a"), ("b", None)],
    ),
    "85a474797065a6726573756c74aa747269676765725f696403a67061726b65649186a862617463685f6964a533"
    "2d312d39a86e756d5f726f777301a4726f7773c4179192a16d9182a166cb3ff8000000000000a474696d6507"
    "a56572726f72a3626164a5747269657302a774696d655f6e7305a8756e7061726b656491a3382d30a772657472"
    "6965649183a26964a3372d31a56572726f72a5616761696ea774696d655f6e7306": RunRecord(
        trigger_id=TRIGGER,
        parked=[
            ParkedRows(
                batch_id="3-1-9",
                num_rows=1,
                rows=encode_rows([("m", [{"f": 1.5, "time": 7}])]),
                error="bad",
                tries=2,
                time_ns=5,
            )
        ],
        unparked=["8-0"],
        retried=[Retry(id="7-1", error="again", time_ns=6)],
    ),
    "83a474797065a6726573756c74aa747269676765725f696403a86261636b66696c6c86a873746172745f6e73fba665"
    "6e645f6e7309ad63616c6c5f726f77735f6d617864a4646f6e6593070201a9726f77735f646f6e6503a4726f7773cc"
    "c8": RunRecord(
        trigger_id=TRIGGER,
        backfill=BackfillStep(
            start_ns=-5, end_ns=9, call_rows_max=100, done=(7, 2, 1), rows_done=3, rows=200
        ),
    ),
    "83a474797065a6726573756c74aa747269676765725f696403a86261636b66696c6c84a873746172745f6e7300a665"
    "6e645f6e7309ad63616c6c5f726f77735f6d617864a769735f646f6e65c3": RunRecord(
        trigger_id=TRIGGER,
        backfill=BackfillStep(start_ns=0, end_ns=9, call_rows_max=100, is_done=True),
    ),
    "83a474797065a6726573756c74aa747269676765725f696403a86261636b66696c6c88a873746172745f6e73fb"
    "a6656e645f6e7309ad63616c6c5f726f77735f6d617864a9726f77735f646f6e6503a4726f7773ccc8a6626568"
    "696e649307a16d93a161c0a162a863616c6c5f656e649308a16d90a7726561636865649308a16b91a178": RunRecord(
        trigger_id=TRIGGER,
        backfill=BackfillStep(
            start_ns=-5,
            end_ns=9,
            call_rows_max=100,
            rows_done=3,
            rows=200,
            behind=(7, "m", ("a", None, "b")),
            call_end=(8, "m", ()),
            reached=(8, "k", ("x",)),
        ),
    ),
}


@pytest.mark.parametrize(("content", "record"), list(GOLDEN.items()))
def test_golden_records_are_read_and_written_again(content: str, record: RunRecord) -> None:
    assert decode_record(bytes.fromhex(content)) == record
    assert encode_record(record).hex() == content


def test_every_part_of_a_record_survives_its_encoding() -> None:
    parked = ParkedRows(
        batch_id="3-1-9-0-1",
        num_rows=1,
        rows=encode_rows(ROWS),
        error="ValueError: no",
        traceback="Traceback …",
        tries=7,
        hops=2,
        time_ns=5,
    )
    record = RunRecord(
        trigger_id=TRIGGER,
        step=Step(Position(1), Position(9), rows_done=4),
        state=[("k", b"\xc0")],
        parked=[parked],
        unparked=["12-0"],
        retried=[Retry(id="13-0", error="again")],
    )
    again = decode_record(encode_record(record))
    assert again == record
    assert decode_rows(again.parked[0].rows) == ROWS


def test_emptiness() -> None:
    assert RunRecord(trigger_id=TRIGGER).is_empty
    assert not RunRecord(trigger_id=TRIGGER, unparked=["1-0"]).is_empty
    assert not RunRecord(trigger_id=TRIGGER, step=Step(Position(0), Position(1))).is_empty


# As the first version that deleted rows wrote it.
GOLDEN_DELETE = (
    "86a474797065ab64656c6574655f726f7773ab64617461626173655f696403a57461626c65a16da5626567616e07a5"
    "74696d6573920109a9636f6e646974696f6e82a474797065a56576657279a570617274739284a474797065a3746167"
    "a6636f6c756d6ea174aa636f6d70617269736f6ea13da576616c7565a16182a474797065a36e6f74a47061727482a4"
    "74797065a4736f6d65a570617274739383a474797065a67461675f696ea6636f6c756d6ea175a676616c75657391a1"
    "6282a474797065aa7461675f616273656e74a6636f6c756d6ea17583a474797065a474696d65aa636f6d7061726973"
    "6f6ea13ea774696d655f6e7305"
)


def test_the_golden_delete_of_rows_is_read_and_written_again() -> None:
    record = DeleteRowsRecord(
        database_id=DatabaseId(3),
        table="m",
        began=Position(7),
        times=(1, 9),
        condition=Every(
            (
                TagIs("t", "=", "a"),
                Opposite(Some((TagIn("u", ("b",)), TagAbsent("u"), TimeIs(">", 5)))),
            )
        ),
    )
    assert decode_record(bytes.fromhex(GOLDEN_DELETE)) == record
    assert encode_delete(record).hex() == GOLDEN_DELETE
