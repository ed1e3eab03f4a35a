"""Templates in a plan's texts: Jinja2's syntax, substitution only.

Every `{{ … }}` is parsed by Jinja2 and its tree is walked before anything is filled in: names,
attributes and the filters below pass; loops, calls, arithmetic, tests and subscripts are refused
where they stand. Nothing of a template is ever executed. env and var are filled in here, what is
known only while the rollout runs stays a `Ref` (see `text`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import jinja2
from jinja2 import nodes

from controller.plan.diagnostics import did_you_mean, shown
from controller.plan.model import Ref, Text
from controller.plan.names import UNSEEN
from controller.plan.text import FILTERS, ITEM, REVISION_NAMES, NotKnown, filtered, render

__all__ = ["Names", "NotKnown", "Problem", "fill", "render"]

# Bounds on what Jinja2 is given: its parser recurses, and its lexer converts numbers of any size.
TOKENS_MOST = 24  # in one {{ … }}
CHARACTERS_MOST = 300  # in one {{ … }}
EXPRESSIONS_MOST = 40  # in one text
_BREAKS = re.compile("[\t\n\r]")
_JINJA = jinja2.Environment(keep_trailing_newline=True, autoescape=True)


@dataclass(frozen=True, slots=True)
class Names:
    """What a text may name. runtime: the names allowed to stay open in this place.

    used collects the variables that some text named, to tell those that none did.
    """

    env: Mapping[str, str]
    variables: Mapping[str, str]
    runtime: tuple[str, ...] = ()
    used: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a template; offset and length are characters in the text."""

    offset: int
    length: int
    message: str
    mend: str


