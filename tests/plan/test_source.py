import os
from pathlib import Path

import pytest

from controller.plan.diagnostics import PlanInvalid
from controller.plan.source import MOST_BYTES, load


def refused(path: Path | str) -> str:
    with pytest.raises(PlanInvalid) as invalid:
        load(str(path))
    return str(invalid.value)


def test_a_files_bytes_and_its_name_as_given_are_returned(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"service: a\n")
    source = load(str(tmp_path / "p.yaml"))
    assert source.data == b"service: a\n"
    assert source.name == str(tmp_path / "p.yaml")


def test_a_missing_file_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "ion-api.yaml").touch()
    told = refused(tmp_path / "ion-apy.yaml")
    assert "there is no such file" in told
    assert f"did you mean {tmp_path / 'ion-api.yaml'}?" in told


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert f"there is no directory {tmp_path / 'no'} either" in refused(tmp_path / "no" / "p.yaml")


def test_a_directory_is_answered_with_the_plans_in_it(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").touch()
    told = refused(tmp_path)
    assert "this is a directory, not a plan" in told
    assert str(tmp_path / "p.yaml") in told


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes to name here")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "this is a pipe or a device" in refused(tmp_path / "pipe")


def test_no_more_is_read_than_is_needed_to_refuse_it(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"#" * (3 * MOST_BYTES))
    assert len(load(str(tmp_path / "big.yaml")).data) == MOST_BYTES + 1


@pytest.mark.parametrize("path", ["", "a\x00b", "x" * 5000])
def test_a_path_that_cannot_be_is_refused(path: str) -> None:
    assert refused(path)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything may be read by root"
)
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").touch(mode=0o000)
    assert "may not be read" in refused(tmp_path / "p.yaml")
