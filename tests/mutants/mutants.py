"""Mutants: a change each, of a function, a module's constant, or a field's default.

A mutant is put in place in the process that has everything imported: the function gets the changed
code, whoever holds it. Members of an Enum are not altered: they are known by identity everywhere.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import importlib
import inspect
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from tests.mutants.altering import Alteration, alterations

ROOT = Path(__file__).resolve().parents[2]
WHERE = ("controller/engine", "controller/reconciler")


@dataclass(frozen=True)
class Mutant:
    """One change. place: a function's qualified name, or Class.field, or a constant's name.

    nth: which of the changes of the place it is, number: which of those that are called alike.
    lines: first and last. digest: of the place's code, whatever its comments and layout.
    """

    file: str
    place: str
    what: str
    number: int
    nth: int
    lines: tuple[int, int]
    digest: str

    @property
    def name(self) -> str:
        """Return what it is known by as long as its place is not changed."""
        again = f" #{self.number}" if self.number > 1 else ""
        return f"{self.file}:{self.place}: {self.what}{again}"


def files() -> list[str]:
    """Return the files that are altered, relative to the checkout."""
    return sorted(
        str(path.relative_to(ROOT)) for where in WHERE for path in (ROOT / where).rglob("*.py")
    )


def places_of(file: str) -> dict[str, tuple[int, int]]:
    """Return the places of a file, with the first and the last line of each."""
    return dict(_spans(file))


@lru_cache(maxsize=64)
def _spans(file: str) -> tuple[tuple[str, tuple[int, int]], ...]:
    spans = []
    for place, node in _places(_tree(file)):
        decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
        first = min([node.lineno, *(one.lineno for one in decorators)])
        spans.append((place, (first, node.end_lineno or first)))
    return tuple(spans)


def module_of(file: str) -> ModuleType:
    """Import a file of the controller."""
    return importlib.import_module(file.removesuffix(".py").replace("/", "."))


def mutants_of(file: str) -> list[Mutant]:
    """Return every mutant of a file."""
    found = []
    for place, node in _places(_tree(file)):
        digest = _digest(node)
        seen: Counter[str] = Counter()
        for nth, one in enumerate(_altered(file, node)):
            seen[one.what] += 1
            found.append(Mutant(file, place, one.what, seen[one.what], nth, one.lines, digest))
    return found


def digests() -> dict[str, str]:
    """Return file:place → a digest of its code."""
    return {
        f"{file}:{place}": _digest(node) for file in files() for place, node in _places(_tree(file))
    }


def _digest(node: ast.stmt) -> str:
    return hashlib.sha256(ast.unparse(node).encode()).hexdigest()[:8]


@lru_cache(maxsize=64)
def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def _altered(file: str, node: ast.stmt) -> list[Alteration]:
    """Return the changes of a place; of a constant or a default only its value's."""
    module = module_of(file)
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else node
    assert value is not None
    return alterations(value, lambda name: _optional(module, name))


