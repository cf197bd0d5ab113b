"""Axes: named lists of values, their product, what is excluded. Values come rendered; files are read elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from vidu_run.errors import Place

MOST_VALUES = 1_000_000
MOST_COMBINATIONS = 1_000_000
MOST_TESTS = 5_000_000
"""Of the product before anything is excluded, and of its combinations held against the entries of `exclude`."""


class BadAxis(ValueError):
    """A sentence about one axis; `way` leads from the axis to the value it is about (or `of_key` to its key), or it
    stands at `place`.
    """

    def __init__(
        self, message: str, way: tuple[str | int, ...] = (), place: Place | None = None, of_key: bool = False
    ) -> None:
        super().__init__(message)
        self.way = way
        self.place = place
        self.of_key = of_key


@dataclass(frozen=True, slots=True)
class Axis:
    """A name and its values; `locate(number, way)` says where a value, or a part of it, stands."""

    name: str
    values: Sequence[Any]
    locate: Callable[[int, tuple[str | int, ...]], Place]

    def label(self, number: int) -> Any:
        """What tells this value from its neighbours: the `name` of a mapping, the value itself, else its number."""
        value = self.values[number]
        if isinstance(value, Mapping):
            value = value.get("name")
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if isinstance(value, str | int | float) else number + 1


Combination = tuple[int, ...]
"""For each axis, in the order written, the number of the value."""


def picker(positions: Sequence[int]) -> Callable[[Sequence[Any]], Any]:
    """Picks these positions of a tuple: something to know equal choices by, the quickest there is."""
    return itemgetter(*positions) if positions else lambda _: None


def range_values(bounds: Sequence[Any]) -> range:
    """`[first, last]` or `[first, last, step]`, both ends included."""
    bounds = [int(bound) if isinstance(bound, float) and bound.is_integer() else bound for bound in bounds]
    if len(bounds) not in (2, 3) or any(type(bound) is not int for bound in bounds):
        raise BadAxis("a range is [first, last] or [first, last, step], whole numbers", ("range",))
    first, last, step = (*bounds, 1)[:3]
    values = range(first, last + (1 if step > 0 else -1), step or 1)
    shown = f"[{', '.join(str(bound) if abs(bound) < 10**20 else '…' for bound in bounds)}]"
    if step == 0 or not values:
        raise BadAxis(f"the range {shown} holds no value", ("range",))
    if (last - first) // step >= MOST_VALUES:
        raise BadAxis(f"the range {shown} holds more than {MOST_VALUES:,} values", ("range",))
    return values


Excluded = Mapping[int, frozenset[int]]
"""One entry of `exclude`, understood: for each axis it names, the numbers of the values that match."""


def understand(entry: Mapping[str, Any], axes: Sequence[Axis]) -> Excluded:
    return {
        at: frozenset(number for number, value in enumerate(axis.values) if _equal(entry[axis.name], value))
        for at, axis in enumerate(axes)
        if axis.name in entry
    }


def removes(excluded: Excluded, axes: Sequence[Axis], zipped: Sequence[str]) -> bool:
    """Whether any combination matches; axes that advance together have to match in the same step."""
    together = [numbers for at, numbers in excluded.items() if axes[at].name in zipped]
    return all(excluded.values()) and (not together or bool(frozenset.intersection(*together)))


def combinations(axes: Sequence[Axis], zipped: Sequence[str], exclude: Sequence[Excluded]) -> Iterator[Combination]:
    """The product in the order written, the last axis varying fastest, less what is excluded."""
    groups = _groups(axes, zipped)
    for numbers in itertools.product(*(range(len(axes[group[0]].values)) for group in groups)):
        place = {axis: number for group, number in zip(groups, numbers, strict=True) for axis in group}
        if not any(all(place[at] in matching for at, matching in entry.items()) for entry in exclude):
            yield tuple(place[number] for number in range(len(axes)))


def count(axes: Sequence[Axis], zipped: Sequence[str]) -> int:
    """Of the whole product. Raises BadAxis where zipped axes have unequal lengths."""
    total = 1
    for group in _groups(axes, zipped):
        total *= len(axes[group[0]].values)
    return total


def _equal(wanted: Any, value: Any) -> bool:
    """A mapping is equal where each key given is."""
    if isinstance(wanted, Mapping) and isinstance(value, Mapping):
        return all(key in value and _equal(item, value[key]) for key, item in wanted.items())
    return isinstance(wanted, bool) == isinstance(value, bool) and bool(wanted == value)


def _groups(axes: Sequence[Axis], zipped: Sequence[str]) -> list[list[int]]:
    """Axis numbers that advance together; the zipped ones stand where the first of them stands."""
    together = [number for number, axis in enumerate(axes) if axis.name in zipped]
    lengths = {axes[number].name: len(axes[number].values) for number in together}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise BadAxis(f"zipped axes need equal lengths: {shown}")
    groups = [together if number in together else [number] for number in range(len(axes))]
    return [group for number, group in enumerate(groups) if group[0] == number]
