"""How often a task is asked about, and how late its end is seen, against asking at a fixed pace.

Tasks take a minute in the middle, spread as a lognormal; what vidu-run learns of them it learns in this run. No
network: these are the decisions of `pace.Usual` alone.
"""

from __future__ import annotations

import math
import random

from vidu_run.pace import Timing, Usual

TASKS, MEDIAN = 3000, 60.0


def learned(lengths: list[float]) -> tuple[float, float]:
    usual, timing, looks, late = Usual(), Timing(), 0, 0.0
    for length in lengths:
        age, ran = 0.0, None
        while age < length:
            ran, age = age or None, age + usual.pause(timing, age)
            looks += 1
        usual.ended(ran, age)
        late += age - length
    return looks / len(lengths), late / len(lengths)


def fixed(lengths: list[float], every: float) -> tuple[float, float]:
    looks = [math.ceil(length / every) for length in lengths]
    late = [number * every - length for number, length in zip(looks, lengths, strict=True)]
    return sum(looks) / len(looks), sum(late) / len(late)


def main() -> None:
    print("looks a task, and seconds from its end until it is seen")
    print("spread      learned     every 1 s     every 2 s     every 5 s")
    for spread in (0.1, 0.2, 0.4, 0.8):
        dice = random.Random(7)
        lengths = [MEDIAN * math.exp(spread * dice.gauss(0, 1)) for _ in range(TASKS)]
        ways = [learned(lengths), *(fixed(lengths, every) for every in (1.0, 2.0, 5.0))]
        print(f"{spread:<6}" + "".join(f"{looks:>8.1f} {late:>4.1f} " for looks, late in ways))


if __name__ == "__main__":
    main()
