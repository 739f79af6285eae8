# The plain C parser that the benchmarks measure against; see plain_parser.c for what it is.
