"""Read the rules of ``--select``, ``--exclude``, ``--hash`` and ``--mask``. Makes no calls.

A rule is ``LISTS:COLUMN,COLUMN``. ``LISTS`` is a list or a pattern of lists: ``contacts``,
``inventory.*``, ``*``. A column is a name, a dotted name or a pattern: ``email``,
``billing_address.city``, ``cf_*``. A column must be described, unless it begins with ``cf_``
(custom fields) or is written with a plus sign: ``contacts:+loyalty_number``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from zoho_async.auth.profiles import chosen_profile
from zoho_async.description import Field, OperationFacts
from zoho_async.errors import ConfigurationError
from zoho_async.export.catalog import KEY, all_lists, children, resolve, row_facts
from zoho_async.export.details.operations import details_of, together
from zoho_async.export.errors import UnknownColumn, UnknownResource
from zoho_async.export.options import ExportOptions
from zoho_async.export.shape import ColumnRules, HashKey, Path, Shaper, matches

_ACTIONS: Final = ("select", "exclude", "hash", "mask")
_PATTERN: Final = frozenset("*?[")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: ``action`` is the name of its option."""

    action: str
    lists: str
    columns: tuple[str, ...]

    def applies_to(self, resource: str) -> bool:
        """Whether the rule is for ``product.resource``. Books needs no product."""
        return any(
            fnmatchcase(name, self.lists) for name in (resource, resource.removeprefix("books."))
        )


class Shapers:
    """The shapes of all lists of a run."""

    def __init__(self, rules: Sequence[Rule] = (), key: HashKey | None = None) -> None:
        self._rules: Final = rules
        self._key: Final = key

    def of(self, resource: str) -> Shaper:
        """Return the shaper for what a run writes of ``resource``."""
        return Shaper(self._shape(resource), kept_fields(resource), self._key)

    def of_list(self, resource: str) -> Shaper:
        """Return the shaper for the list through which ``resource`` is read: of its parents."""
        child = children().get(resource)
        return self.of(resource if child is None else child.parents.resource)

    def _shape(self, resource: str) -> ColumnRules:
        found: dict[str, tuple[str, ...]] = {}
        for rule in self._rules:
            if rule.applies_to(resource):
                bare = [column.removeprefix("+") for column in rule.columns]
                columns = {*found.get(rule.action, ()), *bare}
                found[rule.action] = tuple(sorted(columns))
        key = self._key.fingerprint if self._key is not None and "hash" in found else ""
        return ColumnRules(
            select=found.get("select"),
            exclude=found.get("exclude", ()),
            hash=found.get("hash", ()),
            mask=found.get("mask", ()),
            key=key,
        )


def shapers_of(
    options: ExportOptions, lists: Sequence[OperationFacts], key: HashKey | None = None
) -> Shapers:
    """Return the shapers that ``options`` ask for. ``lists`` are those of the run.

    Without a ``key``, that of the environment or the profile is used. Raises `ConfigurationError`
    for a rule that is not understood, an unknown list or column, or a missing key.
    """
    rules = rules_of(options)
    check_rules(rules, [facts.resource for facts in lists])
    if options.hash and key is None:
        key = hash_key()
    return Shapers(rules, key)


def rules_of(options: ExportOptions) -> list[Rule]:
    """Read the rules in ``options``. Raises `ConfigurationError`."""
    texts: Mapping[str, Sequence[str]] = {
        "select": options.select,
        "exclude": options.exclude,
        "hash": options.hash,
        "mask": options.mask,
    }
    return [_rule(action, text) for action in _ACTIONS for text in texts[action]]


def _rule(action: str, text: str) -> Rule:
    lists, colon, columns = text.partition(":")
    names = [one.strip() for one in columns.split(",")]
    if not (lists.strip() and colon and all(names)):
        raise ConfigurationError(f"--{action} takes LISTS:COLUMN,COLUMN, got {text!r}")
    return Rule(
        action=action,
        lists=lists.strip().lower().replace("-", "_"),
        columns=tuple(one.casefold() for one in names),
    )


