"""examples/scheduled: what can be checked without Google. The image's lines: `make check-image`."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from controller.cli.passing import one_pass
from controller.cloud.checks import HttpChecker
from controller.cloud.clients import metric_client_on, run_clients_on
from controller.cloud.monitoring import CloudMonitoring
from controller.cloud.run import CloudRun
from controller.engine.begin import Wish
from controller.engine.observation import ServiceName
from controller.plan.model import Candidate, CustomMetric, Gate, Limits, Plan, Stage
from controller.ports import Ports
from controller.reconciler import Reconciler, Tick
from controller.sandbox import build
from controller.sandbox.channel import InProcessChannel
from controller.sandbox.errors import Method
from controller.sandbox.faults import PERMISSIONS
from controller.sandbox.scenario import Scenario
from controller.sandbox.setting import Gauge, Setting
from tests.examples import dockerfile

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "scheduled"
NAME = ServiceName("demo", "us-central1", "ion-api")
GAUGE = "custom.googleapis.com/ion/confidence_score"
SHORT = timedelta(minutes=10)
PLAN = Plan(
    "ion-api",
    "demo",
    "us-central1",
    Candidate(revision="ion-api-00042-xyz"),
    (Stage(10, SHORT), Stage(100, SHORT)),
    (
        Gate(
            "confidence",
            CustomMetric(GAUGE, revision_label="metric.labels.revision"),
            Limits(minimum=0.7, roll_back=0.6),
            None,
        ),
    ),
)
IN_HTTP = {
    ("GET", "services"): "run.services.get",
    ("PUT", "services"): "run.services.update",
}


class Seen:
    """A world that notes the permission of every call that comes to it."""

    def __init__(self, setting: Setting) -> None:
        self.permissions: set[str] = set()
        sandbox = build(Scenario(), setting)
        self.clock = sandbox.clock
        handlers = {
            path: Method(method.request, self._noting(path, method.handler))
            for path, method in sandbox.handlers.items()
        }
        channel = InProcessChannel(handlers)
        session = requests.Session()
        session.trust_env = False
        send = sandbox.http_adapter.send

        def noted(request: Any, *arguments: Any, **named: Any) -> Any:
            kind = re.search(r"/(services|revisions)/", request.url)
            assert kind is not None
            self.permissions.add(IN_HTTP[request.method, kind[1]])
            return send(request, *arguments, **named)

        sandbox.http_adapter.send = noted  # type: ignore[method-assign]
        session.mount("https://", sandbox.http_adapter)
        run = run_clients_on(channel, session, "rollout/test")
        self.router = CloudRun(run.services, run.revisions, run.session, run.url_of, self.clock)
        self._checker = HttpChecker(session, self.clock, {})
        self._channel = channel

    def ports(self) -> Ports:
        """Return ports that have seen nothing yet, as those of a process just begun."""
        metrics = CloudMonitoring(metric_client_on(self._channel, "rollout/test"))
        return Ports(self.router, metrics, self._checker, self.clock)

    def _noting(self, path: str, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def noted(request: Any) -> Any:
            self.permissions.add(PERMISSIONS[path.rsplit("/", 1)[-1]])
            return handler(request)

        return noted


@pytest.fixture(scope="module")
def needed() -> tuple[set[str], set[str]]:
    """Return what beginning needs, and what passes of a whole rollout need, by their calls."""
    world = Seen(Setting(gauges=(Gauge(GAUGE),)))
    assert isinstance(Reconciler(world.ports(), NAME).begin(Wish(PLAN, "ada", "r1")), Tick)
    begun, world.permissions = world.permissions, set()
    for _ in range(60):
        (listed,) = world.router.services(NAME.project, NAME.region)
        ticks = one_pass(Reconciler(world.ports(), NAME), listed)
        last = list(ticks)[-1].decision
        if last.record.outcome is not None:
            assert last.record.outcome.outcome == "promoted"
            return begun, world.permissions
        world.clock.sleep(timedelta(minutes=5))
    raise AssertionError("not promoted after 60 passes")


def test_the_account_has_the_permissions_that_a_pass_uses_and_no_other(
    needed: tuple[set[str], set[str]],
) -> None:
    _, of_passes = needed
    terraform = (FOLDER / "main.tf").read_text(encoding="utf-8")
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.search(r"permissions = \[(.*?)\n  \]", terraform, re.S)
    by_hand = re.search(r"--permissions \\\n\s*(\S+)", readme)
    assert listed is not None
    assert by_hand is not None
    assert set(re.findall(r'"([\w.]+)", *#', listed[1])) == of_passes
    assert set(by_hand[1].split(",")) == of_passes
    assert set(re.findall(r"^\| `([\w.]+)` \|", readme, re.M)) == of_passes


def test_the_table_of_the_readme_has_what_each_command_uses(
    needed: tuple[set[str], set[str]],
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("## Permissions") :].split("\n\n")[1]
    rows = [line for line in table.splitlines() if re.match(r"\|.*`(apply|tick)", line)]
    told: dict[str, set[str]] = {"apply": set(), "tick": set()}
    for row in rows:
        commands, permissions = row.split("|")[1:3]
        for command, found in told.items():
            if f"`{command}" in commands:
                found.update(re.findall(r"`((?:run|monitoring)\.[\w.]+)`", permissions))
    begun, of_passes = needed
    assert begun | of_passes <= told["apply"] | {"run.services.list"}
    assert of_passes <= told["tick"]


def test_the_terraform_parses_and_is_formatted() -> None:
    terraform = shutil.which("terraform")
    if terraform is None:
        pytest.skip("terraform is not installed")
    asked = [terraform, f"-chdir={FOLDER}", "fmt", "-check", "-diff"]
    done = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_terraform_refers_to_it_defines() -> None:
    text = (FOLDER / "main.tf").read_text(encoding="utf-8")
    assert set(re.findall(r"\bvar\.(\w+)", text)) == set(re.findall(r'^variable "(\w+)"', text, re.M))
    defined = set(re.findall(r'^resource "(\w+)" "(\w+)"', text, re.M))
    code = re.sub(r'^resource .*$|"roles/[\w.]+"|google_\w+" ', "", text, flags=re.M)
    assert set(re.findall(r"\b(google_\w+)\.(\w+)\.", code)) <= defined


@pytest.mark.parametrize("code", range(8))
def test_a_pass_fails_the_job_for_what_somebody_should_look_at(code: int) -> None:
    shell = shutil.which("sh")
    assert shell is not None
    script = (FOLDER / "pass.sh").read_text(encoding="utf-8")
    stub = f'rollout() {{ [ "$1" = list ] || return {code}; }}\n'
    done = subprocess.run([shell, "-c", stub + script], check=False, timeout=20)
    assert done.returncode == (0 if code in {0, 4, 5} else code)


def test_a_pass_fails_the_job_where_the_list_cannot_be_had() -> None:
    shell = shutil.which("sh")
    assert shell is not None
    script = (FOLDER / "pass.sh").read_text(encoding="utf-8")
    stub = 'rollout() { [ "$1" = tick ]; }\n'
    assert subprocess.run([shell, "-c", stub + script], check=False, timeout=20).returncode == 1


def test_the_image_installs_the_locked_set_by_hash_and_nothing_else() -> None:
    installs = [line.rest for line in dockerfile.lines() if " install " in line.rest]
    assert installs
    for install in installs:
        files = re.findall(r"-r (\S+)", install)
        if files:
            assert "--require-hashes" in install
            assert all((ROOT / name).is_file() for name in files)
        else:
            assert install.endswith("--no-deps wheels/*.whl")  # our own, built a line before
    locked = {name for install in installs for name in re.findall(r"-r (\S+)", install)}
    assert locked == {"requirements.txt", "requirements-build.txt"}


def test_the_image_is_slim_and_not_root() -> None:
    lines = dockerfile.lines()
    bases = [line.rest.split()[0] for line in lines if line.word == "FROM"]
    assert all(re.fullmatch(r"python:3\.\d+-slim", base) for base in bases)
    (user,) = [line.rest for line in lines if line.word == "USER"]
    assert user.split(":")[0] not in {"root", "0"}
    assert lines.index(dockerfile.Line("USER", user)) > max(
        n for n, line in enumerate(lines) if line.word in {"COPY", "RUN"}
    )


def test_what_the_image_copies_is_there() -> None:
    for line in dockerfile.lines():
        if line.word == "COPY":
            assert all((ROOT / name).exists() for name in dockerfile.copied(line)), line