class _Refused(Exception):
    """One expression is not what a plan may say. needle: the part of it to point at."""

    def __init__(self, message: str, mend: str, needle: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend
        self.needle = needle


def fill(source: str, names: Names) -> tuple[Text, tuple[Problem, ...]]:
    """Return the text with env and var filled in, and every problem of its templates."""
    if "{{" not in source and "{%" not in source and "{#" not in source:
        return Text((source,) if source else ()), ()
    if source.count("{{") > EXPRESSIONS_MOST:
        told = f"more than {EXPRESSIONS_MOST} {{{{ … }}}} in one text"
        return Text(()), (Problem(0, len(source), told, "is this the right text?"),)
    endless = _endless(source)
    if endless is not None:
        return Text(()), (endless,)
    parts: list[str | Ref] = []
    problems: list[Problem] = []
    try:
        for offset, piece, is_expression in _pieces(source):
            if not is_expression:
                parts.append(piece)
                continue
            try:
                parts.append(_value(_expression(piece), names))
            except _Refused as refused:
                inside = max(0, piece.find(refused.needle)) if refused.needle else 0
                length = len(refused.needle) if refused.needle in piece else 0
                problems.append(
                    Problem(offset + inside, length or len(piece), refused.message, refused.mend)
                )
    except _Broken as broken:
        problems.append(broken.problem)
    return _joined(parts), tuple(problems)


def _endless(source: str) -> Problem | None:
    """Return what is wrong with an expression too long to be one, before Jinja2 reads it."""
    at = 0
    for begun in source.split("{{")[1:]:
        at = source.find("{{", at) + 2
        inside, closed, _ = begun.partition("}}")
        if closed and len(inside) > CHARACTERS_MOST:
            told = "this is more than a substitution"
            return Problem(at - 2, 2, told, "write {{ name }} or {{ name | lower }}")
    return None


class _Broken(Exception):
    """The text cannot be cut into pieces; nothing behind this place can be judged."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _pieces(source: str) -> list[tuple[int, str, bool]]:
    """Cut the text into constant parts and whole `{{ … }}` expressions, each with its offset."""
    pieces: list[tuple[int, str, bool]] = []
    position = begun = 0
    try:
        for _, kind, value in _JINJA.lex(source):
            at = source.find(value, position)  # `{{-` swallows spaces before it
            position = at + len(value)
            if kind == "data":
                pieces.append((at, value, False))
            elif kind == "variable_begin":
                begun = at
            elif kind == "variable_end":
                pieces.append((begun, source[begun:position], True))
            elif kind in ("block_begin", "raw_begin"):
                raise _Broken(_statement(source, at))
            elif kind == "comment_begin":
                raise _Broken(
                    Problem(at, 2, "comments in templates are not read", "use # outside the quotes")
                )
    except jinja2.TemplateSyntaxError as error:
        at = source.find("{{", position) if position > begun else begun
        at = begun if at < 0 else at
        raise _Broken(_syntax(at, len(source) - at, error)) from None
    ends = [offset + len(piece) for offset, piece, _ in pieces]
    opened = source.find("{{", ends[-1] if ends else 0)
    if opened >= 0:
        raise _Broken(Problem(opened, 2, "a {{ that is never closed", "write {{ name }}"))
    return pieces


def _statement(source: str, at: int) -> Problem:
    end = source.find("%}", at)
    return Problem(
        at,
        (end + 2 if end >= 0 else len(source)) - at,
        "statements ({% … %}) are not read: templates only fill in values",
        "write {{ name }}; for a list of items give the check `each`",
    )


def _syntax(at: int, length: int, error: jinja2.TemplateSyntaxError) -> Problem:
    return Problem(
        at,
        length,
        f"not readable as a template: {shown(error.message or 'syntax error', 80)}",
        "write {{ env.NAME }}, {{ var.name }} or {{ candidate.url }}",
    )


def _expression(piece: str) -> nodes.Expr:
    tokens = [kind for _, kind, _ in _JINJA.lex(piece) if kind != "whitespace"]
    if len(tokens) > TOKENS_MOST or len(piece) > CHARACTERS_MOST:
        raise _Refused("this is more than a substitution", "write {{ name }} or {{ name | lower }}")
    try:
        output = _JINJA.parse(piece).body
    except jinja2.TemplateSyntaxError as error:
        problem = _syntax(0, len(piece), error)
        raise _Refused(problem.message, problem.mend) from None
    # One expression is one Output of one node; an empty `{{ }}` was a syntax error above.
    first = output[0] if output else None
    if isinstance(first, nodes.Output) and len(first.nodes) == 1:
        return first.nodes[0]
    raise _Refused("this is more than a substitution", "write {{ name }}")


def _value(expression: nodes.Expr, names: Names) -> str | Ref:
    """Walk one expression; whatever is not named here is refused."""
    match expression:
        case nodes.TemplateData():
            return str(expression.data)
        case nodes.Const() if isinstance(expression.value, str):
            if UNSEEN.search(expression.value):  # Jinja2 reads escapes
                raise _Refused("an invisible character in a template", "delete the escape")
            return expression.value
        case nodes.Filter():
            return _filtered(expression, names)
        case nodes.Name() | nodes.Getattr():
            return _named(_path(expression), names)
        case nodes.Getitem():
            raise _Refused("subscripts are not read", "write env.NAME instead of env['NAME']", "[")
        case nodes.Call():
            raise _Refused("calls are not read: templates only fill in values", "write {{ name }}")
        case _:
            raise _Refused(
                f"{type(expression).__name__.lower()} is not read: templates only fill in values",
                "write {{ name }}",
            )


def _path(expression: nodes.Node) -> str:
    match expression:
        case nodes.Name():
            return str(expression.name)
        case nodes.Getattr():
            return f"{_path(expression.node)}.{expression.attr}"
        case _:
            raise _Refused(
                "only names and their attributes are read", "write {{ env.NAME }} or {{ var.name }}"
            )


def _filtered(expression: nodes.Filter, names: Names) -> str | Ref:
    name = expression.name
    if name == "default":
        return _defaulted(expression, names)
    if name not in FILTERS:
        raise _Refused(
            f"the filter `{shown(name)}` is not known",
            did_you_mean(name, (*FILTERS, "default")),
            name,
        )
    if expression.node is None or expression.args or expression.kwargs:
        raise _Refused(f"the filter `{name}` takes no argument", f"write | {name}", name)
    value = _value(expression.node, names)
    if isinstance(value, Ref):
        return Ref(value.path, (*value.filters, name))
    return filtered(value, (name,))


def _defaulted(expression: nodes.Filter, names: Names) -> str | Ref:
    """`env.NAME | default("text")`: the one filter that may stand on something undefined."""
    match expression.args:
        case [nodes.Const(value=str(fallback))] if not expression.kwargs:
            pass
        case _:
            raise _Refused("`default` takes one text", 'write | default("text")', "default")
    if not isinstance(expression.node, nodes.Name | nodes.Getattr):
        raise _Refused("`default` stands right behind the name", 'write env.X | default("text")')
    path = _path(expression.node)
    root, _, rest = path.partition(".")
    known = {"env": names.env, "var": names.variables}.get(root)
    if known is None:
        raise _Refused(f"{path} is always set: no default is needed", "delete | default", "default")
    if root == "var":
        names.used.add(rest)
    return _printable(path, known.get(rest, fallback))


def _named(path: str, names: Names) -> str | Ref:
    root, _, rest = path.partition(".")
    if root == "env" and rest and "." not in rest:
        if rest not in names.env:
            raise _Refused(
                f"{shown(rest)} is not set in the environment",
                _nearest(rest, names.env, f"set it, or write {{{{ {path} | default('…') }}}}"),
                path,
            )
        return _printable(path, names.env[rest])
    if root == "var" and rest and "." not in rest:
        names.used.add(rest)
        if rest not in names.variables:
            raise _Refused(
                f"the variable {shown(rest)} has no value",
                _nearest(rest, names.variables, f"give it: --var {rest}=…"),
                path,
            )
        return _printable(path, names.variables[rest])
    if path in names.runtime:
        return Ref(path)
    raise _Refused(*_why_not(path, names), path)


def _printable(path: str, value: str) -> str:
    if _BREAKS.search(value) or UNSEEN.search(value):
        raise _Refused(
            f"the value of {path} has a line break or an invisible character in it",
            "give it as one line of text",
            path,
        )
    return value


def _why_not(path: str, names: Names) -> tuple[str, str]:
    if path == ITEM:
        return "`item` is known only in a check with `each`", "add each: [one, two] to the check"
    if path in REVISION_NAMES:
        return f"{path} is known only while a rollout runs", "use it in checks only"
    if path in ("env", "var"):
        return f"{path} is a group of names", f"write {{{{ {path}.NAME }}}}"
    known = (*names.runtime, "env.NAME", "var.NAME")
    return f"{shown(path)} is not known", did_you_mean(path, known)


def _nearest(name: str, known: Mapping[str, str], otherwise: str) -> str:
    # Names of variables only: a value may be a secret. A list of all of them would help nobody.
    mend = did_you_mean(name, known)
    return f"{mend.rstrip('?')}? otherwise {otherwise}" if mend.startswith("did") else otherwise


def _joined(parts: list[str | Ref]) -> Text:
    """Join neighbouring constants, so that one text has one form."""
    joined: list[str | Ref] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return Text(tuple(joined))
