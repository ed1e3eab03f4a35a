"""Cloud Run behind the `TrafficRouter` port: reads by Admin API v2, the one guarded write by v1.

v2's UpdateService was seen to ignore its etag; v1's replaceService documents and enforces
metadata.resourceVersion (409 ABORTED), hence the two APIs. Nothing is
retried: ticks are the retries.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import requests
from google.cloud import run_v2

from controller.cloud import v1, v2
from controller.cloud.clients import within
from controller.cloud.translate import from_http, translating
from controller.cloud.v1 import RECORD_KEY
from controller.engine.observation import RevisionState, ServiceName, ServiceState, Template
from controller.ports import Change, Clock, Conflict, Missing, PortError, Unavailable

__all__ = ["RECORD_KEY", "VOID_AFTER", "CloudRun"]

READ_SECONDS = 10.0
WRITE_SECONDS = 15.0
VOID_AFTER = timedelta(seconds=60)
"""A decision that raises the candidate's weight is too old to be written after this."""


class CloudRun:
    """Services of any project and region.

    session: sends the v1 calls; it must not retry. url_of: a service's URL in the v1 API.
    user_agent: of the v1 calls; the clients carry their own.
    """

    def __init__(
        self,
        services: run_v2.ServicesClient,
        revisions: run_v2.RevisionsClient,
        session: requests.Session,
        url_of: Callable[[ServiceName], str],
        clock: Clock,
        *,
        user_agent: str = "rollout",
    ) -> None:
        self._services = services
        self._revisions = revisions
        self._session = session
        self._url_of = url_of
        self._clock = clock
        self._headers = {"User-Agent": user_agent, "Accept": "application/json"}
        self._last_fresh: tuple[ServiceState, v1.Json] | None = None
        self._last_service: tuple[Any, ServiceState] | None = None
        self._last_revisions: dict[str, tuple[Any, RevisionState]] = {}

    def observe(self, name: ServiceName) -> ServiceState:
        """Read a service (v2 GetService)."""
        try:
            with translating():
                answer = self._services.get_service(
                    _service_request(_path(name)), retry=None, timeout=within(READ_SECONDS)
                )
        except Missing as error:
            raise self._service_missing(name, error) from error
        found, last = type(answer).pb(answer), self._last_service
        # Most looks see what the last one saw; to compare messages costs less than to read one.
        if last is not None and last[1].name == name and last[0] == found:
            return last[1]
        state = v2.service_state(name, found)
        self._last_service = (found, state)
        return state

    def fresh(self, name: ServiceName) -> ServiceState:
        """Read a service (v1 GET); a `write` that expects this very state reads no more."""
        state, body = self._read(name)
        self._last_fresh = (state, body)
        return state

    def template(self, name: ServiceName) -> Template:
        """Read what the service's next revision would be made of (v1 GET)."""
        _, body = self._read(name)
        try:
            return v1.template_state(body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable(f"the answer for {name.service} had no template") from error

    def services(self, project: str, region: str) -> tuple[ServiceState, ...]:
        """Read every service of a region, by name (v2 ListServices, as many pages as there are)."""
        parent = f"projects/{project}/locations/{region}"
        with translating():
            pager = self._services.list_services(parent=parent, retry=None, timeout=READ_SECONDS)
            pages = [type(page).pb(page) for page in pager.pages]
        found = {v2.short(one.name) or "": one for page in pages for one in page.services}
        return tuple(
            v2.service_state(ServiceName(project, region, name), found[name])
            for name in sorted(found)
        )

    def revision(self, name: ServiceName, revision: str) -> RevisionState:
        """Read one revision (v2 GetRevision)."""
        path = f"{_path(name)}/revisions/{revision}"
        try:
            with translating():
                answer = self._revisions.get_revision(
                    _revision_request(path), retry=None, timeout=within(READ_SECONDS)
                )
        except Missing as error:
            raise self._revision_missing(name, revision, error) from error
        found, last = type(answer).pb(answer), self._last_revisions.get(path)
        if last is not None and last[0] == found:
            return last[1]
        state = v2.revision_state(found)
        self._last_revisions[path] = (found, state)
        return state

    def revisions(self, name: ServiceName) -> tuple[RevisionState, ...]:
        """Return every revision of the service, newest first (the API promises no order)."""
        with translating():
            pager = self._revisions.list_revisions(
                parent=_path(name), retry=None, timeout=READ_SECONDS
            )
            pages = [type(page).pb(page) for page in pager.pages]
        found = [v2.revision_state(one) for page in pages for one in page.revisions]
        return tuple(sorted(found, key=_age, reverse=True))

    def write(self, expected: ServiceState, change: Change, decided_at: datetime) -> ServiceState:
        """Write traffic and record in one PUT if the service is still what was observed."""
        name = expected.name
        state, body = self._expected_now(expected)
        _check_unchanged(expected, state)
        self._check_not_void(change, decided_at)
        self._call("PUT", name, v1.changed(body, change), rollout=change.rollout)
        written, _ = self._read(name)
        ours = written.record_text == change.record_text
        if not ours or v1.split_of(written.targets) != v1.split_of(change.targets):
            raise Conflict(f"{name.service} was written by {_who(written)} right after our write")
        return written

    def _expected_now(self, expected: ServiceState) -> tuple[ServiceState, v1.Json]:
        last, self._last_fresh = self._last_fresh, None
        if last is not None and last[0] is expected:
            return last
        return self._read(expected.name)

    def _check_not_void(self, change: Change, decided_at: datetime) -> None:
        age = self._clock.now() - decided_at
        if change.raises and age > VOID_AFTER:
            raise Conflict(
                f"the decision is void: it was made {age.total_seconds():.0f} s ago and would "
                "raise the candidate's weight"
            )

    def _read(self, name: ServiceName) -> tuple[ServiceState, v1.Json]:
        try:
            body = self._call("GET", name)
        except Missing as error:
            raise self._service_missing(name, error) from error
        try:
            return v1.service_state(name, body), body
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable(f"the answer for {name.service} was not a service") from error

    def _call(
        self, method: str, name: ServiceName, body: v1.Json | None = None, *, rollout: str = ""
    ) -> v1.Json:
        # A record is untrusted: only a plain id may go into a header.
        named = f" ({rollout})" if re.fullmatch(r"[A-Za-z0-9-]{1,64}", rollout) else ""
        agent = self._headers["User-Agent"] + named
        with translating():
            answer = self._session.request(
                method,
                self._url_of(name),
                json=body,
                headers={**self._headers, "User-Agent": agent},
                timeout=READ_SECONDS if body is None else WRITE_SECONDS,
                allow_redirects=False,
            )
            if not 200 <= answer.status_code < 300:
                raise from_http(answer.status_code, answer.text)
            parsed: Any = answer.json()
        if not isinstance(parsed, dict):
            raise Unavailable(f"the answer for {name.service} was not a JSON object")
        return parsed

    def _service_missing(self, name: ServiceName, error: Missing) -> Missing:
        try:
            known = [one.name.service for one in self.services(name.project, name.region)]
        except PortError:
            known = []
        return Missing(error.what, _nearest("services", name.service, known))

    def _revision_missing(self, name: ServiceName, revision: str, error: Missing) -> Missing:
        try:
            known = [one.name for one in self.revisions(name)]
        except PortError:
            known = []
        return Missing(error.what, _nearest("revisions", revision, known))


def _path(name: ServiceName) -> str:
    return f"projects/{name.project}/locations/{name.region}/services/{name.service}"


# The clients send a request as it is and change nothing in it: one for each name is enough.
@lru_cache(maxsize=64)
def _service_request(path: str) -> run_v2.GetServiceRequest:
    return run_v2.GetServiceRequest(name=path)


@lru_cache(maxsize=64)
def _revision_request(path: str) -> run_v2.GetRevisionRequest:
    return run_v2.GetRevisionRequest(name=path)


def _age(revision: RevisionState) -> tuple[float, str]:
    return (revision.created.timestamp() if revision.created else 0.0, revision.name)


def _nearest(what: str, wanted: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.4) or names[:3]
    return f"there are the {what} {', '.join(near)}" if near else f"there are no {what} there"


def _check_unchanged(expected: ServiceState, now: ServiceState) -> None:
    service = expected.name.service
    if now.uid != expected.uid:
        raise Conflict(f"{service} was deleted and created anew")
    if v1.split_of(now.targets) != v1.split_of(expected.targets):
        raise Conflict(f"the traffic of {service} was changed by {_who(now)}")
    if now.record_text != expected.record_text:
        raise Conflict(f"the record in {service} was changed by {_who(now)}")
    if now.latest_ready != expected.latest_ready and any(
        target.revision is None and target.percent for target in now.targets
    ):
        raise Conflict(f"LATEST of {service} became {now.latest_ready} meanwhile")
    if now.generation != expected.generation:
        raise Conflict(f"{service} was changed by {_who(now)} meanwhile")


def _who(state: ServiceState) -> str:
    return state.last_modifier or "another hand"
