"""The driver and its timers, on a clock that the test turns."""

from twisted.internet.task import Clock

from prol2tp.net.deadlines import LazyTimer, ReactorDeadlines
from prol2tp.net.driver import Driver


class EchoCore:
    """Puts out what it is given; asks one question and puts out the answer."""

    def __init__(self):
        self.queue, self.wanted, self.fired = [], None, []

    def outputs(self):
        queue, self.queue = self.queue, []
        return queue

    def deadline(self):
        return self.wanted

    def timeout(self, now):
        self.fired.append(now)
        self.wanted = None

    def put(self, *values, now):
        self.queue.extend(values)


def test_outputs_are_carried_out_in_order_also_when_an_action_answers():
    core, seen, clock = EchoCore(), [], Clock()

    def text(value):
        seen.append(value)
        if value == "question":
            driver.call(core.put, "answer")

    driver = Driver(core, {str: text, int: seen.append}, clock)
    driver.call(core.put, 1, "question", 2)
    assert seen == [1, "question", 2, "answer"]


def test_an_action_that_raises_costs_only_its_own_output():
    core, seen, clock = EchoCore(), [], Clock()
    driver = Driver(core, {str: lambda value: 1 / 0, int: seen.append}, clock)
    driver.call(core.put, "bad", 1)
    assert seen == [1]


def test_the_core_is_called_at_its_deadline_and_not_before():
    core, clock = EchoCore(), Clock()
    driver = Driver(core, {int: lambda value: None}, clock)
    core.wanted = 5.0
    driver.call(core.put, 1)
    core.wanted = 8.0
    driver.call(core.put, 1)
    clock.advance(5)
    assert core.fired == []
    clock.advance(3)
    assert core.fired == [8.0]
    assert clock.getDelayedCalls() == []


def test_a_timer_moved_earlier_fires_earlier_and_leaves_no_call_behind():
    clock, fired = Clock(), []
    timer = LazyTimer(clock, fired.append)
    timer.want(10)
    timer.want(3)
    clock.advance(3)
    assert fired == [3] and clock.getDelayedCalls() == []
    timer.want(9)
    timer.stop()
    assert clock.getDelayedCalls() == []


class Owner:
    def __init__(self):
        self.fired = []

    def expired(self, now):
        self.fired.append(now)


def test_many_owners_share_one_timer():
    clock = Clock()
    deadlines = ReactorDeadlines(clock)
    owners = [Owner() for _ in range(100)]
    for number, owner in enumerate(owners):
        deadlines.set(owner, number + 1.0)
    assert len(clock.getDelayedCalls()) == 1
    deadlines.set(owners[0], None)
    clock.pump([1.0] * 100)
    assert owners[0].fired == []
    assert [owner.fired for owner in owners[1:]] == [[number + 1.0] for number in range(1, 100)]
