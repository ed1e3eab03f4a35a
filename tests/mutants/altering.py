"""The small changes that a piece of code can be altered by. Pure: a tree in, its changes out.

What cannot be seen by anybody is not altered: annotations, docstrings, asserts, and sentences for
people (text with a space in it): a test that repeats each sentence would only say it twice.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
SIGNS = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in", ast.Add: "+",
    ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.BitOr: "|", ast.BitAnd: "&",
}  # fmt: skip
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}
# What a function that says it returns the one may return instead.
EMPTY = {
    "str": "''", "int": "0", "float": "0.0", "tuple": "()", "list": "[]", "dict": "{}",
    "Mapping": "{}", "frozenset": "frozenset()", "set": "set()", "timedelta": "timedelta(0)",
}  # fmt: skip
# What calls of these may leave out, which their signatures do not tell.
FREE_KEYWORDS = {name: frozenset({"key", "reverse"}) for name in ("max", "min", "sorted")}


@dataclass(frozen=True)
class Alteration:
    """One change. lines: where it is, first and last. do: makes it, in the tree it was found in."""

    what: str
    lines: tuple[int, int]
    do: Callable[[], None]


def alterations(tree: ast.AST, optional: Callable[[str], frozenset[str]]) -> list[Alteration]:
    """Return every change of a tree, always in the same order.

    optional: dotted name of a function → its arguments that a call may leave out.
    """
    found = list(_Finder(optional).of(tree))
    return [one for one in found if one.lines[0]]


@dataclass(frozen=True)
class _Finder:
    optional: Callable[[str], frozenset[str]]

    def of(
        self, node: ast.AST, returns: str = "", known: frozenset[str] = frozenset()
    ) -> Iterator[Alteration]:
        """Yield the changes of a node and of all below it. known: names that are bound before."""
        if isinstance(node, ast.FunctionDef):
            yield from self._function(node)
            return
        yield from self._own(node, returns)
        for value in _looked_into(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                yield from self._statements(value, returns, known)
            elif isinstance(value, list):
                for one in value:
                    if isinstance(one, ast.AST):
                        yield from self.of(one, returns, known)
            elif isinstance(value, ast.AST):
                yield from self.of(value, returns, known)

    def _function(self, node: ast.FunctionDef) -> Iterator[Alteration]:
        args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        start = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        for default in (*node.args.defaults, *node.args.kw_defaults):
            for found in self.of(default) if default is not None else ():
                yield replace(found, lines=(start, start))  # whoever calls it
        returns = ast.unparse(node.returns) if node.returns else ""
        bound = frozenset(arg.arg for arg in args)
        yield from self._statements(node.body, returns, bound)

    def _statements(
        self, body: list[ast.stmt], returns: str, known: frozenset[str]
    ) -> Iterator[Alteration]:
        for index, one in enumerate(body):
            if isinstance(one, ast.Assert) or _is_docstring(one):
                continue
            if _may_go(one, known):
                text = ast.unparse(one).partition("\n")[0]
                yield Alteration(
                    f"without `{_short(text)}`", _lines(one), _setting(body, index, ast.Pass())
                )
            head = _head(one)
            for found in self.of(one, returns, known):
                inside = head[0] <= found.lines[0] <= head[1]
                yield replace(found, lines=head) if inside else found
            known |= _bound_by(one)

    # One node -------------------------------------------------------------------------------

    def _own(self, node: ast.AST, returns: str) -> Iterator[Alteration]:
        match node:
            case ast.Call():
                yield from self._calls(node)
            case ast.Return():
                yield from _returns(node, returns)
            case _:
                for kind, change in CHANGES.items():
                    if isinstance(node, kind):
                        yield from change(node)

    def _calls(self, node: ast.Call) -> Iterator[Alteration]:
        name = ast.unparse(node.func)
        if name in CALLS and not (name == "sorted" and node.keywords):
            other = ast.Name(CALLS[name], ast.Load())
            yield _changed(node, "func", other, f"{name} → {CALLS[name]}")
        free = FREE_KEYWORDS.get(name) or self.optional(name)
        for index, keyword in enumerate(node.keywords):
            if keyword.arg and (keyword.arg in free or name == "replace"):
                rest = [*node.keywords[:index], *node.keywords[index + 1 :]]
                said = f"{name}() without {keyword.arg}"
                yield Alteration(said, _lines(keyword), _attribute(node, "keywords", rest))


def _comparisons(node: ast.Compare) -> Iterator[Alteration]:
    for index, op in enumerate(node.ops):
        other = COMPARISONS[type(op)]
        said = f"{SIGNS[type(op)]} → {SIGNS[other]}"
        yield Alteration(said, _lines(node), _setting(node.ops, index, other()))


def _arithmetic(node: ast.BinOp | ast.AugAssign) -> Iterator[Alteration]:
    other = ARITHMETIC.get(type(node.op))
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
    if other is None or any(isinstance(s, ast.Tuple | ast.JoinedStr | ast.List) for s in sides):
        return  # a concatenation: nothing is subtracted from a text
    if any(isinstance(side, ast.Constant) and isinstance(side.value, str) for side in sides):
        return
    yield _changed(node, "op", other(), f"{SIGNS[type(node.op)]} → {SIGNS[other]}")


def _operands(node: ast.BoolOp) -> Iterator[Alteration]:
    both = isinstance(node.op, ast.And)
    other: ast.boolop = ast.Or() if both else ast.And()
    yield _changed(node, "op", other, "and → or" if both else "or → and")
    word = "and" if both else "or"
    neutral = ast.Constant(both)  # in front: the value of the whole is that of the rest
    for index, value in enumerate(node.values):
        rest = [neutral, *node.values[:index], *node.values[index + 1 :]]
        said = f"{word} without `{_short(ast.unparse(value))}`"
        yield Alteration(said, _lines(value), _attribute(node, "values", rest))


def _negated(node: ast.If | ast.While | ast.IfExp) -> Iterator[Alteration]:
    test = node.test
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and _is_exact(test.ops[0]):
        return  # the comparison says it already
    yield _changed(node, "test", _not(test), f"not ({_short(ast.unparse(test))})", test)


def _filters(node: ast.comprehension) -> Iterator[Alteration]:
    for index, test in enumerate(node.ifs):
        said = f"not ({_short(ast.unparse(test))})"
        yield Alteration(said, _lines(test), _setting(node.ifs, index, _not(test)))


def _constants(node: ast.Constant) -> Iterator[Alteration]:
    value = node.value
    other: object
    if isinstance(value, bool):
        other = not value
    elif isinstance(value, int):
        other = value + 1
    elif isinstance(value, float):
        other = value * 2 or 1.0
    elif isinstance(value, str) and " " not in value:
        other = f"{value}XX"
    else:
        return
    yield _changed(node, "value", other, f"{value!r} → {other!r}")


def _returns(node: ast.Return, returns: str) -> Iterator[Alteration]:
    if node.value is None or isinstance(node.value, ast.Constant):
        return
    if returns == "bool":
        if not isinstance(node.value, ast.Compare) or len(node.value.ops) > 1:
            yield _changed(node, "value", _not(node.value), "returns the opposite")
        return
    parts = [part.strip() for part in returns.split("|")]
    empty = "None" if "None" in parts else EMPTY.get(returns.partition("[")[0])
    if empty is not None and ast.unparse(node.value) != empty:
        instead = ast.parse(empty, mode="eval").body
        yield _changed(node, "value", instead, f"returns {empty}")


def _cases(node: ast.match_case) -> Iterator[Alteration]:
    lines = (node.pattern.lineno, node.pattern.lineno)
    never, always = (ast.Constant(value) for value in (False, True))
    said = _short(ast.unparse(node.pattern))
    if node.guard is not None:
        guard = node.guard
        yield Alteration(
            f"not ({_short(ast.unparse(guard))})", lines, _attribute(node, "guard", _not(guard))
        )
        yield Alteration(
            f"case {said} without its condition", lines, _attribute(node, "guard", always)
        )
    if said != "_":
        yield Alteration(f"without case {said}", lines, _attribute(node, "guard", never))


def _loop(node: ast.For) -> Iterator[Alteration]:
    yield _changed(node, "iter", ast.Tuple([], ast.Load()), "the loop is not entered")


def _handler(node: ast.ExceptHandler) -> Iterator[Alteration]:
    lines = (node.lineno, node.lineno)
    yield Alteration("the error is raised on", lines, _attribute(node, "body", [ast.Raise()]))


CHANGES: dict[type[ast.AST], Callable[[Any], Iterator[Alteration]]] = {
    ast.Compare: _comparisons,
    ast.BinOp: _arithmetic,
    ast.AugAssign: _arithmetic,
    ast.BoolOp: _operands,
    ast.If: _negated,
    ast.While: _negated,
    ast.IfExp: _negated,
    ast.comprehension: _filters,
    ast.For: _loop,
    ast.Constant: _constants,
    ast.match_case: _cases,
    ast.ExceptHandler: _handler,
}


# Trees --------------------------------------------------------------------------------------------


def _not(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    return ast.UnaryOp(ast.Not(), test)


def _is_exact(op: ast.cmpop) -> bool:
    """Tell whether the other comparison is the opposite of this one."""
    return isinstance(op, ast.Eq | ast.NotEq | ast.Is | ast.IsNot | ast.In | ast.NotIn)


def _may_go(one: ast.stmt, known: frozenset[str]) -> bool:
    """Tell whether a statement can be left out: the rest must still have all its names."""
    match one:
        case ast.Expr() | ast.Raise() | ast.AugAssign() | ast.Continue() | ast.Break():
            return True
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in known
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return True
        case _:
            return False


def _bound_by(one: ast.stmt) -> frozenset[str]:
    names = (n for n in ast.walk(one) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return frozenset(name.id for name in names)


def _is_docstring(one: ast.stmt) -> bool:
    return isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)


def _looked_into(node: ast.AST) -> Iterator[Any]:
    """Yield the fields of a node in which something can be altered that is more than words."""
    if isinstance(node, ast.JoinedStr):
        yield [one for one in node.values if not isinstance(one, ast.Constant)]
        return
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
        yield node.args[:1]
        return
    for name, value in ast.iter_fields(node):
        if name not in {"annotation", "returns", "decorator_list", "pattern", "format_spec"}:
            yield value


def _head(one: ast.stmt) -> tuple[int, int]:
    """Return the lines of a statement, of a compound one those before its body.

    Not each line of a statement is told when it runs.
    """
    body: list[ast.stmt] = getattr(one, "body", [])
    if body:
        return one.lineno, max(one.lineno, body[0].lineno - 1)
    return (one.lineno, one.lineno) if isinstance(one, ast.Match) else _lines(one)


def _lines(node: ast.AST) -> tuple[int, int]:
    first: int = getattr(node, "lineno", 0)
    last: int = getattr(node, "end_lineno", None) or first
    return first, last


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"


def _changed(
    node: ast.AST, field: str, value: object, what: str, at: ast.AST | None = None
) -> Alteration:
    return Alteration(what, _lines(at or node), _attribute(node, field, value))


def _attribute(node: ast.AST, field: str, value: object) -> Callable[[], None]:
    return lambda: setattr(node, field, value)


def _setting(items: list, index: int, value: object) -> Callable[[], None]:  # type: ignore[type-arg]
    return lambda: items.__setitem__(index, value)
