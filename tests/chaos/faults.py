"""What is done to the product, chosen by the seed; every fault is logged with its time."""

import logging
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from signal import SIGCONT, SIGKILL, SIGQUIT, SIGSTOP

import redis

from tests.chaos import processes
from tests.chaos.processes import Target
from tests.chaos.proxy import Proxies
from tests.e2e.product import Product

log = logging.getLogger("chaos.faults")

AT_ONCE = (1, 1, 1, 1, 1, 1, 1, 2, 2, 3)
PAUSE = (2.5, 6.5)  # seconds between two times
STOPPED = ((0.5, 8.0), (0.5, 8.0), (15.0, 30.0))  # seconds; a lease is 20 s
CUT_OFF = (1.0, 12.0)  # seconds that a proxy refuses, swallows or mutes
PARSER_WAIT = 2.0  # seconds in which one must come


@dataclass(frozen=True, slots=True)
class Fault:
    """One that was done. `at` is Unix time, on the same machine as the database's."""

    at: float
    action: str  # kill, stop, flush, cut, refuse, swallow, mute
    target: str

    @property
    def is_kill(self) -> bool:
        return self.action == "kill"


class Faults(threading.Thread):
    """Does faults until `stop` is set, then leaves everything running and connected."""

    def __init__(
        self,
        product: Product,
        proxies: Proxies,
        redis_url: str,
        seed: str,
        stop: threading.Event,
        times: float,
    ) -> None:
        super().__init__(name="faults", daemon=True)
        self.done: list[Fault] = []
        self.broken: BaseException | None = None
        self._product, self._proxies, self._redis_url = product, proxies, redis_url
        self._choice = random.Random(f"{seed} faults")
        self._stop_event = stop
        self._times = times  # faster than usual
        self._undo: list[tuple[float, Callable[[], object]]] = []  # when (monotonic), and what
        # How often each is chosen. Nothing that costs the machine seconds comes very often.
        self._menu: dict[tuple[str, str], int] = {
            ("kill", "web master"): 3, ("kill", "web child"): 5,
            ("kill", "worker master"): 6, ("kill", "worker child"): 9,
            ("kill", "relay"): 7, ("kill", "reconcile"): 5, ("kill", "parser"): 8,
            ("kill", "parser server"): 6,
            ("kill", "postgres immediate"): 4, ("kill", "postgres server"): 3,
            ("kill", "postgres session"): 4, ("kill", "redis"): 8, ("kill", "qdrant"): 5,
            ("kill", "embeddings"): 5,
            ("stop", "worker child"): 7, ("stop", "relay"): 3, ("stop", "reconcile"): 2,
            ("stop", "web child"): 3,
            ("flush", "redis"): 4,
            **{("cut", name): 2 for name in proxies.by_name},
            **{("refuse", name): 1 for name in proxies.by_name},
            **{("swallow", name): 1 for name in proxies.by_name},
            **{("mute", name): 1 for name in proxies.by_name},
        }  # fmt: skip
        self._not_yet = self._choice.sample(list(self._menu), len(self._menu))

    def run(self) -> None:
        try:
            while not self._stop_event.is_set():
                due = time.monotonic() + self._choice.uniform(*PAUSE) / self._times
                while time.monotonic() < due and not self._stop_event.wait(0.1):
                    self._undo_due()
                if not self._stop_event.is_set():
                    for action, target in self._chosen():
                        self._do(action, target)
        except BaseException as error:
            self.broken = error
        finally:
            self._undo_due(everything=True)
            self._proxies.heal()

    def _chosen(self) -> list[tuple[str, str]]:
        """Each once, in any order, then as often as the menu says."""
        number = self._choice.choice(AT_ONCE)
        if self._not_yet:
            chosen, self._not_yet = self._not_yet[:number], self._not_yet[number:]
            return chosen
        return self._choice.choices(list(self._menu), list(self._menu.values()), k=number)

    def _do(self, action: str, target: str) -> None:
        match action:
            case "kill":
                done = self._kill(target)
            case "stop":
                done = self._suspend(target)
            case "flush":
                done = self._flush()
            case _:
                done = self._disturb(action, target)
        if done:
            self.done.append(Fault(time.time(), action, target))
        log.info("%s %s: %s", action, target, done or "nothing there")

    def _kill(self, target: str) -> str:
        number = SIGQUIT if target == "postgres immediate" else SIGKILL
        return self._send(number, target)[0]

    def _suspend(self, target: str) -> str:
        """A stopped process is not dead: it goes on as if no time had passed."""
        said, stopped = self._send(SIGSTOP, target)
        seconds = self._choice.uniform(*self._choice.choice(STOPPED))
        if stopped:
            self._later(seconds, lambda: stopped.send(SIGCONT))
        return said and f"{said} for {seconds:.1f} s"

    def _send(self, number: signal.Signals, target: str) -> tuple[str, Target | None]:
        candidates = self._candidates(target)
        if not candidates:
            return "", None
        try:
            chosen = Target(self._choice.choice(candidates))
        except ProcessLookupError:
            return "", None
        return (f"{number.name} to {chosen.pid}", chosen) if chosen.send(number) else ("", None)

    def _candidates(self, target: str) -> list[int]:
        match target.split():
            case ["parser"]:
                return processes.next_parser(self._product, PARSER_WAIT)
            case ["parser", "server"]:
                return processes.parser_servers(self._product)
            case ["postgres", "session"]:
                return processes.children(self._product, "postgres")
            case [kind, "child"]:
                return processes.children(self._product, kind)
            case [kind, *_]:
                return processes.mains(self._product, kind)
        return []

    def _flush(self) -> str:
        try:
            with redis.Redis.from_url(self._redis_url, socket_timeout=3) as client:
                client.flushall()
        except redis.RedisError:
            return ""
        return "FLUSHALL"

    def _disturb(self, action: str, target: str) -> str:
        proxy = self._proxies.by_name[target]
        getattr(proxy, action)()
        if action == "cut":
            return "connections reset"
        seconds = self._choice.uniform(*CUT_OFF)
        if action == "mute" or self._choice.random() < 0.5:
            self._later(seconds, proxy.cut)  # before it heals: what was held back is lost
        self._later(seconds, proxy.heal)
        return f"for {seconds:.1f} s"

    def _later(self, seconds: float, undo: Callable[[], object]) -> None:
        self._undo.append((time.monotonic() + seconds, undo))

    def _undo_due(self, everything: bool = False) -> None:
        now = time.monotonic()
        due = [undo for at, undo in self._undo if everything or at <= now]
        self._undo = [(at, undo) for at, undo in self._undo if not everything and at > now]
        for undo in due:
            undo()
