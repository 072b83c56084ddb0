"""The protocol, on a clock that the calls themselves advance."""

from collections.abc import Callable

import pytest

from sige_mlx.benchmark import PAPER, QUICK, Protocol, measure
from sige_mlx.benchmark.protocol import PAUSE, PAUSES, measure_pauses


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.seconds

    def takes(self, name: str, seconds: Callable[[int], float]) -> Callable[[], None]:
        """A call that takes `seconds(how often it was called before)`."""

        def call() -> None:
            self.seconds += seconds(self.log.count(name))
            self.log.append(name)

        return call


def test_the_papers_protocol_is_five_times_ten_runs_after_ten_to_warm_up() -> None:
    clock = FakeClock()
    times = measure({"pass": clock.takes("pass", lambda _: 0.25)}, PAPER, clock=clock)
    assert len(clock.log) == 5 * (10 + 10)
    assert times["pass"].repeats == pytest.approx((250.0,) * 5)


def test_warm_up_is_not_timed() -> None:
    clock = FakeClock()
    protocol = Protocol(warmup=2, runs=3, repeats=2)
    slow_first = clock.takes("pass", lambda before: 100.0 if before % 5 < 2 else 0.001 * (before // 5 + 1))
    timing = measure({"pass": slow_first}, protocol, clock=clock)["pass"]
    assert timing.repeats == pytest.approx((1.0, 2.0)) and timing.ms == pytest.approx(1.5)


def test_calls_take_turns_repeat_by_repeat() -> None:
    clock = FakeClock()
    protocol = Protocol(warmup=1, runs=1, repeats=2)
    measure({name: clock.takes(name, lambda _: 1.0) for name in "ab"}, protocol, clock=clock)
    assert "".join(clock.log) == "aabbaabb"


def test_progress_ends_at_its_total() -> None:
    told: list[tuple[str, int, int]] = []
    measure({"a": lambda: None, "b": lambda: None}, QUICK, progress=lambda *now: told.append(now))
    assert told[-1] == ("measure", 8, 8) and [done for _, done, _ in told] == list(range(1, 9))


def test_pauses_are_not_timed_and_what_follows_them_is() -> None:
    """A call takes a millisecond, after a pause twenty."""
    clock, waited = FakeClock(), []

    def sleep(seconds: float) -> None:
        clock.seconds += seconds
        waited.append(seconds)

    def seconds(_: int) -> float:
        cold, seen = len(waited) > len(told), len(waited)
        told.extend([seen] if cold else [])
        return 0.020 if cold else 0.001

    told: list[int] = []
    at_once, later = measure_pauses(clock.takes("edit", seconds), clock=clock, sleep=sleep)
    assert at_once.repeats == pytest.approx((1.0,) * PAUSES) and later.repeats == pytest.approx((20.0,) * PAUSES)
    assert waited == [PAUSE] * PAUSES
