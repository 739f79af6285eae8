"""Ceilings and peers of the parser, on the same rows."""

from benchmarks.inputs import SHAPES, body, csv_body
from benchmarks.plain.library import PlainParser, is_available
from benchmarks.yardsticks import memcpy, pypi_parsers, read_csv


class Peers:
    params = [list(SHAPES)]
    param_names = ["shape"]

    def setup(self, shape):
        self.body = body(shape)


class Memcpy(Peers):
    def setup(self, shape):
        super().setup(shape)
        self.copy = memcpy(self.body)

    def time_memcpy(self, shape):
        self.copy()


class PlainC(Peers):
    def setup(self, shape):
        if not is_available():
            raise NotImplementedError("there is no C compiler")
        super().setup(shape)
        self.plain = PlainParser()

    def time_plain_c_parser(self, shape):
        self.plain.parse(self.body)

    def peakmem_plain_c_parser(self, shape):
        self.plain.parse(self.body)


class ArrowCsv(Peers):
    def setup(self, shape):
        self.read = read_csv(csv_body(shape), shape)

    def time_pyarrow_csv(self, shape):
        self.read()


class Pypi(Peers):
    def setup(self, shape):
        self.parsers = pypi_parsers()
        if not self.parsers:
            raise NotImplementedError("line-protocol-parser is not installed")
        super().setup(shape)

    def time_line_protocol_parser(self, shape):
        self.parsers["each line dropped"](self.body)

    def time_line_protocol_parser_to_columns(self, shape):
        self.parsers["Arrow columns"](self.body)
