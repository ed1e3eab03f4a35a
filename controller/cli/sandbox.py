"""`rollout sandbox`: serve a small world that answers Google's APIs, and list what can happen."""

from __future__ import annotations

from collections.abc import Mapping

import click

from controller.cli import options

ENDPOINTS = (
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER",
)
VARIABLES = (*ENDPOINTS, "ROLLOUT_SANDBOX_CLOCK")  # what is at the world's address
FOR_GCLOUD = {
    "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
    "CLOUDSDK_PROXY_TYPE": "http_no_tunnel",  # it asks REGION-HOST, which has no address
    "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
    "CLOUDSDK_CORE_SHOULD_PROMPT_TO_ENABLE_API": "false",
    "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
    "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
    "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
}
"""What gcloud needs beside the addresses; `rollout` takes no notice of it."""


@click.group(name="sandbox")
def cli() -> None:
    """A small world that answers Google's APIs, with a clock of its own.

    `rollout apply PLAN --sandbox` needs none of this: it makes its own world. Serve one to try
    other tools, several controllers, or Google's own clients against it.

    \b
    Example:
      rollout sandbox serve --port 8085 --scenario errors --speed 600
    """


@cli.command(name="serve", short_help="Serve a world on one loopback port.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8085, show_default=True,
              help="0 picks a free one.")  # fmt: skip
@click.option("--scenario", default="healthy", metavar="NAME|FILE", show_default=True,
              shell_complete=options.scenarios_and_files)  # fmt: skip
@click.option(
    "--plan", metavar="PLAN", shell_complete=options.files, help="Make the world of this plan."
)
@click.option("--speed", type=click.FloatRange(min=0), default=1.0, show_default=True,
              help="Seconds of the world in each real one; 0: only POST /sandbox/clock moves it.",
              )  # fmt: skip
@click.option("--services", type=click.IntRange(1, 1000), default=1, show_default=True, metavar="N",
              help="So many services, all alike: S, S-2, S-3 …")  # fmt: skip
@options.variables
@options.output
def serve(
    *,
    port: int,
    scenario: str,
    plan: str | None,
    speed: float,
    services: int,
    variables: dict[str, str],
    output: str,
) -> None:
    """Serve a world on one loopback port, gRPC and HTTP/1.1, until Ctrl-C.

    The first line says that it is ready, the others are the environment to paste, for `rollout`
    and for gcloud. To `apply` a plan against it give the plan here as well: only then does the
    world answer its checks and have its metrics.

    \b
    Example:
      rollout sandbox serve --port 0 --scenario errors --plan plans/ion-api.yaml -o json
      rollout sandbox serve --services 3 --speed 60
    """
    import signal
    import threading

    from controller.cli.target import SANDBOX_PROJECT, SANDBOX_REGION, find
    from controller.cli.wiring.serving import served

    place = (
        find(plan, project=None, region=None, variables=variables, scenario=scenario)
        if plan
        else None
    )
    name, read = (place.name, place.plan) if place else (None, None)
    stopped = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda _number, _frame: stopped.set())
    with served(scenario, name, read, port=port, speed=speed, services=services) as world:
        project, region = (name.project, name.region) if name else (SANDBOX_PROJECT, SANDBOX_REGION)
        around = {"CLOUDSDK_CORE_PROJECT": project}
        if read is None or not read.later_regions:  # it would win over the plan's list
            around["CLOUDSDK_RUN_REGION"] = region
        _tell(world.address, world.port, around, output)
        stopped.wait()


def environment_of(address: str, port: int, around: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which rollout and gcloud are in a served world."""
    addresses = dict.fromkeys(VARIABLES, address)
    endpoints = dict.fromkeys(ENDPOINTS, f"{address}/")  # gcloud takes none without the slash
    gcloud = {**FOR_GCLOUD, "CLOUDSDK_PROXY_PORT": str(port)}
    return {**addresses, **endpoints, **around, **gcloud}


def _tell(address: str, port: int, around: Mapping[str, str], output: str) -> None:
    """Write that the world is ready, in one line, then the environment a line each."""
    import json

    environment = environment_of(address, port, around)
    if output == "json":
        ready = {"event": "listening", "port": port, "address": address, "env": environment}
        click.echo(json.dumps({"version": 1, **ready}))
    else:
        click.echo(f"listening on {address}; to use it, paste what follows")
        for variable, value in environment.items():
            click.echo(f"export {variable}={value}")
        click.echo('export CLOUDSDK_CONFIG="$(mktemp -d)"  # gcloud: nothing of your own settings')


@cli.command(name="list")
@options.output
def list_(output: str) -> None:
    """List the packaged scenarios, with what each is about.

    \b
    Example:
      rollout sandbox list
    """
    import json

    from controller.cli.wiring.serving import abouts

    told = abouts()
    if output == "json":
        click.echo(json.dumps(told))
        return
    width = max(len(name) for name in told)
    for name, about in told.items():
        click.echo(f"{name:{width}}  {about}")
