import pytest

from controller.plan.model import Ref, Text
from controller.plan.template import Names, fill
from controller.plan.text import NotKnown, is_url, render, render_json

NAMES = Names(
    env={
        "A": "x",
        "UPPER": " Word ",
        "EVIL": "{{ candidate.url }}",
        "LINES": "a\nb",
        "RTL": "\u202e",
    },
    variables={"n": "1"},
    runtime=("candidate.url", "item"),
)


def filled(source: str) -> Text:
    text, problems = fill(source, NAMES)
    assert not problems, problems
    return text


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("plain", ("plain",)),
        ("", ()),
        ("a {{ env.A }} b", ("a x b",)),
        ("{{env.A}}{{var.n}}", ("x1",)),
        ("{{ env.UPPER | trim | lower }}!", ("word!",)),
        ("{{ env.NONE | default('d') | upper }}", ("D",)),
        ("{{ var.none | default('') }}", ()),
        ("{{ candidate.url }}/h", (Ref("candidate.url"), "/h")),
        ("{{ item | trim | urlencode }}", (Ref("item", ("trim", "urlencode")),)),
        ("{{ env.EVIL }}", ("{{ candidate.url }}",)),
        ("{{ '{{' }}", ("{{",)),
        ("{{ '}}' }}", ("}}",)),
        ("a  {{- env.A -}}  b", ("axb",)),
        ("100% }} #", ("100% }} #",)),
        ("한 {{ env.A }} 글\n", ("한 x 글\n",)),
    ],
)
def test_names_and_filters_are_filled_in(source: str, parts: tuple[str | Ref, ...]) -> None:
    assert filled(source) == Text(parts)


@pytest.mark.parametrize(
    ("source", "offset", "message"),
    [
        ("ab {{ env.NONE }}", 6, "NONE is not set in the environment"),
        ("{{ var.none }}", 3, "the variable none has no value"),
        ("{{ env.LINES }}", 3, "line break"),
        ("{{ env.RTL }}", 3, "invisible character"),
        ("{{ env.NO | default('\\u200b') }}", 3, "invisible character"),
        ("{{ '\\x1b[2J' }}", 0, "invisible character"),
        ("ab {{ " + "(" * 9_000 + " }}", 3, "more than a substitution"),
        ("{{ env }}", 3, "group of names"),
        ("{{ stable.url }}", 3, "known only while a rollout runs"),
        ("{{ candidate }}", 3, "not known"),
        ("{{ candidate.url.host }}", 3, "not known"),
        ("{{ item | default('x') }}", 10, "always set"),
        ("{{ env.A | default(1) }}", 11, "takes one text"),
        ("{{ env.A | lower(1) }}", 11, "takes no argument"),
        ("{{ env.A | tojson }}", 11, "not known"),
        ("{{ 1 }}", 0, "const is not read"),
        ("{{ env.A + 'b' }}", 0, "add is not read"),
        ("{{ env.A ~ 'b' }}", 0, "concat is not read"),
        ("{{ env.A if env.A }}", 0, "condexpr is not read"),
        ("{{ env.A is defined }}", 0, "test is not read"),
        ("{{ cycler() }}", 0, "calls are not read"),
        ("{{ env.A.upper() }}", 0, "calls are not read"),
        ("{{ [1] }}", 0, "list is not read"),
        ("{{ (env.A, 1) }}", 0, "tuple is not read"),
        ("x{% set a = 1 %}", 1, "statements"),
        ("x{% raw %}{{{% endraw %}", 1, "statements"),
        ("x{# a #}", 1, "comments"),
        ("x{{ }}", 1, "not readable as a template"),
        ("x{{ a b }}", 1, "not readable as a template"),
        ("{{ env.A }} {{ env.A", 12, "never closed"),
        ("{{" + "(" * 200 + "a" + ")" * 200 + "}}", 0, "more than a substitution"),
        ("{{ " + "not " * 200 + "a }}", 0, "more than a substitution"),
    ],
)
def test_anything_but_substitution_is_refused_where_it_stands(
    source: str, offset: int, message: str
) -> None:
    _, problems = fill(source, NAMES)
    assert [problem.offset for problem in problems] == [offset]
    assert message in problems[0].message


def test_every_problem_of_a_text_is_told() -> None:
    _, problems = fill("{{ env.X }} {{ var.y }} {{ z }}", NAMES)
    assert [problem.offset for problem in problems] == [3, 15, 27]


def test_a_text_is_rendered_once_and_its_values_are_never_templates() -> None:
    text = filled("{{ candidate.url }}/{{ item | urlencode }}")
    names = {"candidate.url": "https://c", "item": "{{ a/b }}"}
    assert render(text, names) == "https://c/%7B%7B%20a%2Fb%20%7D%7D"


def test_a_body_is_rendered_as_plain_json() -> None:
    body = {"p": filled("{{ item }}"), "n": (1, None, filled("x")), "t": True}
    assert render_json(body, {"item": "lua"}) == {"p": "lua", "n": [1, None, "x"], "t": True}


def test_a_name_nobody_gave_is_said_plainly() -> None:
    with pytest.raises(NotKnown) as missing:
        render(filled("{{ item }}"), {})
    assert str(missing.value) == "{{ item }} is not known here"


@pytest.mark.parametrize(
    ("source", "good"),
    [
        ("{{ candidate.url }}", True),
        ("{{ candidate.url }}/a?b={{ item }}", True),
        ("https://h.example/{{ item }}", True),
        ("http://127.0.0.1:8080/x", True),
        ("ftp://h/x", False),
        ("https://u:p@h/x", False),
        ("{{ candidate.url }}@evil.example/", False),
        ("{{ item }}/x", False),
        ("https://h/a b", False),
        ("", False),
    ],
)
def test_a_url_is_http_and_carries_no_credentials(source: str, *, good: bool) -> None:
    assert is_url(filled(source)) is good
