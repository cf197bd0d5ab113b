"""Axes: named lists of values, their product, what is excluded. Values come rendered; files are read elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidu_run.errors import Place

MOST_VALUES = 1_000_000


class BadAxis(ValueError):
    """A sentence about one axis; `way` leads from the axis to the value it is about."""

    def __init__(self, message: str, way: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.way = way


@dataclass(frozen=True, slots=True)
class Axis:
    """A name and its values; `locate(number, way)` says where a value, or a part of it, stands."""

    name: str
    values: Sequence[Any]
    locate: Callable[[int, tuple[str, ...]], Place]

    def label(self, number: int) -> Any:
        """What tells this value from its neighbours: the `name` of a mapping, the value itself, else its number."""
        value = self.values[number]
        if isinstance(value, Mapping):
            return value.get("name", number + 1)
        return value if isinstance(value, str | int | float) else number + 1


Combination = tuple[int, ...]
"""For each axis, in the order written, the number of the value."""


def range_values(bounds: Sequence[Any]) -> range:
    """`[first, last]` or `[first, last, step]`, both ends included."""
    if len(bounds) not in (2, 3) or any(type(bound) is not int for bound in bounds):
        raise BadAxis("a range is [first, last] or [first, last, step], whole numbers", ("range",))
    first, last, step = (*bounds, 1)[:3]
    if step == 0 or (last - first) * step < 0:
        raise BadAxis(f"the range {list(bounds)} holds no value", ("range",))
    values = range(first, last + (1 if step > 0 else -1), step)
    if len(values) > MOST_VALUES:
        raise BadAxis(f"the range holds {len(values):,} values, more than {MOST_VALUES:,}", ("range",))
    return values


def combinations(
    axes: Sequence[Axis], zipped: Sequence[str], exclude: Sequence[Mapping[str, Any]]
) -> Iterator[Combination]:
    """The product in the order written, the last axis varying fastest, less what is excluded."""
    names = [axis.name for axis in axes]
    groups = _groups(axes, zipped)
    for numbers in itertools.product(*(range(len(axes[group[0]].values)) for group in groups)):
        place = {axis: number for group, number in zip(groups, numbers, strict=True) for axis in group}
        combination = tuple(place[number] for number in range(len(axes)))
        row = {name: axes[at].values[combination[at]] for at, name in enumerate(names)}
        if not any(matches(entry, row) for entry in exclude):
            yield combination


def count(axes: Sequence[Axis], zipped: Sequence[str]) -> int:
    total = 1
    for group in _groups(axes, zipped):
        total *= len(axes[group[0]].values)
    return total


def matches(entry: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether every axis the entry names equals its value; a mapping matches when each key given is equal."""
    return all(name in row and _equal(wanted, row[name]) for name, wanted in entry.items())


def _equal(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Mapping) and isinstance(value, Mapping):
        return all(key in value and _equal(item, value[key]) for key, item in wanted.items())
    return type(wanted) is type(value) and bool(wanted == value)


def _groups(axes: Sequence[Axis], zipped: Sequence[str]) -> list[list[int]]:
    """Axis numbers that advance together; the zipped ones stand where the first of them stands."""
    together = [number for number, axis in enumerate(axes) if axis.name in zipped]
    lengths = {axes[number].name: len(axes[number].values) for number in together}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise BadAxis(f"zipped axes need equal lengths: {shown}")
    groups = [together if number in together else [number] for number in range(len(axes))]
    return [group for number, group in enumerate(groups) if group[0] == number]