def _optional(module: ModuleType, name: str) -> frozenset[str]:
    """Return the arguments that a call of a function may leave out, as far as it is known."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    try:
        parameters = inspect.signature(found).parameters.values() if callable(found) else ()
    except ValueError:  # built in
        parameters = ()
    return frozenset(p.name for p in parameters if p.default is not p.empty)


def _places(tree: ast.Module | ast.ClassDef, inside: str = "") -> Iterator[tuple[str, ast.stmt]]:
    for node in tree.body:
        match node:
            case ast.FunctionDef():
                yield inside + node.name, node
            case ast.ClassDef() if _is_a(node, "Protocol"):
                pass  # nothing of it is ever run
            case ast.ClassDef() if not _is_a(node, "Enum"):
                yield from _places(node, f"{inside}{node.name}.")
            case ast.ClassDef():
                yield from ((n, f) for n, f in _places(node, f"{node.name}.") if _is_code(f))
            case ast.Assign(targets=[ast.Name(id=name)]) if name != "__all__":
                yield inside + name, node
            case ast.AnnAssign(target=ast.Name(id=name)) if node.value is not None:
                yield inside + name, node


def _is_a(node: ast.ClassDef, base: str) -> bool:
    return any(base in ast.unparse(one) for one in node.bases)


def _is_code(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef)


# Putting one in place ---------------------------------------------------------------------------


def altered_text(mutant: Mutant) -> str:
    """Return the altered file, laid out anew."""
    return ast.unparse(_altered_tree(mutant)[0])


def _altered_tree(mutant: Mutant) -> tuple[ast.Module, ast.stmt, ast.stmt]:
    """Return the altered file, the place as it was, and as it is in it."""
    tree = copy.deepcopy(_tree(mutant.file))
    node = dict(_places(tree))[mutant.place]
    original = copy.deepcopy(node)
    _altered(mutant.file, node)[mutant.nth].do()
    return ast.fix_missing_locations(tree), original, node


def put_in_place(mutant: Mutant) -> None:
    """Alter the running process for good. Raises LookupError where the place is not found."""
    tree, original, node = _altered_tree(mutant)
    module = module_of(mutant.file)
    if isinstance(node, ast.FunctionDef):
        assert isinstance(original, ast.FunctionDef)
        function = _function(module, mutant.place)
        function.__code__ = _code_of(tree, mutant)
        _set_defaults(function, original.args, node.args, module)
    else:
        assert isinstance(node, ast.Assign | ast.AnnAssign)
        assert node.value is not None
        _set_value(module, mutant.place, _evaluated(node.value, module))
        for name, value in made_of(_tree(mutant.file), mutant.place):
            _set_value(module, name, _evaluated(value, module))
    _forget_results()


def made_of(tree: ast.Module, place: str) -> list[tuple[str, ast.expr]]:
    """Return the constants of a file that are made of another, one by one, in their order."""
    changed, found = {place}, []
    for name, node in _places(tree):
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        names = {one.id for one in ast.walk(value) if isinstance(one, ast.Name)} if value else set()
        if value is not None and "." not in name and names & changed:
            changed.add(name)
            found.append((name, value))
    return found


def _code_of(tree: ast.Module, mutant: Mutant) -> CodeType:
    """Return the code of the place in the altered file."""
    found = [compile(tree, str(ROOT / mutant.file), "exec")]
    for code in found:
        if code.co_qualname == mutant.place:
            return code
        found += [one for one in code.co_consts if isinstance(one, CodeType)]
    raise LookupError(mutant.name)


def _function(module: ModuleType, place: str) -> FunctionType:
    """Return the function under a name, without what decorates it."""
    found: Any = module
    for part in place.split("."):
        found = vars(found)[part]
    if isinstance(found, property):
        found = found.fget
    found = getattr(found, "__func__", found)
    found = inspect.unwrap(found)
    assert isinstance(found, FunctionType), place
    return found


def _set_defaults(
    function: FunctionType, old: ast.arguments, new: ast.arguments, module: ModuleType
) -> None:
    kept = list(function.__defaults__ or ())
    for index, (before, after) in enumerate(zip(old.defaults, new.defaults, strict=True)):
        if ast.dump(before) != ast.dump(after):
            kept[index] = _evaluated(after, module)
            function.__defaults__ = tuple(kept)
    names = [arg.arg for arg in new.kwonlyargs]
    for name, was, now in zip(names, old.kw_defaults, new.kw_defaults, strict=True):
        if was is not None and now is not None and ast.dump(was) != ast.dump(now):
            function.__kwdefaults__ = {
                **(function.__kwdefaults__ or {}),
                name: _evaluated(now, module),
            }


def _evaluated(value: ast.expr, module: ModuleType) -> object:
    text = ast.unparse(value)
    return eval(text, vars(module))


def _set_value(module: ModuleType, place: str, value: object) -> None:
    """Set a constant, also where it was imported by its name; or a field's default."""
    owner_name, _, name = place.rpartition(".")
    if not owner_name:
        old = vars(module)[name]
        for other in list(sys.modules.values()):
            if (
                other.__name__.startswith(("controller.", "tests."))
                and vars(other).get(name) is old
            ):
                setattr(other, name, value)
        return
    owner = vars(module)[owner_name]
    if not is_dataclass(owner) or name not in {f.name for f in fields(owner)}:
        setattr(owner, name, value)
        return
    making: Any = vars(owner)["__init__"]
    if name in (making.__kwdefaults__ or {}):
        making.__kwdefaults__ = {**making.__kwdefaults__, name: value}
        return
    names = making.__code__.co_varnames[: making.__code__.co_argcount]
    defaults = list(making.__defaults__ or ())
    defaults[names.index(name) - len(names)] = value
    making.__defaults__ = tuple(defaults)
    if name in vars(owner) and not inspect.isdatadescriptor(vars(owner)[name]):
        setattr(owner, name, value)


def _forget_results() -> None:
    """Forget what functions of ours returned before."""
    for module in list(sys.modules.values()):
        if module.__name__.startswith(("controller.", "tests.")):
            for one in list(vars(module).values()):
                forget = getattr(one, "cache_clear", None)
                if callable(forget):
                    forget()
