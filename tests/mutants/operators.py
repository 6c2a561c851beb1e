"""The mutants of a module: small faults, one each, as somebody could make them. Pure: source in,
compiled code out.

Texts are left alone: docstrings, f-strings, what is logged, what an exception says; so are
annotations, decorators and `__repr__`.
"""

import ast
import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

SKIPPED_FUNCTIONS = ("__repr__", "main")
SKIPPED_KEYWORDS = ("strict",)
LOGGING = ("debug", "info", "warning", "error", "fatal", "print")
ENUMS = {
    "Mode": ("INACTIVE", "HOLD", "POLICY", "TELEOP", "STOPPED"),
    "Verdict": ("GO", "SLOW", "HOLD", "HAND_OVER"),
}
COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
"""To the other side of the boundary, and the opposite."""
ARITHMETIC: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
FUNCTIONS = {
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "any": "all",
    "all": "any",
    "ceil": "floor",
    "floor": "ceil",
}
DROPPED_FUNCTIONS = ("abs",)
ROUNDING = 1e-5
"""Floats below are there against rounding: half or twice as much would change nothing."""
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


@dataclass(frozen=True)
class Mutant:
    """One fault: where (function), the statement before and after, and the module's code with
    it.
    """

    module: str
    where: str
    operator: str
    was: str
    now: str
    first_line: int
    last_line: int
    code: CodeType = field(compare=False, repr=False)
    number: int = 0
    """Of those that read the same, in the order of the source."""

    @property
    def key(self) -> str:
        """Stays the same while other lines of the module change."""
        count = f" #{self.number}" if self.number else ""
        return f"{self.module}.{self.where}: {self.was} => {self.now}{count}"


def mutants_of(source: str, module: str, filename: str) -> list[Mutant]:
    """All mutants of a module's source, in the order of its lines."""
    return _Mutator(ast.parse(source, filename), module, filename).mutants()


