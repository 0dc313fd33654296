"""What tests of several steps share."""

from collections.abc import Iterator

import pytest

from tests.postgres_server import Postgres, running_postgres
from tests.prefect_servers import running_server
from xops.local.stack import Stack
from xops.prefect_server import setup


@pytest.fixture(scope="session")
def prefect_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One Prefect server for all of them, set up once, on PostgreSQL.

    Mark the tests with `xdist_group("prefect")`: each process that uses it starts one.
    """
    # What is wrong with this region is found at once and never tried again.
    wrong = {"XOPS_ENVIRONMENT__REGION": "nowhere"}
    with running_server(tmp_path_factory.mktemp("prefect"), **wrong) as found:
        setup.set_up(found.profile)
        yield found


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for all tests of a folder."""
    with running_postgres() as server:
        yield server
