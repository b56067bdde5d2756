"""A small evaluator for the alert rules, so that their tests need no Prometheus.

It knows what the rules use and refuses all else. One simplification: `increase` does not
extrapolate to the edges of its window. Where promtool is installed (CI), monitoring.py asks it too
and both must agree.
"""

import operator
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import promql_parser as ast

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Scrape = dict[tuple[str, Labels], float]  # by the metric's name and labels

COMPARISONS: dict[str, Callable[[float, float], bool]] = {">": operator.gt, "==": operator.eq}


def first_minute_of(expression: str, scrapes: list[Scrape], lasting: timedelta) -> int | None:
    """The minute in which any of the expression's series has been there for so long without a
    break; None when that never happens. `scrapes` are a minute apart.
    """
    tree = ast.parse(expression)
    since: dict[Labels, int] = {}
    for minute in range(len(scrapes)):
        vector = _evaluate(tree, scrapes[: minute + 1])
        since = {labels: since.get(labels, minute) for labels in vector}
        if any(timedelta(minutes=minute - began) >= lasting for began in since.values()):
            return minute
    return None


def names_in(expression: str) -> set[str]:
    """The metrics that it reads."""
    return set(re.findall(r"\b(?:lumikb_\w+|up)\b", expression))


def _evaluate(node: Any, scrapes: list[Scrape]) -> Any:
    match node:
        case ast.NumberLiteral():
            return node.val
        case ast.ParenExpr():
            return _evaluate(node.expr, scrapes)
        case ast.VectorSelector():
            return _selected(node, scrapes[-1])
        case ast.Call():
            [matrix] = node.args
            return _change(node.func.name, matrix, scrapes)
        case ast.AggregateExpr() if str(node.op) == "sum":
            return _sum(_evaluate(node.expr, scrapes), set(node.modifier.labels))
        case ast.BinaryExpr():
            left, right = _evaluate(node.lhs, scrapes), _evaluate(node.rhs, scrapes)
            return _combined(str(node.op), left, right)
    raise NotImplementedError(f"{type(node).__name__}: {node}")


def _selected(selector: Any, scrape: Scrape) -> Vector:
    return {
        labels: value
        for (name, labels), value in scrape.items()
        if name == selector.name and _matches(selector.matchers.matchers, dict(labels))
    }


def _matches(matchers: Iterable[Any], labels: dict[str, str]) -> bool:
    for each in matchers:
        value = labels.get(each.name, "")
        if each.op == ast.MatchOp.Equal:
            fits = value == each.value
        elif each.op == ast.MatchOp.Re:
            fits = re.fullmatch(each.value, value) is not None
        else:
            raise NotImplementedError(str(each))
        if not fits:
            return False
    return True


def _change(function: str, matrix: Any, scrapes: list[Scrape]) -> Vector:
    """`increase` of a counter, also over its resets, or `delta` of a gauge."""
    window = scrapes[-1 - int(matrix.range / timedelta(minutes=1)) :] if matrix.range else []
    values: dict[Labels, list[float]] = {}
    for scrape in window:
        for labels, value in _selected(matrix.vector_selector, scrape).items():
            values.setdefault(labels, []).append(value)
    known = {labels: each for labels, each in values.items() if len(each) > 1}
    if function == "delta":
        return {labels: each[-1] - each[0] for labels, each in known.items()}
    if function == "increase":
        return {
            labels: sum(new - old if new >= old else new for old, new in pairwise(each))
            for labels, each in known.items()
        }
    raise NotImplementedError(function)


def _sum(vector: Vector, by: set[str]) -> Vector:
    sums: Vector = {}
    for labels, value in vector.items():
        group = frozenset(pair for pair in labels if pair[0] in by)
        sums[group] = sums.get(group, 0) + value
    return sums


def _combined(operation: str, left: Vector, right: Any) -> Vector:
    if operation in COMPARISONS and isinstance(right, float):
        holds = COMPARISONS[operation]
        return {labels: value for labels, value in left.items() if holds(value, right)}
    if operation == "/" and isinstance(right, dict):
        nan = float("nan")
        both = left.keys() & right.keys()
        return {key: left[key] / right[key] if right[key] else nan for key in both}
    raise NotImplementedError(operation)
