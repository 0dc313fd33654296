"""The same queries on the engines of others give the same answers, to the last digit.

Needs what is no part of the project, so that the tests are there only where a variable names it:

- XOPS_TEST_SPARK: a Python that has PySpark 4.0, with a JAVA_HOME of Java 17;
- XOPS_TEST_TRINO: the folder of a Trino server 476, which is what Athena runs; XOPS_TEST_TRINO_JAVA
  is the home of its Java, 24 or later.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.charges import HOUR, charge, table
from tests.cost_queries import QUERIES, costs_in, sql
from tests.embedded_aws import free_port
from tests.waiting import Eventually
from xops.finops.analysis.queries import rows
from xops.finops.focus.columns import COLUMNS, Kind
from xops.finops.focus.sample import write_sample
from xops.finops.store.engine import open_engine, view

SPARK, TRINO = os.environ.get("XOPS_TEST_SPARK"), os.environ.get("XOPS_TEST_TRINO")
TRINO_TYPES = {
    Kind.STRING: "varchar", Kind.JSON: "varchar", Kind.DECIMAL: "decimal(38, 12)",
    Kind.DATETIME: "timestamp(6)",
}  # fmt: skip

Answers = Mapping[str, list[list[str | None]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of the sample, and charges of the kind that engines may differ about."""
    found = tmp_path_factory.mktemp("elsewhere")
    files = write_sample(found / "sample", months=3, until=date(2026, 5, 10))
    begun = datetime(2026, 4, 4, tzinfo=UTC)
    odd = [
        charge(begun + number * HOUR, f"1.{number:06}", HOUR, tags=tags)
        for number in range(72)
        for tags in ({"user:environment": 'p"r\\o{d}é'}, {"user_owner": "x", "environment": ""})
    ]
    odd.append(charge(date(2026, 4, 10), "0.000000000001"))
    odd.append(charge(date(2026, 4, 11), tags={"other": '","environment":"prod'}))
    odd.append(charge(date(2026, 4, 11), PricingQuantity=None))
    (found / "costs").mkdir()
    whole = pa.concat_tables([*map(pq.read_table, files), table(odd)])
    pq.write_table(whole, found / "costs" / "costs.parquet", coerce_timestamps="us")
    return found


@pytest.fixture(scope="module")
def answers(folder: Path) -> Answers:
    """Those of DuckDB."""
    engine = open_engine(spill=folder / "spill")
    costs = costs_in(view(engine, "costs", f"FROM '{folder}/costs/*.parquet'"), "duckdb")
    found = {name: _texts(rows(query(costs))) for name, query in QUERIES.items()}
    engine.disconnect()
    return found


def _texts(found: list[dict[str, Any]]) -> list[list[str | None]]:
    return [[None if cell is None else _text(cell) for cell in row.values()] for row in found]


def _text(cell: object) -> str:
    return f"{cell:f}" if isinstance(cell, Decimal) else str(cell)


def _normal(found: list[list[Any]]) -> list[list[str | None]]:
    """Amounts without an exponent: engines write a small one in different ways."""
    return [[_plain(cell) for cell in row] for row in found]


def _plain(cell: Any) -> str | None:
    if isinstance(cell, str) and "E-" in cell:
        return f"{Decimal(cell):f}"
    return None if cell is None else str(cell)


if SPARK:

    def test_spark_gives_the_same_answers(folder: Path, answers: Answers) -> None:
        asked = {
            "folder": str(folder / "costs"),
            "queries": {name: sql(name, "pyspark") for name in QUERIES},
        }
        ended = subprocess.run(
            [str(SPARK), str(Path(__file__).with_name("spark_answers.py"))],
            input=json.dumps(asked), capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = json.loads(ended.stdout.splitlines()[-1])
        for name in QUERIES:
            assert _normal(found[name]) == answers[name], name


if TRINO:

    def test_trino_gives_the_same_answers(
        folder: Path, answers: Answers, eventually: Eventually
    ) -> None:
        with _trino(folder, eventually) as ask:
            columns = ", ".join(f'"{one.name}" {TRINO_TYPES[one.kind]}' for one in COLUMNS)
            ask("CREATE SCHEMA hive.xops")
            ask(
                f"CREATE TABLE costs ({columns})"
                " WITH (external_location = 'local:///costs', format = 'PARQUET')"
            )
            for name in QUERIES:
                assert _normal(ask(sql(name, "trino"))) == answers[name], name


@contextmanager
def _trino(folder: Path, eventually: Eventually) -> Iterator[Any]:
    """A server over the folder; what it gives asks it one statement."""
    port = free_port()
    server = subprocess.Popen(
        [f"{TRINO}/bin/launcher", "run", "--etc-dir", str(_configured(folder / "trino", port))],
        env={**os.environ, "JAVA_HOME": os.environ.get("XOPS_TEST_TRINO_JAVA", "")},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            eventually(lambda: _is_up(client), seconds=100)
            yield lambda statement: _ask(client, statement)
    finally:
        server.terminate()
        server.wait()


def _configured(folder: Path, port: int) -> Path:
    files = {
        "node.properties": f"node.environment=test\nnode.id=one\nnode.data-dir={folder}/data\n",
        "jvm.config": "-Xmx2G\n-Duser.timezone=UTC\n-Djdk.attach.allowAttachSelf=true\n"
        "--enable-native-access=ALL-UNNAMED\n--add-modules=jdk.incubator.vector\n",
        "config.properties": "coordinator=true\nnode-scheduler.include-coordinator=true\n"
        f"http-server.http.port={port}\ndiscovery.uri=http://127.0.0.1:{port}\n"
        "node.internal-address=127.0.0.1\n",
        "catalog/hive.properties": "connector.name=hive\nhive.metastore=file\n"
        "hive.metastore.catalog.dir=local:///metastore\nfs.native-local.enabled=true\n"
        f"local.location={folder.parent}\nhive.timestamp-precision=MICROSECONDS\n"
        "hive.non-managed-table-writes-enabled=true\n",
    }
    for name, text in files.items():
        (folder / "etc" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "etc" / name).write_text(text)
    return folder / "etc"


def _is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/v1/info").json()["starting"] is False
    except httpx.TransportError:
        return False


def _ask(client: httpx.Client, statement: str) -> list[list[Any]]:
    headers = {
        "X-Trino-User": "test", "X-Trino-Catalog": "hive", "X-Trino-Schema": "xops",
        "X-Trino-Time-Zone": "UTC",
    }  # fmt: skip
    answer = client.post("/v1/statement", content=statement, headers=headers).json()
    found: list[list[Any]] = []
    while True:
        assert "error" not in answer, answer["error"]["message"]
        found += answer.get("data", [])
        if "nextUri" not in answer:
            return found
        answer = client.get(answer["nextUri"]).json()
