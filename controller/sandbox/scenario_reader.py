"""YAML text -> Scenario, or one clear error with file and line.

Scalars are read as the text that was written; `scenario_nodes` has the readers of single values.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import yaml

from controller.sandbox.scenario import (
    DOES,
    FLAT,
    NO_TIME,
    SAYS,
    Act,
    CallFault,
    Change,
    HttpRule,
    Incident,
    Load,
    Metrics,
    Outage,
    Poison,
    RevisionTruth,
    Run,
    Scenario,
    ScenarioError,
    ShiftFault,
    Truth,
)
from controller.sandbox.scenario_nodes import (
    Node,
    duration,
    each,
    every,
    flag,
    fraction,
    milliseconds,
    moment,
    nths,
    number,
    percent,
    rate,
    status_name,
    text,
    time,
    value,
    whole,
)

MOST_BYTES = 256 * 1024
DEEPEST = 32
METHODS = ("get", "post", "put", "patch", "delete", "head")


def read(data: bytes, file: str, name: str = "unnamed") -> Scenario:
    """Read a scenario from UTF-8 YAML; raises ScenarioError naming file and line."""
    if len(data) > MOST_BYTES:
        raise ScenarioError(f"{file}: a scenario has at most {MOST_BYTES // 1024} kB")
    try:
        root = _compose(data.decode("utf-8-sig"), file)
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{file}: not UTF-8 text (byte {error.start})") from None
    keys = root.mapping(
        {"about", "seed", "start", "traffic", "revisions", "incidents", "poison", "metrics", "run",
         "faults", "people", "http", "denied"}
    )  # fmt: skip
    default = Scenario()
    return Scenario(
        name=name,
        about=keys.read("about", text, ""),
        seed=keys.read("seed", whole, default.seed),
        start=keys.read("start", time, default.start),
        traffic=keys.read("traffic", _load, default.traffic),
        revisions=keys.read("revisions", _revisions, {}),
        incidents=keys.read("incidents", each(_incident), ()),
        poison=keys.read("poison", each(_poison), ()),
        metrics=keys.read("metrics", _metrics, default.metrics),
        run=keys.read("run", _run, default.run),
        faults=keys.read("faults", each(_fault), ()),
        people=keys.read("people", each(_act), ()),
        http=keys.read("http", each(_http), ()),
        denied=keys.read("denied", each(text), ()),
    )


def _compose(source: str, file: str) -> Node:
    try:
        _scan(source, file)
        tree = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ScenarioError(f"{file}:{line}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ScenarioError(f"{file}: not YAML: {error}") from None
    if tree is None:
        raise ScenarioError(f"{file}: empty; `about: what happens` is a scenario")
    return Node(tree, file)


def _scan(source: str, file: str) -> None:
    """Refuse aliases and deep nesting before a tree is built of them."""
    depth = 0
    for event in yaml.parse(source, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ScenarioError(f"{file}:{line}: nested too deeply")
        if isinstance(event, yaml.AliasEvent):
            raise ScenarioError(f"{file}:{line}: aliases are not allowed; write it out")


def _load(node: Node) -> Load:
    keys = node.mapping({"rate", "by_hour"})
    by_hour = keys.read("by_hour", each(number), FLAT)
    if len(by_hour) != 24 or min(by_hour) < 0:
        raise keys.wrong("by_hour", f"24 factors, one an hour, none below 0; not {len(by_hour)}")
    return Load(keys.read("rate", rate, Load().rate_per_s), by_hour)


TRUTH = frozenset({"errors", "latency", "gauges", "faster", "slower"})


def _truth(node: Node, further: frozenset[str] = frozenset()) -> Truth:
    """Read the keys of a truth from a mapping that may have further ones."""
    keys = node.mapping(TRUTH | further)
    latency = keys.node("latency")
    within = latency.mapping({"p50", "p95"}) if latency else None
    gauges, which = keys.node("gauges"), None
    if gauges is not None and gauges.is_text():
        which, gauges = gauges.one_of("good", "bad"), None
    faster, slower = keys.read("faster", fraction, None), keys.read("slower", percent, None)
    if faster is not None and slower is not None:
        raise keys.wrong("slower", "only one of faster and slower")
    pace = 1 - faster if faster is not None else 1 + slower if slower is not None else None
    return Truth(
        errors=keys.read("errors", _errors, None),
        p50_ms=within.read("p50", milliseconds, None) if within else None,
        p95_ms=within.read("p95", milliseconds, None) if within else None,
        gauges=_gauges(gauges) if gauges is not None else None,
        pace=pace,
        gauges_are=which,
    )


def _errors(node: Node) -> Mapping[str, float]:
    errors = {key: fraction(item) for key, item in node.items()}
    for key in errors:
        if not (len(key) == 3 and key[0] in "2345" and (key[1:] == "xx" or key[1:].isdigit())):
            raise node.error(f"{key!r} is no response code; write 5xx or 503")
    if sum(errors.values()) > 1:
        raise node.error("more than 100% of the requests")
    return errors


def _gauges(node: Node) -> Mapping[str, float]:
    return {key: number(item) for key, item in node.items()}


OF_REVISION = frozenset({"like", "changes", "starts"})


def _revisions(node: Node) -> Mapping[str, RevisionTruth]:
    revisions = {}
    for key, item in node.items():
        keys = item.mapping(TRUTH | OF_REVISION)
        revisions[key] = RevisionTruth(
            like=keys.read("like", text, None),
            truth=_truth(item, OF_REVISION),
            changes=keys.read("changes", each(_change), ()),
            starts=keys.read("starts", flag, True),  # noqa: FBT003 - the default
        )
    return revisions


def _change(node: Node) -> Change:
    when = frozenset({"from", "until"})
    keys = node.mapping(TRUTH | when)
    return Change(keys.need("from", moment), keys.read("until", moment, None), _truth(node, when))


def _incident(node: Node) -> Incident:
    when = frozenset({"from", "for"})
    keys = node.mapping(TRUTH | when)
    return Incident(keys.need("from", moment), keys.need("for", duration), _truth(node, when))


def _poison(node: Node) -> Poison:
    keys = node.mapping({"errors", "from", "until"})
    since, until = keys.read("from", moment, None), keys.read("until", moment, None)
    return Poison(keys.need("errors", _errors), since, until)


def _metrics(node: Node) -> Metrics:
    keys = node.mapping({"delay", "missing", "outages"})
    default = Metrics()
    delay = keys.node("delay")
    delays = delay.mapping({"counts", "latencies", "gauges"}) if delay else None

    def delayed(key: str, otherwise: timedelta) -> timedelta:
        return delays.read(key, duration, otherwise) if delays else otherwise

    return Metrics(
        delayed("counts", default.count_delay),
        delayed("latencies", default.latency_delay),
        delayed("gauges", default.gauge_delay),
        keys.read("missing", each(text), ()),
        keys.read("outages", each(_outage), ()),
    )


def _outage(node: Node) -> Outage:
    keys = node.mapping({"from", "for"})
    return Outage(keys.need("from", moment), keys.need("for", duration))


def _run(node: Node) -> Run:
    keys = node.mapping({"reconcile", "etag"})
    etag = keys.node("etag")
    enforced = etag is not None and etag.one_of("ignore", "enforce") == "enforce"
    return Run(keys.read("reconcile", duration, Run().reconcile), enforced)


def _fault(node: Node) -> CallFault | ShiftFault:
    if any(key == "shift" for key, _ in node.items()):
        keys = node.mapping({"shift", "takes", "fails"})
        nth, which = keys.need("shift", every)
        return ShiftFault(
            nth, which, keys.read("takes", duration, None), keys.read("fails", text, None)
        )
    keys = node.mapping(
        {"call", "every", "nth", "error", "text", "applied", "takes", "from", "until"}
    )
    return CallFault(
        call=keys.need("call", text),
        every=keys.read("every", whole, None),
        nth=keys.read("nth", nths, ()),
        error=keys.read("error", status_name, None),
        text=keys.read("text", text, None),
        applied=keys.read("applied", flag, None) or False,
        takes=keys.read("takes", duration, NO_TIME),
        since=keys.read("from", moment, None),
        until=keys.read("until", moment, None),
    )


DETAILS = frozenset({"revision", "key", "value", "image", "reason", "stage", "tag"})


def _act(node: Node) -> Act:
    keys = node.mapping(DETAILS | {"from", "when", "after", "do", "person", "split"})
    do = keys.need("do", text)
    if do not in DOES and do not in SAYS:
        raise keys.wrong("do", f"{do!r}: a person can {', '.join([*DOES, *SAYS])}")
    since, trigger = keys.read("from", moment, None), keys.read("when", text, None)
    if (since is None) == (trigger is None):
        raise node.error("say when: either `from: 3h` or `when: asked`")
    needed = DOES.get(do, "")
    if needed and keys.node(needed) is None:
        raise node.error(f"`do: {do}` needs `{needed}`")
    split = keys.read("split", _split, {})
    details = {key: text(item) for key in sorted(DETAILS) if (item := keys.node(key))}
    return Act(
        do=do,
        since=since,
        trigger=trigger,
        after=keys.read("after", duration, NO_TIME),
        person=keys.read("person", text, "person@example.com"),
        split=split,
        details=details,
    )


def _split(node: Node) -> Mapping[str, int]:
    split = {key: round(fraction(item) * 100) for key, item in node.items()}
    if sum(split.values()) != 100:
        raise node.error(f"the percents sum to {sum(split.values())}, not to 100")
    return split


def _http(node: Node) -> HttpRule:
    keys = node.mapping(
        {*METHODS, "revision", "body_has", "status", "body", "latency", "from", "until"}
    )
    methods = [method for method in METHODS if keys.node(method)]
    if len(methods) != 1:
        raise node.error("one of get, post, … names the path or URL")
    status = keys.node("status")
    silent = status is not None and status.is_text("none")
    return HttpRule(
        method=methods[0].upper(),
        url=keys.need(methods[0], text),
        revision=keys.read("revision", text, None),
        body_has=keys.read("body_has", value, None),
        status=None if silent else keys.read("status", whole, 200),
        body=keys.read("body", value, None),
        latency_ms=keys.read("latency", milliseconds, None),
        since=keys.read("from", moment, None),
        until=keys.read("until", moment, None),
    )
