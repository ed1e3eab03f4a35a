"""Facts about a service that would fight a rollout, as sentences for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MULTI_REGION = "run.googleapis.com/regions"
FUNCTION_ID = "cloudfunctions.googleapis.com/function-id"
SESSION_AFFINITY = (
    "session affinity is on: clients stay on their revision for up to 30 days, so the share that "
    "the candidate really gets may be far from its weight"
)


def unusual_marks(
    annotations: Mapping[str, str], labels: Mapping[str, str], regions: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return what annotations and labels give away. regions: of a multi-region service."""
    marks = []
    where = ", ".join(regions) or annotations.get(MULTI_REGION, "")
    if where:
        marks.append(
            f"it is one service in several regions ({where}): what a change of traffic does there "
            "is not documented"
        )
    by = labels.get("goog-managed-by", "")
    if FUNCTION_ID in annotations or FUNCTION_ID in labels or by == "cloudfunctions":
        marks.append("it belongs to Cloud Functions, which writes it anew at every deploy")
    return tuple(marks)