class _Mutator:
    """Walks the tree; every change is made in place, compiled, and taken back."""

    def __init__(self, tree: ast.Module, module: str, filename: str) -> None:
        self._tree, self._module, self._filename = tree, module, filename
        self._functions: list[str] = []
        self._found: list[Mutant] = []
        self._seen: dict[str, int] = {}

    def mutants(self) -> list[Mutant]:
        self._block(self._tree, "body", nested=False)
        return self._found

    # Statements.

    def _block(self, owner: Any, name: str, nested: bool) -> None:
        statements: list[ast.stmt] = getattr(owner, name)
        for index, statement in enumerate(statements):
            if _removable(statement, nested):
                self._removed(statements, index)
            self._statement(statement, nested)

    def _removed(self, statements: list[ast.stmt], index: int) -> None:
        statement = statements[index]
        statements[index] = ast.copy_location(ast.Pass(), statement)
        self._record("removed", statement, _header(statement), "pass")
        statements[index] = statement

    def _statement(self, statement: ast.stmt, nested: bool) -> None:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if statement.name in SKIPPED_FUNCTIONS:
                return
            self._functions.append(statement.name)
            if not isinstance(statement, ast.ClassDef):
                self._expressions(statement.args, statement)
            self._block(statement, "body", nested=False)
            self._functions.pop()
            return
        if not _is_text(statement):
            self._expressions(statement, statement)
        for name in BLOCKS:
            if name == "handlers":
                for handler in getattr(statement, name, ()):
                    self._block(handler, "body", nested=True)
            elif name != "cases" and hasattr(statement, name):
                self._block(statement, name, nested=True)
        for case in getattr(statement, "cases", ()):
            self._block(case, "body", nested=True)

    # Expressions.

    def _expressions(self, owner: ast.AST, statement: ast.stmt) -> None:
        for name, value in ast.iter_fields(owner):
            if name in (*BLOCKS, "annotation", "returns", "decorator_list", "type_comment"):
                continue
            if isinstance(value, ast.expr):
                self._expression(owner, name, None, statement)
            elif isinstance(value, list):
                self._sequence(owner, name, value, statement)
            elif isinstance(value, ast.AST):
                self._expressions(value, statement)
            if (
                isinstance(owner, ast.AugAssign)
                and isinstance(value, ast.operator)
                and type(value) in ARITHMETIC
            ):
                self._try(owner, name, None, ARITHMETIC[type(value)](), "arithmetic", statement)

    def _sequence(
        self, owner: ast.AST, name: str, values: Sequence[Any], statement: ast.stmt
    ) -> None:
        for index, value in enumerate(values):
            if isinstance(value, ast.expr):
                self._expression(owner, name, index, statement)
            elif isinstance(value, ast.AST) and not isinstance(value, ast.stmt):
                self._expressions(value, statement)

    def _expression(
        self, owner: ast.AST, name: str, index: int | None, statement: ast.stmt
    ) -> None:
        holder = getattr(owner, name)
        expression = holder if index is None else holder[index]
        if isinstance(expression, ast.JoinedStr) or _is_logging(expression):
            return
        if isinstance(owner, ast.keyword) and owner.arg in SKIPPED_KEYWORDS:
            return
        for operator, replacement in _replacements(expression, owner, name):
            self._try(owner, name, index, replacement, operator, statement)
        self._expressions(expression, statement)

    def _try(
        self,
        owner: ast.AST,
        name: str,
        index: int | None,
        replacement: ast.AST,
        operator: str,
        statement: ast.stmt,
    ) -> None:
        before = _header(statement)
        holder = getattr(owner, name)
        old = holder if index is None else holder[index]
        if isinstance(replacement, ast.expr):
            ast.copy_location(replacement, old)
            ast.fix_missing_locations(replacement)
        self._put(owner, name, index, replacement)
        self._record(operator, statement, before, _header(statement))
        self._put(owner, name, index, old)

    @staticmethod
    def _put(owner: ast.AST, name: str, index: int | None, value: ast.AST) -> None:
        if index is None:
            setattr(owner, name, value)
        else:
            getattr(owner, name)[index] = value

    def _record(self, operator: str, statement: ast.stmt, was: str, now: str) -> None:
        where = ".".join(self._functions) or "<module>"
        same = f"{where}: {was} => {now}"
        number = self._seen.get(same, 0)
        self._seen[same] = number + 1
        code = compile(self._tree, self._filename, "exec")
        lines = _lines(statement)
        self._found.append(Mutant(self._module, where, operator, was, now, *lines, code, number))


# What may be removed, and what is text.


def _removable(statement: ast.stmt, nested: bool) -> bool:
    """`nested`: whether the statement lies within an `if`, a loop, a `with` or a `try` of its
    function.
    """
    if isinstance(statement, ast.Raise | ast.Continue | ast.Break | ast.Delete | ast.AugAssign):
        return True
    if isinstance(statement, ast.Return):
        return nested
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call | ast.Await | ast.Yield) and not _is_text(
            statement
        )
    if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return any(
            isinstance(node, ast.Attribute | ast.Subscript)
            for target in targets
            for node in ast.walk(target)
        )
    return False


def _is_text(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise | ast.Import | ast.ImportFrom):
        return True
    if (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Name)
        and statement.test.id == "TYPE_CHECKING"
    ):
        return True
    if not isinstance(statement, ast.Expr):
        return False
    return isinstance(statement.value, ast.Constant) or _is_logging(statement.value)


def _is_logging(expression: ast.AST) -> bool:
    if not isinstance(expression, ast.Call):
        return False
    called = expression.func
    if isinstance(called, ast.Name):
        return called.id == "print"
    return isinstance(called, ast.Attribute) and called.attr in LOGGING


# What replaces an expression.


