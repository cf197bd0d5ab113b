"""What an account may do: credits, a rate of requests, its key. Pure bookkeeping: no file, no clock, no socket."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vidu_run.local.refused import Refused

PLENTY = 1_000_000_000
ANYBODY = ""
"""The one account where no keys are asked for."""
SCHEMES = ("bearer", "token")


@dataclass(frozen=True, slots=True)
class Terms:
    """`credits` that each account was given in all; `concurrency` tasks in the making at once, 5 as on the usage page
    (platform.vidu.com/docs/usage-and-limits); `rate` in requests a second, None for no bound; `speed` times a
    believable service, None for as fast as this machine renders. `keys` None: any key will do, or none."""

    credits: int = PLENTY
    concurrency: int = 5
    rate: float | None = None
    speed: float | None = None
    keys: frozenset[str] | None = None


USUAL = Terms()


class Account:
    """`coming` counts the submissions that are paid for and not yet in the queue."""

    def __init__(self, name: str, terms: Terms, spent: int = 0) -> None:
        self.name = name
        self.terms = terms
        self.coming = 0
        self._spent = spent
        self._allowance = Allowance(terms.rate)

    @property
    def left(self) -> int:
        return max(0, self.terms.credits - self._spent)

    def ask(self, now: float) -> None:
        """Count one request. Raises Refused for one too many; `now` in seconds of any steady clock."""
        if wait := self._allowance.wait(now):
            raise Refused("TooManyRequests", f"more than {self.terms.rate:g} requests a second", 429, wait)

    def charge(self, credits: int) -> None:
        """Raises Refused where too little is left; then nothing is taken."""
        if credits > self.left:
            raise Refused("CreditInsufficient", f"the task costs {credits} credits, {self.left} are left")
        self._spent += credits

    def give_back(self, credits: int) -> None:
        self._spent -= credits


class Allowance:
    """A bucket that holds a second's worth of requests, at least one, and fills up at `rate` a second."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._tokens = self._most = max(1.0, rate or 0.0)
        self._seen: float | None = None

    def wait(self, now: float) -> float:
        """0 for a request that may pass, which then counts; else the seconds until the next may."""
        if self._rate is None:
            return 0.0
        gained = 0.0 if self._seen is None else (now - self._seen) * self._rate
        self._tokens, self._seen = min(self._most, self._tokens + gained), now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0


class Accounts:
    """`spent` is what each account has paid for tasks that have not failed, by the account's name."""

    def __init__(self, terms: Terms, spent: Mapping[str, int]) -> None:
        self.terms = terms
        names = {ANYBODY, *spent} if terms.keys is None else {*spent, *map(account_name, terms.keys)}
        self._known = {name: Account(name, terms, spent.get(name, 0)) for name in names}

    def named(self, name: str) -> Account:
        return self._known[name]

    def of(self, authorization: str | None) -> Account:
        """Whose request this is, by its Authorization header. Raises Refused for a key that is none of ours."""
        if self.terms.keys is None:
            return self._known[ANYBODY]
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() not in SCHEMES or key.strip() not in self.terms.keys:
            raise Refused("Unauthorized", "the key is missing or not known", 401)
        return self._known[account_name(key.strip())]


def account_name(key: str) -> str:
    """What stands for a key in files and replies; the key itself stands in neither."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def sound_keys(lines: Iterable[str]) -> frozenset[str]:
    """One key a line, blank lines skipped. Raises ValueError for none at all, or for one that no header can carry."""
    keys = frozenset(filter(None, (line.strip() for line in lines)))
    if not keys:
        raise ValueError("holds no key")
    if any(not key.isascii() or not key.isprintable() or " " in key for key in keys):
        raise ValueError("holds a key with a blank or a control character")
    return keys
