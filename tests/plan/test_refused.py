"""Every file in refused/ has one mistake; its first line says what is told about it, and where."""

from pathlib import Path

import pytest

from controller.plan.diagnostics import PlanInvalid, Severity
from controller.plan.reader import read_plan
from controller.plan.source import load

REFUSED = sorted((Path(__file__).parent / "refused").glob("*.yaml"))


def test_there_are_files_to_refuse() -> None:
    assert len(REFUSED) >= 100
    assert not [p for p in REFUSED if not p.read_text("utf-8").startswith("# expect: ")]


@pytest.mark.parametrize("file", REFUSED, ids=lambda file: file.stem)
def test_one_mistake_is_told_once_with_its_place_and_a_mend(file: Path) -> None:
    wanted = file.read_text("utf-8").split("\n", 1)[0].removeprefix("# expect: ")

    with pytest.raises(PlanInvalid) as refused:
        read_plan(load(str(file)), env={"SERVICE": "ion-api"}, variables={})

    errors = [one for one in refused.value.diagnostics if one.severity is Severity.ERROR]
    told = [f"{one.line}:{one.column} {one.message}".removeprefix("0:0 ") for one in errors]
    assert told == [wanted]
    assert errors[0].mend
    assert errors[0].file == str(file)
