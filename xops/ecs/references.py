"""What the values of a Terraform plan are made from, and what those things have by now. Pure.

A plan says of a value that only the apply will tell it; its `configuration` says which expressions
the value is made from. When the apply was interrupted half-way, the next plan knows some of these
values, and its `prior_state` shows whether they are those of the things they refer to.

Source of the format: developer.hashicorp.com/terraform/internals/json-format, version 1.x. It names
the references of an expression and not the expression itself, and nothing of local values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from xops.core.plan.fingerprint import FingerprintKey
from xops.core.plan.values import Json, is_hidden, is_unknown

_INDEX = re.compile(r'\[(?:"(?:[^"\\]|\\.)*"|[^\[\]"]*)\]')
"""A key of `for_each`, in which any character may stand, or a number."""
_OPAQUE = ("local.", "each.")
"""References whose value the plan does not say."""
_CONSTANT = ("count.", "self.", "path.", "terraform.")
_TELLING = 8
"""A text must be this long to tell, within another, where that comes from."""

ANYTHING = "(local value)"


def _scalars(value: Json) -> Iterator[Json]:
    """All values without parts; a marker of a hidden one is one."""
    if is_hidden(value):
        yield value
    elif is_unknown(value):
        return
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _scalars(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _scalars(inner)
    elif value is not None:
        yield value


@dataclass(frozen=True)
class References:
    """The references of one plan's values.

    Attributes:
        document: what `terraform show -json PLANFILE` printed.
        key: marks what a plan does not show; without it no hidden value is explained.
    """

    document: Mapping[str, Any] = field(repr=False)
    key: FingerprintKey | None = field(default=None, repr=False)

    def of(self, address: str, attribute: str) -> tuple[str, ...]:
        """What an attribute of a resource is made from, as addresses from the root module."""
        path, name = _split(_INDEX.sub("", address))
        for resource in self._module(path).get("resources", []):
            if resource["address"] == name:
                return self._from(path, resource.get("expressions", {}).get(attribute))
        return ()

    def of_output(self, name: str) -> tuple[str, ...]:
        """What an output of the root module is made from."""
        output: Mapping[str, Any] = self._module(()).get("outputs", {}).get(name, {})
        return self._from((), output.get("expression"))

    def _from(self, path: tuple[str, ...], expression: Any) -> tuple[str, ...]:
        """The references of an expression. Terraform names a thing beside each of its attributes:
        only the attribute counts."""
        found = set(self._resolve_all(path, _references(expression)))
        owners = {_INDEX.sub("", owner) for each in found for owner in list(_prefixes(each))[1:]}
        return tuple(sorted(each for each in found if _INDEX.sub("", each) not in owners))

    def explains(self, references: tuple[str, ...], value: Json) -> bool:
        """Whether a value comes from what these references have by now.

        Each text, number and truth value in it must be one of theirs, hold one of their texts (an
        ARN within a policy), or be a constant of the sources or a variable, and one at least must
        be theirs. An attribute may be without references: a provider derives it from others, or it
        is of a `dynamic` block, of which the configuration says nothing. Of such a value one part
        must be of anything that there is, and so must each that is hidden.
        """
        found = references or (ANYTHING,)
        known = [item for reference in found for item in self._values_of(reference)]
        looked = [(leaf, self._comes_from(leaf, known)) for leaf in _scalars(value)]
        others = [leaf for leaf, comes in looked if not comes]
        if not references:
            others = [leaf for leaf in others if is_hidden(leaf)]
        constants = self._constants if others else []
        return any(comes for _, comes in looked) and all(
            self._comes_from(leaf, constants) for leaf in others
        )

    @cached_property
    def _constants(self) -> list[Json]:
        """What the sources and the variables say themselves."""
        variables = self.document.get("variables", {}).values()
        found = [*_constant_values(self.document.get("configuration", {})), *variables]
        return list(_scalars(found))

    def _comes_from(self, leaf: Json, known: list[Json]) -> bool:
        if is_hidden(leaf):
            return self.key is not None and any(leaf == self.key.hide(item) for item in known)
        return any(_is_made_from(leaf, item) for item in known)

    def _values_of(self, reference: str) -> Iterator[Json]:
        if reference == ANYTHING:
            for every in self._known.values():
                yield from _scalars(every)
            return
        plain = _INDEX.sub("", reference)
        address = next((found for found in _prefixes(plain) if found in self._known), None)
        if address is None:
            return
        rest = plain[len(address) + 1 :].split(".")[0]
        for values in self._known[address]:
            yield from _scalars(values.get(rest, values) if rest else values)

    @cached_property
    def _known(self) -> dict[str, list[Mapping[str, Any]]]:
        """What every resource and data source has by now, by its address without indexes."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        prior = self.document.get("prior_state", {}).get("values", {})
        for resource in _resources(prior.get("root_module", {})):
            address = _INDEX.sub("", resource["address"])
            found.setdefault(address, []).append(resource.get("values", {}))
        return found

    def _resolve_all(self, path: tuple[str, ...], references: Iterator[str]) -> Iterator[str]:
        for reference in references:
            yield from self._resolve(path, reference)

    def _resolve(self, path: tuple[str, ...], reference: str) -> Iterator[str]:
        """A reference within a module as references from the root."""
        kind, _, rest = reference.partition(".")
        if reference.startswith(_OPAQUE):
            yield ANYTHING
        elif reference.startswith(_CONSTANT):
            return
        elif kind == "var":
            yield from self._resolve_variable(path, _INDEX.sub("", rest).split(".")[0])
        elif kind == "module":
            name, _, output = _INDEX.sub("", rest).partition(".")
            inner = (*path, name)
            expression = self._module(inner).get("outputs", {}).get(output.split(".")[0], {})
            yield from self._resolve_all(inner, _references(expression.get("expression")))
        else:
            yield "".join(f"module.{name}." for name in path) + reference

    def _resolve_variable(self, path: tuple[str, ...], name: str) -> Iterator[str]:
        if not path:
            return  # the root's variables are bound as they are
        outer = path[:-1]
        call = self._module(outer).get("module_calls", {}).get(path[-1], {})
        yield from self._resolve_all(outer, _references(call.get("expressions", {}).get(name)))

    def _module(self, path: tuple[str, ...]) -> Mapping[str, Any]:
        module: dict[str, Any] = self.document.get("configuration", {}).get("root_module", {})
        for name in path:
            module = module.get("module_calls", {}).get(name, {}).get("module", {})
        return module


