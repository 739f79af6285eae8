"""Protobuf by hand, against bytes that the official messages of FlightSql.proto serialise to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import QueryNotSupportedError, RequestError
from engine.flight import protobuf
from engine.flight.messages import (
    ClosePrepared,
    Command,
    CreatePrepared,
    GetCatalogs,
    GetDbSchemas,
    GetSqlInfo,
    GetTables,
    GetTableTypes,
    PreparedQuery,
    StatementQuery,
    bound_result,
    flight_info,
    prepared_result,
    read_command,
)

# Made with the generated classes of the official FlightSql.proto and google.protobuf.Any.Pack.
GOLDEN: list[tuple[bytes, Command]] = [
    (
        b"\nCtype.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery\x12\x14\n\x12SELECT '\xc3\xa4' FROM m",
        StatementQuery("SELECT 'ä' FROM m"),
    ),
    (
        b"\nCtype.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery\x12\x0e\n\x08SELECT 1\x12\x02\x01\x02",
        StatementQuery("SELECT 1"),
    ),
    (
        b"\nKtype.googleapis.com/arrow.flight.protocol.sql.CommandPreparedStatementQuery\x12\n\n\x08\x00handle\xff",
        PreparedQuery(b"\x00handle\xff"),
    ),
    (b"\n@type.googleapis.com/arrow.flight.protocol.sql.CommandGetCatalogs", GetCatalogs()),
    (
        b"\nAtype.googleapis.com/arrow.flight.protocol.sql.CommandGetDbSchemas\x12\x0c\n\x06public\x12\x02i%",
        GetDbSchemas("public", "i%"),
    ),
    (
        b"\nAtype.googleapis.com/arrow.flight.protocol.sql.CommandGetDbSchemas\x12\x02\n\x00",
        GetDbSchemas("", None),
    ),
    (
        b'\n>type.googleapis.com/arrow.flight.protocol.sql.CommandGetTables\x12%\n\x06public\x12\x03iox\x1a\x02m_"\nBASE TABLE"\x04VIEW(\x01',
        GetTables("public", "iox", "m_", ("BASE TABLE", "VIEW"), include_schema=True),
    ),
    (b"\nBtype.googleapis.com/arrow.flight.protocol.sql.CommandGetTableTypes", GetTableTypes()),
    (
        b"\n?type.googleapis.com/arrow.flight.protocol.sql.CommandGetSqlInfo\x12\t\n\x07\x00\x03\xf8\x03\xa0\x8d\x06",
        GetSqlInfo((0, 3, 504, 100000)),
    ),
    (
        b"\nRtype.googleapis.com/arrow.flight.protocol.sql.ActionCreatePreparedStatementRequest\x12\x0b\n\tSELECT $1",
        CreatePrepared("SELECT $1"),
    ),
    (
        b"\nQtype.googleapis.com/arrow.flight.protocol.sql.ActionClosePreparedStatementRequest\x12\x03\n\x01h",
        ClosePrepared(b"h"),
    ),
]
PRIMARY_KEYS = (
    b"\nCtype.googleapis.com/arrow.flight.protocol.sql.CommandGetPrimaryKeys\x12\x03\x1a\x01m"
)
RESULT = (
    b"\nQtype.googleapis.com/arrow.flight.protocol.sql.ActionCreatePreparedStatementResult\x12\xdb\x01\n\xc8\x01"
    + b"h" * 200
    + b"\x12\x06answer\x1a\x06wanted"
)
BARE_RESULT = b"\nQtype.googleapis.com/arrow.flight.protocol.sql.ActionCreatePreparedStatementResult\x12\x03\n\x01h"


@pytest.mark.parametrize(("message", "command"), GOLDEN, ids=lambda case: type(case).__name__)
def test_official_messages_are_understood(message: bytes, command: Command) -> None:
    assert read_command(message) == command


def test_official_results_are_written() -> None:
    assert prepared_result(b"h" * 200, b"answer", b"wanted") == RESULT
    assert prepared_result(b"h", b"", b"") == BARE_RESULT
    assert bound_result(b"h") == b"\n\x01h"


def test_pyarrow_reads_the_information_that_is_written() -> None:
    from pyarrow import flight

    descriptor = flight.FlightDescriptor.for_command(b"command")
    info = flight.FlightInfo.deserialize(flight_info(descriptor.serialize(), b"ticket" * 50))
    assert info.descriptor == descriptor
    assert [endpoint.ticket.ticket for endpoint in info.endpoints] == [b"ticket" * 50]
    assert [endpoint.locations for endpoint in info.endpoints] == [[]]
    assert (info.total_records, info.total_bytes, info.schema) == (-1, -1, None)


def test_what_is_not_offered_is_refused_by_name() -> None:
    with pytest.raises(QueryNotSupportedError, match="CommandGetPrimaryKeys is not supported"):
        read_command(PRIMARY_KEYS)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"hello", "wire type 4"),
        (b"", "neither JSON nor a message"),
        (b"\x0a\x05abc", "ends too early"),
        (b"\x0a", "ends too early"),
        (b"\x02\x00", "number 0"),
        (b"\x0b\x00", "wire type 3"),
        (b"\x08" + b"\xff" * 10, "longer than 64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "longer than 64 bits"),
        (b"\x08\x01", "neither JSON nor a message"),
        (b"\x0a\x02\xff\xff", "neither JSON nor a message"),
        # The message in the Any is broken.
        (GOLDEN[0][0][:-1], "ends too early"),
    ],
)
def test_what_is_no_message_is_refused(message: bytes, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        read_command(message)


def test_fields_of_the_wrong_type_are_refused() -> None:
    number, content = protobuf.read(b"\x08\x01"), protobuf.read(b"\x0a\x01\xff")
    with pytest.raises(RequestError, match="is a number"):
        number.text(1)
    with pytest.raises(RequestError, match="is a number"):
        number.texts(1)
    with pytest.raises(RequestError, match="is not a number"):
        content.number(1)
    with pytest.raises(RequestError, match="not UTF-8"):
        content.text(1)


def test_fields_of_fixed_width_are_passed_over() -> None:
    assert protobuf.read(b"\x09" + b"x" * 8 + b"\x15" + b"y" * 4 + b"\x18\x05").number(3) == 5


FIELDS = st.lists(
    st.tuples(
        st.integers(1, 2**29 - 1), st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=200))
    )
)


@given(FIELDS)
def test_what_is_written_is_read(fields: list[tuple[int, int | bytes]]) -> None:
    expected: dict[int, list[int | bytes]] = {}
    for number, value in fields:
        expected.setdefault(number, []).append(value)
    assert protobuf.read(protobuf.write(fields)).values == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    try:
        read_command(message)
    except (RequestError, QueryNotSupportedError):
        return
