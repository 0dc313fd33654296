"""Every query of costs is SQL of all three engines, and holds to what all of them understand."""

import ibis
import pytest
import sqlglot

from tests.cost_queries import QUERIES, costs_in, sql
from xops.finops.analysis import queries
from xops.finops.analysis.queries import Dialect
from xops.finops.focus.columns import arrow_schema

SQLGLOT = {"duckdb": "duckdb", "trino": "trino", "pyspark": "spark"}

_READS_ANSWERS = {"rows", "frame", "usage_rows", "charged_once", "known_days"}

each_dialect = pytest.mark.parametrize("dialect", queries.DIALECTS)
each_query = pytest.mark.parametrize("name", QUERIES)


@each_dialect
@each_query
def test_every_query_is_sql_of_every_engine(name: str, dialect: Dialect) -> None:
    [parsed] = sqlglot.parse(sql(name, dialect), read=SQLGLOT[dialect])
    assert parsed is not None


@each_dialect
@each_query
def test_engines_only_add_amounts_up_and_none_is_a_float(name: str, dialect: Dialect) -> None:
    [parsed] = sqlglot.parse(sql(name, dialect), read=SQLGLOT[dialect])
    assert parsed is not None
    # A quotient is a double on DuckDB, and a difference has a digit less on Spark.
    assert list(parsed.find_all(sqlglot.exp.Div, sqlglot.exp.Sub)) == []
    casts = {cast.to.sql().partition("(")[0] for cast in parsed.find_all(sqlglot.exp.Cast)}
    assert not casts & {"DOUBLE", "FLOAT", "REAL"}


@each_query
def test_amounts_are_exact_decimals(name: str) -> None:
    unbound = ibis.table(ibis.Schema.from_pyarrow(arrow_schema()), name="costs")
    schema = QUERIES[name](costs_in(unbound, "duckdb")).schema()
    amounts = {
        column: kind for column, kind in schema.items() if not (kind.is_string() or kind.is_date())
    }
    amounts.pop("charges", None)
    assert set(map(str, amounts.values())) <= {"decimal(38, 12)"}


def test_every_query_of_the_module_is_tried() -> None:
    public = {
        name
        for name, value in vars(queries).items()
        if callable(value) and getattr(value, "__module__", "") == queries.__name__
        and not name.startswith("_") and not isinstance(value, type)
    }  # fmt: skip
    tried = {"by", "delivered_days", "currencies", "coverage", "untagged_resources", "compare",
             "quantities"}  # fmt: skip
    assert public == tried | _READS_ANSWERS