def _split(address: str) -> tuple[tuple[str, ...], str]:
    """The modules that an address lies in, and the rest of it."""
    parts = address.split(".")
    path = []
    while len(parts) > 2 and parts[0] == "module":
        path.append(parts[1])
        parts = parts[2:]
    return tuple(path), ".".join(parts)


def _references(expression: Any) -> Iterator[str]:
    """Every reference in an expression, or in the blocks of one."""
    if isinstance(expression, list):
        for inner in expression:
            yield from _references(inner)
    elif isinstance(expression, Mapping):
        listed = expression.get("references")
        if "constant_value" in expression:
            return
        if isinstance(listed, list):
            yield from listed
        else:
            for inner in expression.values():
                yield from _references(inner)


def _constant_values(expressions: Any) -> Iterator[Json]:
    if isinstance(expressions, list):
        for inner in expressions:
            yield from _constant_values(inner)
    elif isinstance(expressions, Mapping):
        if "constant_value" in expressions:
            yield expressions["constant_value"]
            return
        for inner in expressions.values():
            yield from _constant_values(inner)


def _resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _resources(child)


def _prefixes(address: str) -> Iterator[str]:
    """The address without indexes and those above it, the longest first."""
    parts = _INDEX.sub("", address).split(".")
    for length in range(len(parts), 1, -1):
        yield ".".join(parts[:length])


def _is_made_from(leaf: Json, item: Json) -> bool:
    if type(leaf) is type(item) and leaf == item:
        return True
    is_text = isinstance(leaf, str) and isinstance(item, str)
    return is_text and len(item) >= _TELLING and item in leaf
