"""Rules between parameters: points of a design that break one are left out.

    constraints = ["maker.low < maker.high", "traders.leverage * 2 <= limit or rule == 'none'"]

A rule is one expression of parameter paths, numbers, text and lists with `+ - * / % **`,
comparisons, `in`, `and`, `or`, `not`. A path means the value of the point, or what the whole sweep
or the scenario sets. Nothing else is evaluated: no calls, no names that are no parameters. A path
that does not exist, or a rule that cannot be computed, is an error that names the rule.
"""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markets.errors import ConfigError

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, group: item in group,
    ast.NotIn: lambda item, group: item not in group,
}


class Constraint:
    """One rule, parsed."""

    def __init__(self, text: str, at: int = 0) -> None:
        self.text, self._field = text, f"constraints.{at}"
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except SyntaxError as error:
            raise ConfigError(self._field, f"{text!r} is no expression: {error.msg}") from None

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether the values, by dotted path, keep the rule."""
        try:
            return bool(self._value(self._tree, values))
        except (TypeError, ZeroDivisionError, OverflowError, ValueError) as error:
            raise ConfigError(self._field, f"{self.text!r} cannot be computed: {error}") from None

    def _value(self, node: ast.AST, values: Mapping[str, Any]) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name | ast.Attribute):
            return self._parameter(ast.unparse(node), values)
        if isinstance(node, ast.List | ast.Tuple):
            return [self._value(each, values) for each in node.elts]
        if isinstance(node, ast.BoolOp):
            joined = all if isinstance(node.op, ast.And) else any
            return joined(self._value(each, values) for each in node.values)
        if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](self._value(node.operand, values))
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            left, right = self._value(node.left, values), self._value(node.right, values)
            return OPERATORS[type(node.op)](left, right)
        if isinstance(node, ast.Compare):
            return self._compared(node, values)
        raise ConfigError(self._field, f"{ast.unparse(node)!r} is not allowed in a constraint")

    def _compared(self, node: ast.Compare, values: Mapping[str, Any]) -> bool:
        sides = [self._value(each, values) for each in (node.left, *node.comparators)]
        for rule, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if type(rule) not in OPERATORS:
                raise ConfigError(self._field, f"{self.text!r}: is not allowed in a constraint")
            if not OPERATORS[type(rule)](left, right):
                return False
        return True

    def _parameter(self, path: str, values: Mapping[str, Any]) -> Any:
        if path not in values:
            known = ", ".join(values)
            raise ConfigError(self._field, f"{self.text!r}: no parameter {path!r}; known: {known}")
        return values[path]


def kept(
    points: Sequence[dict[str, Any]], rules: Sequence[str], fixed: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The points that keep all rules; `fixed` are the values of what a point does not set."""
    parsed = [Constraint(text, at) for at, text in enumerate(rules)]
    good = [p for p in points if all(rule.holds({**fixed, **p}) for rule in parsed)]
    if not good:
        raise ConfigError("constraints", f"none of the {len(points)} points keeps them")
    return good