def _replacements(node: ast.expr, owner: ast.AST, name: str) -> Iterator[tuple[str, ast.expr]]:
    yield from _of_condition(node, owner, name)
    if isinstance(node, ast.Compare):
        yield from _of_comparison(node)
    elif isinstance(node, ast.BoolOp):
        yield from _of_junction(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield "not dropped" if isinstance(node.op, ast.Not) else "minus dropped", node.operand
    elif isinstance(node, ast.BinOp):
        yield from _of_arithmetic(node)
    elif isinstance(node, ast.Constant):
        is_index = isinstance(owner, ast.Subscript | ast.Slice | ast.Tuple)
        yield from (
            ("constant", ast.Constant(value)) for value in _other_values(node.value, is_index)
        )
    elif isinstance(node, ast.Attribute):
        yield from _of_enum(node)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_condition(node: ast.expr, owner: ast.AST, name: str) -> Iterator[tuple[str, ast.expr]]:
    is_condition = name == "test" or (isinstance(owner, ast.comprehension) and name == "ifs")
    is_condition = is_condition or isinstance(owner, ast.BoolOp)
    if is_condition and not isinstance(
        node, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.NamedExpr
    ):
        yield "condition negated", ast.UnaryOp(ast.Not(), node)


def _of_comparison(node: ast.Compare) -> Iterator[tuple[str, ast.expr]]:
    for index, old in enumerate(node.ops):
        for other in COMPARISONS[type(old)]:
            operators: list[ast.cmpop] = list(node.ops)
            operators[index] = other()
            yield "comparison", ast.Compare(node.left, operators, node.comparators)


def _of_junction(node: ast.BoolOp) -> Iterator[tuple[str, ast.expr]]:
    yield (
        "and, or",
        ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values),
    )
    for index in range(len(node.values)):
        rest = node.values[:index] + node.values[index + 1 :]
        yield "condition dropped", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _of_arithmetic(node: ast.BinOp) -> Iterator[tuple[str, ast.expr]]:
    of_sequences = any(
        isinstance(side, ast.List | ast.Tuple | ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )
    if type(node.op) in ARITHMETIC and not of_sequences:
        yield "arithmetic", ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)


def _other_values(value: Any, is_index: bool) -> list[Any]:
    """What a constant may be mistaken for."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        others = [value + 1] if is_index else [value + 1, value - 1, 0]
    elif isinstance(value, float):
        others = [1.0] if abs(value) < ROUNDING else [2.0 * value, value / 2.0, 0.0]
    else:
        return []
    return [other for other in dict.fromkeys(others) if other != value]


def _of_enum(node: ast.Attribute) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node.value, ast.Name) and node.attr in ENUMS.get(node.value.id, ()):
        for other in ENUMS[node.value.id]:
            if other != node.attr:
                yield "enum member", ast.Attribute(node.value, other, ast.Load())


def _of_call(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    called = copy.copy(node.func)
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    if name in DROPPED_FUNCTIONS and len(node.args) == 1:
        yield f"{name} dropped", node.args[0]
    if name in FUNCTIONS:
        setattr(called, "id" if isinstance(called, ast.Name) else "attr", FUNCTIONS[name])
        yield "function", ast.Call(called, node.args, node.keywords)


# How a statement is shown and found.


def _header(statement: ast.stmt) -> str:
    """A statement on one line, a compound one without its blocks."""
    bare = copy.copy(statement)
    for name in (*BLOCKS, "decorator_list"):
        if hasattr(bare, name):
            setattr(bare, name, [])
    return " ".join(ast.unparse(bare).split())


def _lines(statement: ast.stmt) -> tuple[int, int]:
    """First and last line of a statement, of a compound one without its blocks."""
    blocks = itertools.chain.from_iterable(getattr(statement, name, ()) for name in BLOCKS)
    first_inside = min((node.lineno for node in blocks if hasattr(node, "lineno")), default=None)
    if first_inside is None:
        return statement.lineno, statement.end_lineno or statement.lineno
    return statement.lineno, max(statement.lineno, first_inside - 1)
