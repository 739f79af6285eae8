# Owns the list of functions that a query may call: a name that is not here is refused. Each says
# under which name DuckDB has it and what comes out; those that need more than another name are
# translated in rewrite.py under the name in `SPECIAL`.
"""Functions of the query language."""

from typing import NamedTuple

from engine.query.kinds import Kind


class Function(NamedTuple):
    """One function: its name in DuckDB, and its result (None: the kind of its first argument)."""

    name: str
    kind: Kind | None


def _named(kind: Kind | None, text: str) -> dict[str, Function]:
    """Functions from words ``name`` or ``name=duckdb_name``."""
    pairs = (word.partition("=") for word in text.split())
    return {name: Function(target or name, kind) for name, _, target in pairs}


PLAIN: dict[str, Function] = {
    # aggregates
    **_named(Kind.INTEGER, "count regr_count grouping"),
    **_named(None, "min max sum any_value bit_and bit_or bit_xor"),
    **_named(
        Kind.FLOAT,
        """avg mean=avg median stddev=stddev_samp stddev_samp stddev_pop var=var_samp var_samp
        var_sample=var_samp var_pop var_population=var_pop variance=var_samp corr covar=covar_samp
        covar_samp covar_pop regr_slope regr_intercept regr_r2 regr_avgx regr_avgy regr_sxx regr_syy
        regr_sxy percentile_cont=quantile_cont""",
    ),
    **_named(Kind.BOOLEAN, "bool_and bool_or every=bool_and"),
    **_named(Kind.TEXT, "string_agg"),
    **_named(Kind.OTHER, "array_agg"),
    # windows
    **_named(Kind.INTEGER, "row_number rank dense_rank ntile"),
    **_named(Kind.FLOAT, "percent_rank cume_dist"),
    **_named(None, "lag lead nth_value"),
    # numbers
    **_named(None, "abs round trunc greatest least"),
    **_named(Kind.INTEGER, "gcd lcm factorial sign signum=sign bit_count"),
    **_named(
        Kind.FLOAT,
        """sqrt cbrt exp ln log log2 log10 power pow=power sin cos tan asin acos atan atan2 sinh
        cosh tanh asinh acosh atanh cot degrees radians pi random
        ceil ceiling=ceil floor""",
    ),
    **_named(Kind.BOOLEAN, "isnan isinf isfinite"),
    # conditions
    **_named(None, "coalesce nullif ifnull=coalesce nvl=coalesce"),
    # text
    **_named(
        Kind.TEXT,
        """lower upper concat concat_ws left right ltrim rtrim trim btrim=trim replace
        reverse split_part substr substring translate chr md5 sha256 overlay
        uuid""",
    ),
    **_named(
        Kind.INTEGER,
        """length char_length=length character_length=length octet_length=strlen bit_length ascii
        strpos instr=strpos levenshtein""",
    ),
    **_named(
        Kind.BOOLEAN,
        "starts_with ends_with contains regexp_like=regexp_matches",
    ),
    # lists
    **_named(Kind.OTHER, "make_array=list_value array_append=list_append array_sort=list_sort"),
    **_named(Kind.OTHER, "array_distinct=list_distinct array_concat=list_concat unnest range"),
    **_named(Kind.OTHER, "array_element=list_extract generate_series"),
    **_named(Kind.INTEGER, "array_length=len cardinality=len array_position=list_position"),
    **_named(Kind.BOOLEAN, "array_has=list_contains array_contains=list_contains"),
    **_named(Kind.TEXT, "array_to_string"),
}

SPECIAL: dict[str, Kind | None] = {
    "now": Kind.TIME,
    "current_timestamp": Kind.TIME,
    "current_date": Kind.DATE,
    "today": Kind.DATE,
    "date_bin": Kind.TIME,
    "date_trunc": Kind.TIME,
    "datetrunc": Kind.TIME,
    "date_part": Kind.INTEGER,
    "datepart": Kind.INTEGER,
    "to_timestamp": Kind.TIME,
    "to_timestamp_seconds": Kind.TIME,
    "to_timestamp_millis": Kind.TIME,
    "to_timestamp_micros": Kind.TIME,
    "to_timestamp_nanos": Kind.TIME,
    "from_unixtime": Kind.TIME,
    "to_unixtime": Kind.INTEGER,
    "first_value": None,
    "last_value": None,
    "selector_first": Kind.OTHER,
    "selector_last": Kind.OTHER,
    "selector_min": Kind.OTHER,
    "selector_max": Kind.OTHER,
    "approx_median": Kind.FLOAT,
    "approx_percentile_cont": Kind.FLOAT,
    "approx_distinct": Kind.INTEGER,
    "arrow_cast": None,
    "arrow_typeof": Kind.TEXT,
    "regexp_count": Kind.INTEGER,
    "regexp_replace": Kind.TEXT,
    "to_hex": Kind.TEXT,
    "lpad": Kind.TEXT,
    "repeat": Kind.TEXT,
    "rpad": Kind.TEXT,
}

# Known to users of the reference system; they get a clear answer and not a wrong one.
NOT_YET = frozenset(
    (
        "date_bin_gapfill",
        "date_bin_wallclock",
        "date_bin_wallclock_gapfill",
        "locf",
        "interpolate",
        "tz",
        "last_cache",
        "distinct_cache",
        "difference",
        "derivative",
        "non_negative_difference",
        "non_negative_derivative",
        "moving_average",
        "integral",
        "approx_percentile_cont_with_weight",
        "regexp_match",
        "regexp_instr",
        "to_char",
        "date_format",
        "to_date",
        "make_date",
        "to_local_time",
        "encode",
        "decode",
        "initcap",
        "find_in_set",
        "substr_index",
        "named_struct",
        "get_field",
        "map",
        "array_slice",
        "flatten",
    )
)

TABLE_FUNCTIONS = frozenset({"generate_series", "range", "unnest"})
