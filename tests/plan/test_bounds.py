"""How much of a hostile plan is looked at, counted: bytes, characters, events, nodes, templates.

By counting, not by time: a bound that is gone shows on the fastest machine. Time and memory of the
same plans are measured in benchmarks/hostile.py.
"""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from click import ClickException
from click.testing import CliRunner

from benchmarks.hostile import HOSTILE
from controller.cli.app import cli
from controller.engine.codec import BYTES_MAX, Unreadable, decode, read
from controller.plan import compact, nodes, template
from controller.plan.diagnostics import PlanInvalid
from controller.plan.nodes import DEPTH_MOST, NODES_MOST
from controller.plan.reader import read_plan
from controller.plan.source import MOST_BYTES, Source, load

LOOKAHEAD = 2 * 1024  # characters: PyYAML looks so far for the colon of a key in one line, twice
AROUND = 8  # events that are no nodes: of the stream and its document


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what PyYAML and Jinja2 are given, while they do what they always do."""
    counts: Counter[str] = Counter()

    class CountingLoader(yaml.SafeLoader):
        def get_event(self) -> Any:
            event = super().get_event()
            counts["events"] += 1
            counts["nodes"] += isinstance(event, yaml.NodeEvent)
            return event

        def forward(self, length: int = 1) -> None:
            counts["characters"] += length
            super().forward(length)

    class CountingTemplates(jinja2.Environment):
        def lex(self, source: str, *more: Any) -> Any:
            counts["lexed"] += len(source)
            return super().lex(source, *more)

        def parse(self, source: str, *more: Any) -> Any:
            counts["templates"] += 1
            counts["longest template"] = max(counts["longest template"], len(source))
            return super().parse(source, *more)

    monkeypatch.setattr(yaml, "SafeLoader", CountingLoader)
    monkeypatch.setattr(template, "_JINJA", CountingTemplates(autoescape=True))
    return counts


def refused(text: str) -> str:
    data = text.encode()[: MOST_BYTES + 1]  # as `load` reads it
    with pytest.raises(PlanInvalid) as invalid:
        read_plan(Source("p.yaml", data), env={}, variables={})
    return str(invalid.value)


@pytest.mark.parametrize("name", HOSTILE)
def test_of_a_hostile_plan_no_more_is_looked_at_than_a_plan_can_have(
    name: str, counted: Counter[str]
) -> None:
    told = refused(HOSTILE[name]())
    assert told
    assert counted["nodes"] <= NODES_MOST + 1
    assert counted["events"] <= 2 * NODES_MOST + AROUND  # each list and mapping has an end as well
    assert counted["characters"] <= MOST_BYTES
    assert counted["lexed"] <= 4 * MOST_BYTES
    assert counted["longest template"] <= template.CHARACTERS_MOST + len("{{}}")
    assert counted["templates"] <= template.EXPRESSIONS_MOST


def test_more_bytes_than_a_plan_has_are_not_parsed_at_all(counted: Counter[str]) -> None:
    refused("# " + "x" * MOST_BYTES)
    assert counted["characters"] == counted["events"] == 0


def test_nesting_is_refused_at_the_first_that_is_too_deep(counted: Counter[str]) -> None:
    refused("[" * 200_000)
    assert counted["nodes"] == DEPTH_MOST + 1
    assert counted["characters"] <= DEPTH_MOST + LOOKAHEAD


@pytest.mark.parametrize("mark", ["&a ", "!tag ", "*a "])
def test_anchors_aliases_and_tags_are_refused_at_the_first(
    mark: str, counted: Counter[str]
) -> None:
    refused(f"a: {mark}x\n" + "b: [c, d]\n" * 20_000)
    assert counted["nodes"] <= 4
    assert counted["characters"] <= LOOKAHEAD


@pytest.mark.parametrize("item", ["- a\n", "- {b: c}\n", "- [d, e, f]\n", "? g\n"])
def test_nodes_are_counted_as_they_come_and_what_follows_is_not_read(
    item: str, counted: Counter[str]
) -> None:
    refused(item * (200_000 // len(item)))
    assert counted["nodes"] == NODES_MOST + 1
    assert counted["characters"] <= NODES_MOST * len(item) + LOOKAHEAD


def test_a_second_document_is_refused_where_it_begins(counted: Counter[str]) -> None:
    refused("--- a\n...\n" + "--- b\n" * 30_000)
    assert counted["characters"] <= LOOKAHEAD


class Endless(io.RawIOBase):
    """A file without an end, which counts what is read of it."""

    def __init__(self) -> None:
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "all of it is wanted"
        self.count += size
        return b"#" * size


@pytest.fixture
def endless() -> Iterator[Endless]:
    stream = Endless()
    yield stream
    assert 0 < stream.count <= MOST_BYTES + 1


def test_of_a_file_no_more_is_read_than_tells_that_it_is_too_long(
    endless: Endless, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("", "utf-8")
    monkeypatch.setattr(Path, "open", lambda *_args, **_more: endless)
    source = load(str(file))
    assert len(source.data) == MOST_BYTES + 1
    with pytest.raises(PlanInvalid, match="a plan has at most 256 kB"):
        read_plan(source, env={}, variables={})


@pytest.mark.parametrize("command", [["validate", "-"], ["apply", "-"], ["preview", "-"]])
def test_of_standard_input_no_more_is_read_either(
    command: list[str], endless: Endless, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stdin:
        buffer = endless

    with CliRunner().isolation() as (_, stderr, _):
        monkeypatch.setattr(sys, "stdin", Stdin())
        with pytest.raises((SystemExit, PlanInvalid, ClickException)) as ended:
            cli.main(command, standalone_mode=False)
        told = f"{ended.value} {stderr.getvalue().decode()}"
    assert "a plan has at most 256 kB" in told


# Records, which are as untrusted ---------------------------------------------------------------


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how long each text is that is given to the JSON parser."""
    sizes: list[int] = []
    loads = json.loads

    def noting(text: str, **more: Any) -> Any:
        sizes.append(len(text))
        return loads(text, **more)

    monkeypatch.setattr(json, "loads", noting)
    return sizes


@pytest.mark.parametrize("text", ["[" * 10**6, '{"v":1,"id":"' + "x" * 10**6, "9" * 10**6])
def test_a_record_larger_than_any_is_not_parsed(text: str, parsed: list[int]) -> None:
    with pytest.raises(Unreadable, match="larger than any record"):
        read(text)
    assert parsed == []


def test_a_deep_record_within_the_size_is_refused() -> None:
    with pytest.raises(Unreadable):
        decode("[" * (4 * BYTES_MAX))


def test_a_plan_in_a_record_longer_than_any_is_not_parsed(parsed: list[int]) -> None:
    with pytest.raises(ValueError, match="too long"):
        compact.from_json('{"service":"' + "x" * compact.BYTES_MOST + '"}')
    assert parsed == []


def test_the_bounds_are_those_that_are_meant() -> None:
    """Raised by accident they would bound nothing."""
    assert MOST_BYTES == 256 * 1024
    assert (nodes.DEPTH_MOST, nodes.NODES_MOST) == (32, 6_000)
    assert (template.TOKENS_MOST, template.CHARACTERS_MOST) == (24, 300)