def check_rules(rules: Sequence[Rule], resources: Sequence[str]) -> None:
    """Check the lists and columns that ``rules`` name.

    Raises `UnknownResource` or `UnknownColumn`, with similar names.
    """
    for rule in rules:
        if not _PATTERN & set(rule.lists):
            resolve([rule.lists], all_lists())
        every = [one for one in all_lists() if rule.applies_to(one)]
        if not every:
            raise UnknownResource(rule.lists, [])
        lists = [one for one in resources if rule.applies_to(one)] or every
        paths = _paths_of_all(lists)
        for column in rule.columns:
            if not _is_known(rule, column, paths):
                _check_column(rule, column, _paths_of_all(every))
            if rule.action != "select" and len(lists) == 1 and column in kept_fields(lists[0]):
                raise UnknownColumn(
                    f"--{rule.action} {rule.lists}:{column}: it is the id of the rows, "
                    "which is always kept as it is"
                )


def _is_known(rule: Rule, column: str, paths: Sequence[Path]) -> bool:
    if column.startswith("+") or column.rpartition(".")[2].startswith("cf_"):
        return True
    top = _is_top(rule, column)
    return any(matches(column, path) for path in paths if not top or len(path) == 1)


def _is_top(rule: Rule, column: str) -> bool:
    """Whether ``column`` names a column of the row itself."""
    return rule.action == "select" and "." not in column


def _check_column(rule: Rule, column: str, paths: Sequence[Path]) -> None:
    if _is_known(rule, column, paths):
        return
    top = _is_top(rule, column)
    names = {".".join(path) for path in paths}
    if not top:
        names |= {path[-1] for path in paths}
    ending = [name for name in sorted(names) if name.endswith(f".{column}")]
    near = ending or difflib.get_close_matches(column, names, n=3, cutoff=0.6)
    advice = f"did you mean {' or '.join(near[:3])}?" if near else "no similar column is described"
    raise UnknownColumn(
        f"--{rule.action} {rule.lists}: no column {column!r}: {advice} "
        f"(a column that the description lacks needs a plus sign: +{column})"
    )


def _paths_of_all(lists: Iterable[str]) -> list[Path]:
    return list(dict.fromkeys(path for one in lists for path in paths_of(one)))


def paths_of(resource: str) -> list[Path]:
    """Return the described columns of the rows and full records of ``resource``."""
    facts = row_facts()[resource]
    full = details_of(resource)
    return list(_paths(facts.reply if full is None else together(full.fields, facts.reply), ()))


def _paths(fields: Iterable[Field], above: Path) -> Iterable[Path]:
    for field in fields:
        path = (*above, field.name)
        yield path
        yield from _paths(field.fields, path)


def kept_fields(resource: str) -> frozenset[str]:
    """Return the fields of a row that no rule changes: its id, and of a child its parent's."""
    facts = row_facts().get(resource)
    child = children().get(resource)
    if facts is None:
        return frozenset()
    return frozenset({facts.row_id, *((KEY, child.name) if child is not None else ())} - {""})


def recorded_shaper(resource: str, text: str) -> Shaper:
    """Return the shaper for the tables of rows that an earlier run wrote."""
    return Shaper(ColumnRules.of_text(text), kept_fields(resource))


def hash_key(profile: str | None = None, environ: Mapping[str, str] | None = None) -> HashKey:
    """Return the key of ``--hash``: ``ZOHO_HASH_KEY``, or that of the profile.

    Raises `ConfigurationError` if there is none.
    """
    env = os.environ if environ is None else environ
    key = env.get("ZOHO_HASH_KEY", "")
    if not key:
        chosen = chosen_profile(profile, env)
        key = "" if chosen is None else chosen.hash_key
    if not key:
        raise ConfigurationError(
            "--hash needs a key: set ZOHO_HASH_KEY to a random text, for example from `openssl "
            "rand -hex 32`, and keep it (another key makes other hashes), or run `zoho-async login`"
        )
    return HashKey(key)
