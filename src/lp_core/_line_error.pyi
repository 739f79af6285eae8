from typing import final

LINE_ERRORS_MAX: int

@final
class LineError:
    """One refused line of a body.

    Attributes:
        line_number: Physical line on which it starts, from 1.
        nth: Its number among the lines that are neither blank nor comment, from 1.
        byte_offset: Where its text starts in the body.
        code: Stable category, such as ``"no-fields"``.
        message: What is wrong, for people.
        line: Text of the line; several physical lines where a string goes over them.
    """

    @property
    def line_number(self) -> int: ...
    @property
    def nth(self) -> int: ...
    @property
    def byte_offset(self) -> int: ...
    @property
    def code(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def line(self) -> str: ...
