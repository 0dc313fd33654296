"""`xops github setup` and `reconcile`: the hook at GitHub, and what it says it has delivered."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from xops.cli.console import AsJson, print_json, print_text, say
from xops.cli.github.inbox import with_inbox
from xops.core.errors import ExitCode

if TYPE_CHECKING:
    from xops.github.policy import GitHubPolicy
    from xops.github.setup import Outcome, Plan


def setup(
    address: Annotated[
        str,
        typer.Option("--address", help="Where GitHub reaches the receiver: https://HOST/github."),
    ],
    place: Annotated[
        str,
        typer.Option(
            "--on", help="OWNER/NAME or an organisation; by default what the file's hook is of."
        ),
    ] = "",
    create: Annotated[
        bool,
        typer.Option("--create", help="Set the hook up. Without it nothing is sent to GitHub."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the hook or the App that this installation needs; with --create set the hook up.

    Safe to run again: a hook that leads to the same address gets the events and the secret of now.
    """
    from xops.github import setup as hooks
    from xops.github.policy import GitHubPolicy

    policy = GitHubPolicy.load()
    plan = hooks.plan(policy, address, place=place)
    outcome = _create(policy, plan) if create else None
    if as_json:
        print_json(_as_json(plan, outcome))
    elif outcome is None:
        _say_plan(plan)
    else:
        _say_outcome(outcome)


def _create(policy: GitHubPolicy, plan: Plan) -> Outcome:
    from xops.core.files import settings
    from xops.github import setup as hooks
    from xops.github.client import Client
    from xops.local.webhooks import load_or_create_webhook_secret

    named = policy.webhook.secret
    secret = named.read() if named else load_or_create_webhook_secret(settings.home())
    with Client(policy.access, environ=os.environ, as_app=plan.is_app) as client:
        return hooks.apply(plan, secret, client)


def _as_json(plan: Plan, outcome: Outcome | None) -> dict[str, object]:
    return {
        "place": plan.place,
        "hook": plan.settings,
        "permissions": dict(plan.permissions),
        "app": {"manifest": dict(plan.manifest), "post_to": plan.manifest_url},
        "done": vars(outcome) if outcome else None,
    }


def _say_plan(plan: Plan) -> None:
    if plan.is_app:
        say("[bold]The App[/]: post this manifest, as the field `manifest` of a form, to {url}",
            url=plan.manifest_url)  # fmt: skip
        print_text(json.dumps(dict(plan.manifest), indent=2))
        say(
            "Its hook gets its secret by `xops github setup --create`, once app_id and key are set."
        )
        return
    say("[bold]The hook of {place}[/]: {url}", place=plan.place, url=plan.url)
    say("Events: {events}", events=", ".join(plan.events))
    listed = ", ".join(f"{name}: {right}" for name, right in plan.permissions.items())
    say("The token needs: {listed}", listed=listed)
    say("Nothing was sent: `--create` sets it up.")


def _say_outcome(outcome: Outcome) -> None:
    say("The hook to {url} was {done}.", url=outcome.url, done=outcome.done)
    if outcome.hook_id is not None:
        say(
            "For deployments/github.yaml, so that its deliveries are compared with those that came:"
        )
        print_text(f"hook_id: {outcome.hook_id}\nhook_of: {outcome.hook_of}")


def reconcile(as_json: AsJson = False) -> None:
    """Compare what GitHub's hook has delivered with the inbox; have what is missing sent again.

    Exit code 10 where somebody should look: a delivery is lost, or waits for too long.
    """
    from xops.github.policy import GitHubPolicy
    from xops.github.reconcile import reconcile as run

    turn = run(GitHubPolicy.load(), with_inbox(os.environ))
    if as_json:
        print_json(turn.to_json())
    else:
        say("{summary}", summary=turn.summary())
    if turn.needs_attention:
        raise typer.Exit(ExitCode.FINDINGS)
