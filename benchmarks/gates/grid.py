"""The named cells: about 150 situations, each with its name, and the short list for CI.

A name reads traffic-stable-candidate-hold[-noise]. Candidates ×k fail at k times the limit; 5% and
20% are rates. Every bad cell has a twin whose candidate equals stable and all else is the same.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from benchmarks.gates.cells import Candidate, Cell, Metric, Noise

ALL = (0.2, 2.0, 20.0, 200.0, 2000.0)
FROM_2 = (2.0, 20.0, 200.0)
ION = 0.0025
STABLE = 0.005
KINDS = ("equal", "better", "x1.5", "x2", "x3", "5%", "20%", "dead", "late", "poison")


def candidate_of(kind: str, stable: float, limit: float) -> Candidate:
    """Return the candidate of this kind beside a stable revision of this rate."""
    match kind:
        case "equal":
            return Candidate(kind, stable, bad=False)
        case "better":
            return Candidate(kind, stable / 2, bad=False)
        case "late":
            return Candidate(kind, 0.05, bad=True, late=True)
        case "poison":
            return Candidate(kind, stable, bad=True, poison=1.0)
        case "dead":
            return Candidate(kind, 1.0, bad=True)
        case _ if kind.endswith("%"):
            return Candidate(kind, float(kind[:-1]) / 100, bad=True)
        case _:
            return Candidate(kind, limit * float(kind[1:]), bad=True)


def cell(
    rate: float,
    kind: str = "equal",
    noise: Noise = Noise.NONE,
    stable: float = STABLE,
    hold: int = 30,
) -> Cell:
    """Return an error cell. The limit is 1%, or twice stable's rate where that is more."""
    limit = max(0.01, 2 * stable)
    small = rate < 1
    made = Cell(
        _name(rate, f"{stable * 100:g}%", kind, hold, noise),
        rate,
        stable,
        candidate_of(kind, stable, limit),
        limit,
        noise,
        hold,
        warm_up=2 if noise is Noise.COLD else 0,
        needs="clean" if small else "sample",
    )
    if not made.candidate.bad:
        return made
    return replace(made, twin=_name(rate, f"{stable * 100:g}%", "equal", hold, noise))


def _name(rate: float, what: str, kind: str, hold: int, noise: Noise, jitter: str = "") -> str:
    held = f"{hold // 60}h" if hold >= 60 else f"{hold}m"
    parts = [f"{rate:g}rps", what, kind, held, "" if noise is Noise.NONE else str(noise), jitter]
    return "-".join(part for part in parts if part)


def _latency(rate: float, kind: str, jitter: float) -> Cell:
    slower = {"equal": 1.0, "slower1.5": 1.5, "slower2": 2.0}[kind]
    names = [_name(rate, "p95", k, 30, Noise.NONE, f"sd{jitter:g}") for k in (kind, "equal")]
    truth = Candidate(kind, 0.0, bad=slower > 1, slower=slower)
    return Cell(
        names[0],
        rate,
        0.0,
        truth,
        metric=Metric.LATENCY,
        jitter=jitter,
        warm_up=2,
        twin=names[1] if truth.bad else "",
    )


def _score(rate: float, kind: str) -> Cell:
    means = {"equal": (0.8, 0.8), "falling": (0.8, 0.5), "low": (0.6, 0.6)}[kind]
    names = [_name(rate, "score", k, 30, Noise.NONE) for k in (kind, "equal")]
    truth = Candidate(kind, 0.0, bad=kind != "equal", score=means)
    return Cell(
        names[0],
        rate,
        0.0,
        truth,
        metric=Metric.SCORE,
        warm_up=2,
        twin=names[1] if truth.bad else "",
    )


def cells() -> dict[str, Cell]:
    """Return the whole grid by name, in the order of the report."""
    found: list[Cell] = []
    # Good releases: nothing but chance.
    found += [cell(r, stable=p) for p, r in product((0.0001, 0.001, STABLE, 0.02), ALL)]
    found += [cell(r, "better") for r in ALL]
    found += [cell(r, hold=10) for r in ALL]
    # Good releases in noise.
    found += [cell(r, noise=Noise.INCIDENTS, stable=0.002) for r in ALL]
    found += [
        cell(r, noise=n)
        for n, r in product(
            (Noise.CLUSTERS, Noise.STORMS_3, Noise.STORMS_10, Noise.AR_OWN), (0.2, *FROM_2)
        )
    ]
    others = (Noise.BETA, Noise.AR_SHARED, Noise.COLD, Noise.INCIDENT_LONG, Noise.INCIDENT_SHIFT)
    found += [cell(r, noise=n) for n, r in product(others, FROM_2)]
    # Bad releases.
    found += [cell(r, kind) for kind, r in product(KINDS[2:], ALL)]
    found += [cell(r, kind, stable=p) for kind, p, r in product(("x3",), (0.001, 0.02), FROM_2)]
    found += [cell(r, kind, hold=10) for kind, r in product(("x3", "20%"), FROM_2)]
    found += [
        cell(r, "x3", noise=n)
        for n, r in product(
            (Noise.CLUSTERS, Noise.STORMS_3, Noise.STORMS_10, Noise.AR_OWN, Noise.BETA), FROM_2
        )
    ]
    found += [cell(r, "20%", noise=Noise.STORMS_3) for r in FROM_2]
    found += [cell(r, "x3", noise=Noise.INCIDENTS, stable=0.002) for r in FROM_2]
    # Latency, score, and ion-api's traffic.
    found += [_latency(r, "equal", sd) for sd, r in product((0.1, 0.25), (0.2, 2.0, 20.0))]
    found += [_latency(r, k, 0.1) for k, r in product(("slower1.5", "slower2"), (0.2, 2.0, 20.0))]
    found += [_score(2.0, kind) for kind in ("equal", "falling", "low")]
    found += [cell(ION, kind, hold=1440) for kind in ("equal", *KINDS[4:])]
    return {c.name: c for c in found}


SLICE = (
    "0.2rps-0.5%-equal-30m",
    "2rps-0.5%-equal-30m",
    "20rps-0.5%-equal-30m",
    "200rps-0.5%-equal-30m",
    "20rps-0.2%-equal-30m-incidents",
    "20rps-0.5%-equal-30m-clusters",
    "20rps-0.5%-equal-30m-storms-3m",
    "20rps-0.5%-equal-30m-incident-shift",
    "2rps-0.5%-x3-30m",
    "20rps-0.5%-x3-30m",
    "20rps-0.5%-20%-30m",
    "200rps-0.5%-x3-30m",
    "2rps-0.5%-dead-30m",
    "20rps-0.5%-late-30m",
    "20rps-0.5%-poison-30m",
    "20rps-0.5%-x3-30m-clusters",
    "0.0025rps-0.5%-equal-24h",
    "0.0025rps-0.5%-dead-24h",
    "2rps-p95-equal-30m-sd0.1",
    "2rps-p95-slower2-30m-sd0.1",
    "2rps-score-equal-30m",
    "2rps-score-low-30m",
)
