"""What the app and its dependencies answer to HTTP requests of ours.

What lives here: which revision a URL reaches, which of the scenario's and the setting's answers
fits, how long it takes. Not here: Cloud Run's own API (run_v1), the doors (http, serve).

Every request that reaches a revision counts in its metrics, as on the real thing: a tag's requests
cannot be told from its users'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlsplit

from controller.sandbox.histogram import lognormal
from controller.sandbox.scenario import HttpRule
from controller.sandbox.traffic import Traffic
from controller.sandbox.web import HttpAnswer, json_answer
from controller.sandbox.world import Place, World

NEVER_MS = 3_600_000.0
"""Cloud Run gives up on a request after at most 60 minutes; no caller of ours waits as long."""
_QUICK = lognormal(20.0, 60.0)
"""A health check does no work: it takes the network's time, not the model's."""


class UnknownHost(LookupError):
    """Nothing in this world has that host; the text says what there is."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A request of ours. path: below the service's URL. revision: None where none is reached."""

    method: str
    url: str
    path: str
    body: Any
    region: str
    service: str
    revision: str | None


class Checks:
    """The HTTP side of the apps in one world. traffic: by region, the setting's first one first."""

    def __init__(self, world: World, traffic: Sequence[Traffic]) -> None:
        self._world = world
        self._traffic = {one.region: one for one in traffic}
        self._number = 0

    def answer(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> HttpAnswer:
        """Answer one request at the world's present.

        The first of the scenario's rules that fits wins, then the setting's answers, then a
        healthy GET /health; any other path is 404. Raises UnknownHost where nothing in this world
        has that host.
        """
        del headers  # nothing in the world asks who calls
        self._number += 1
        request = self._request(method.upper(), url, _json_of(body))
        latency = self._latency_ms(request)
        rule = self._rule(request)
        if rule is not None:
            latency = rule.latency_ms if rule.latency_ms is not None else latency
            if rule.status is None:
                return HttpAnswer(504, {}, b"", NEVER_MS)
            answer = _answer(rule.status, rule.body, latency)
        else:
            answer = self._healthy(request, latency)
        if request.revision is not None:
            self._traffic[request.region].record_own(
                request.service,
                request.revision,
                self._world.clock.now(),
                answer.status,
                answer.latency_ms,
            )
        return answer

    def _request(self, method: str, url: str, body: Any) -> _Request:
        bare = url.partition("?")[0].partition("#")[0]
        place = self._world.place_of(bare)
        if place is not None:
            revision = place.revision if place.tag else self._by_the_split(place)
            return _Request(method, bare, place.path, body, place.region, place.service, revision)
        if urlsplit(bare).netloc not in self._dependencies():
            known = ", ".join(sorted(self._dependencies())) or "none"
            raise UnknownHost(
                f"the sandbox knows no host {urlsplit(bare).netloc!r}: it is neither a URL of the "
                f"service nor one of the dependencies in the scenario or the plan ({known})"
            )
        return _Request(
            method, bare, urlsplit(bare).path or "/", body, self._world.setting.regions[0], "", None
        )

    def _dependencies(self) -> frozenset[str]:
        """Return the hosts of all absolute URLs that somebody has an answer for."""
        urls = [rule.url for rule in self._world.scenario.http]
        urls += [answer.url for answer in self._world.setting.answers]
        return frozenset(urlsplit(url).netloc for url in urls if "://" in url)

    def _by_the_split(self, place: Place) -> str | None:
        """Return the revision that one request to the service's own URL happens to reach."""
        found = self._world.find(place.service, place.region)
        shares = found.shares_now() if found else {}
        names = sorted(shares)
        rng = Random(f"{self._world.seed}/split/{self._number}")
        return rng.choices(names, [shares[name] for name in names])[0] if names else None

    def _latency_ms(self, request: _Request) -> float:
        if request.revision is not None and request.method not in {"GET", "HEAD"}:
            return self._traffic[request.region].latency(
                request.revision, self._world.clock.now(), self._number
            )
        return _QUICK.one(Random(f"{self._world.seed}/quick/{request.url}/{self._number}"))

    def _rule(self, request: _Request) -> HttpRule | None:
        world, now = self._world, self._world.clock.now()
        for rule in world.scenario.http:
            owner = world.setting.revision(rule.revision) if rule.revision else None
            if owner is not None and owner != request.revision:
                continue
            if not _fits(rule.method, rule.url, request) or not _has(request.body, rule.body_has):
                continue
            if self._traffic[request.region].truths.holds(rule.since, rule.until, owner, now):
                return rule
        return None

    def _healthy(self, request: _Request, latency: float) -> HttpAnswer:
        if request.revision is not None and not self._is_ready(request):
            return json_answer(503, {"error": "Service Unavailable"}, latency)
        for known in self._world.setting.answers:
            if _fits(known.method, known.url, request):
                return _answer(known.status, known.body, latency)
        if request.revision is not None and (request.method, request.path) == ("GET", "/health"):
            body = {"status": "healthy", "pipeline_ready": True, "revision": request.revision}
            return json_answer(200, body, latency)
        return json_answer(404, {"error": f"no {request.method} {request.path} here"}, latency)

    def _is_ready(self, request: _Request) -> bool:
        found = self._world.find(request.service, request.region)
        known = found.revisions.get(request.revision or "") if found else None
        return known is not None and known.state == "ready"


def _fits(method: str, url: str, request: _Request) -> bool:
    """Tell whether an answer's method and URL (absolute or a path) are the request's."""
    if method.upper() != request.method:
        return False
    if "://" in url:
        return url.rstrip("/") == request.url.rstrip("/")
    return request.revision is not None and url == request.path


def _has(body: Any, wanted: Any) -> bool:
    """Tell whether a JSON body has at least what is wanted: objects as subsets, else equal."""
    if wanted is None:
        return True
    if isinstance(wanted, Mapping):
        return isinstance(body, Mapping) and all(
            key in body and _has(body[key], value) for key, value in wanted.items()
        )
    return bool(body == wanted)


def _json_of(body: bytes | None) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


def _answer(status: int, body: Any, latency_ms: float) -> HttpAnswer:
    """Return a JSON answer, or one without a body where there is none to give."""
    if body is None:
        return HttpAnswer(status, {}, b"", latency_ms)
    return json_answer(status, body, latency_ms)
