"""How much `rollout status` costs beyond the one call it cannot do without.

Goal: at most 1.3 times as long as a bare script that calls ServicesClient.get_service once, both as
whole processes against the same sandbox, served on loopback.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GOAL = 1.3
ROUNDS = 9
HERE = Path(__file__).resolve().parent.parent
ROLLOUT = [sys.executable, "-m", "controller"]
STATUS = [*ROLLOUT, "status", "ion-api", "--region", "us-central1", "--project", "demo"]

BARE = """
import sys, grpc
from google.cloud import run_v2
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport
transport = ServicesGrpcTransport(channel=grpc.insecure_channel(sys.argv[1]))
name = "projects/demo/locations/us-central1/services/ion-api"
print(run_v2.ServicesClient(transport=transport).get_service(name=name).traffic_statuses)
"""


@contextmanager
def served() -> Iterator[int]:
    """Serve a sandbox on a free loopback port, yield the port, end the process."""
    command = [*ROLLOUT, "sandbox", "serve", "--port", "0", "-o", "json"]
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, text=True) as sandbox:
        try:
            yield listening(sandbox)
        finally:
            sandbox.terminate()


def listening(sandbox: subprocess.Popen[str]) -> int:
    """Return the port once the sandbox says that it listens.

    Raises RuntimeError when it ends before it said so.
    """
    for line in sandbox.stdout or ():
        event = json.loads(line)
        if event.get("event") == "listening":
            return int(event["port"])
    raise RuntimeError("rollout sandbox serve ended before it listened")


def seconds(command: list[str], env: dict[str, str]) -> float:
    """Return how long one run of the command took, in real seconds; it must end with 0."""
    start = time.perf_counter()
    done = subprocess.run(
        command, check=False, env=env, capture_output=True, text=True, cwd=HERE, timeout=60
    )
    took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ended with {done.returncode}: {done.stderr}")
    return took


def main() -> int:
    """Print one line with the goal; return 0 when it is met, else 1."""
    with served() as port:
        address = f"127.0.0.1:{port}"
        env = {
            **os.environ,
            # Installed packages have their bytecode; so has a checkout, after its first run.
            "PYTHONDONTWRITEBYTECODE": "",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": f"http://{address}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING": f"http://{address}/",
        }
        bare = [sys.executable, "-c", BARE, address]
        # They take turns so that noise hits both.
        pairs = [(seconds(STATUS, env), seconds(bare, env)) for _ in range(ROUNDS)]
    ratio = statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)
    print(f"status: takes {ratio:.2f}x of a bare get_service (goal <= {GOAL}x)")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
