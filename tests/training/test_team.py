import threading

import numpy as np
import pytest

from pixmodels.training.team import Team


class Threads(Team):
    """Threads instead of processes, which bring their numbers together."""

    def __init__(self, index, shared):
        self.index, self.count = index, shared.parties
        self._shared = shared
        self.gathered = 0

    def gather(self, values):
        self.gathered += 1
        self._shared.rows[self.index] = values
        self._shared.wait(timeout=30)
        rows = np.array(self._shared.rows, np.float64)
        self._shared.wait(timeout=30)
        return rows


def together(count, function):
    """Runs `function(team)` in threads; returns results or errors."""
    shared = threading.Barrier(count)
    shared.rows = [None] * count
    results = [None] * count

    def work(index):
        try:
            results[index] = function(Threads(index, shared))
        except ValueError as error:
            results[index] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@pytest.mark.parametrize("raised_by", [0, 2])
def test_all_stop_at_the_same_step(raised_by):
    def loop(team):
        flag = team.stop_flag()
        for step in range(2000):
            if team.index == raised_by and step == 7:
                flag.set()
            if flag.is_set():
                gathered = team.gathered
                assert flag.is_set()  # asks nobody any more
                assert team.gathered == gathered
                flag.clear()
                assert not flag.is_set()
                return step, gathered
        return None

    (first, *others) = together(3, loop)
    assert first[0] >= 7
    # They ask about four times a second, not at each of these fast steps.
    assert first[1] < 7
    assert others == [first] * 2


def test_one_process_stops_at_once():
    flag = Team().stop_flag()
    assert not flag.is_set()
    flag.set()
    assert flag.is_set()
    flag.clear()
    assert not flag.is_set()


def test_different_steps_are_refused():
    def check(team):
        team.check_same(5 * (team.index // 2), {"seed": 3})

    for error in together(3, check):
        assert "step 0 in worker 0, 0 in worker 1, 5 in worker 2" in str(error)


def test_different_settings_are_refused():
    def check(team):
        team.check_same(5, {"seed": int(team.index == 1)})

    for error in together(3, check):
        assert "others in worker 1 than in worker 0" in str(error)
    assert together(2, lambda team: team.check_same(5, {})) == [None] * 2
