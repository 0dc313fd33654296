"""deployments/github.yaml as it is committed: sound, and with its schema beside it."""

from xops.core.files.settings import ROOT
from xops.github.policy import FILE, GitHubPolicy, schema
from xops.prefect_server.deployments import Wanted

SCHEMA = FILE.with_name("github.schema.json")


def test_the_committed_schema_is_that_of_the_model() -> None:
    again = "regenerate it: python -m xops.github.policy > deployments/github.schema.json"
    assert SCHEMA.read_text() == schema(), again
    assert FILE.read_text().startswith("# yaml-language-server: $schema=./github.schema.json\n")


def test_every_route_leads_to_a_deployment_that_there_is() -> None:
    deployed = Wanted.read(ROOT / "prefect.yaml", "pool", ()).schedules
    routes = GitHubPolicy.load(environ={}).routes
    assert routes
    assert {route.deployment for route in routes} <= set(deployed)
