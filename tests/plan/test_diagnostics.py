from controller.plan.diagnostics import Diagnostic, Severity, did_you_mean, render


def test_a_finding_shows_its_place_the_line_carets_and_the_mend() -> None:
    line = "  - {weight: 250%, hold: 24h}"
    one = Diagnostic("plans/x.yaml", 7, 14, "weight goes over 100%", line, 4, "write 25%")
    assert render([one]) == (
        "plans/x.yaml:7:14: weight goes over 100%\n"
        "7 |   - {weight: 250%, hold: 24h}\n"
        "                 ^^^^\n"
        "mend: write 25%"
    )


def test_a_warning_says_that_it_is_one_and_a_finding_may_have_no_place() -> None:
    one = Diagnostic("x.yaml", 0, 0, "no gate", severity=Severity.WARNING)
    assert render([one]) == "x.yaml: warning: no gate"


def test_carets_stand_under_wide_letters() -> None:
    one = Diagnostic("x", 1, 7, "m", "사유: abc", 3)
    assert render([one]).split("\n")[1:] == ["1 | 사유: abc", "            ^"]
    one = Diagnostic("x", 1, 1, "m", "사유: abc", 2)
    assert render([one]).split("\n")[2] == "    ^^^^"


def test_nothing_from_a_plan_steers_the_terminal() -> None:
    text = render([Diagnostic("x\x1b[31m", 1, 1, "m", "a\x1b[2Jb\u202ec")])
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_long_line_is_cut_around_its_carets() -> None:
    one = Diagnostic("x", 1, 5001, "m", "a" * 5000 + "HERE" + "b" * 5000, 4)
    _, line, carets = render([one]).split("\n")
    assert len(line) < 130
    assert line[carets.index("^") : carets.rindex("^") + 1] == "HERE"


def test_the_nearest_word_is_offered_and_another_tools_word_before_it() -> None:
    assert did_you_mean("wieght", ["weight", "hold"]) == "did you mean `weight`?"
    assert did_you_mean("roll-back", ["roll_back"]) == "did you mean `roll_back`?"
    assert did_you_mean("steps", ["stages"], {"steps": "stages"}) == "did you mean `stages`?"
    assert did_you_mean("zzz", ["weight", "hold"]) == "known here: weight, hold"
