"""The order of scripts: one at a time for each instance, few at once, and a bad one costs only itself."""

import random

import pytest

from prol2tp.daemons.scriptd.schedule import GRACE, Schedule, Signal, Start


def started(schedule):
    return [output.job for output in schedule.outputs() if isinstance(output, Start)]


def signals(schedule):
    return [(output.job, output.kill) for output in schedule.outputs() if isinstance(output, Signal)]


def test_scripts_of_one_instance_follow_each_other():
    schedule = Schedule(8, 30)
    for number, script in enumerate(("created", "up", "down", "deleted")):
        schedule.add(number, "a", script, 0)
    for number in range(4):
        assert started(schedule) == [number]
        schedule.ended(number, True, 1)
    assert len(schedule) == 0 and schedule.running == 0 and schedule.deadline() is None


def test_scripts_of_others_run_at_the_same_time_up_to_the_limit():
    schedule = Schedule(8, 30)
    for number in range(20):
        schedule.add(number, number, "up" if number % 2 else "down", 0)
    assert started(schedule) == list(range(8)) and schedule.running == 8
    schedule.ended(3, True, 1)
    assert started(schedule) == [8]


def test_one_script_takes_three_quarters_of_the_places_at_most():
    schedule = Schedule(8, 30)
    for number in range(20):
        schedule.add(number, number, "up", 0)
    schedule.add(20, 20, "down", 0)
    assert started(schedule) == [0, 1, 2, 3, 4, 5, 20]


def test_a_late_script_is_asked_to_end_and_then_made_to():
    schedule = Schedule(8, 30)
    schedule.add(1, "a", "up", 0)
    assert started(schedule) == [1] and schedule.deadline() == 30
    schedule.timeout_at(30)
    assert signals(schedule) == [(1, False)] and schedule.late(1)
    assert schedule.deadline() == 30 + GRACE
    schedule.timeout_at(30 + GRACE)
    assert signals(schedule) == [(1, True)] and schedule.deadline() is None
    schedule.ended(1, False, 34)
    counts = schedule.counts["up"]
    assert (counts.run, counts.failed, counts.timed_out, counts.running) == (1, 1, 1, 0)


def test_a_script_that_was_late_runs_one_at_a_time_until_one_ends_in_time():
    schedule = Schedule(8, 30)
    for number in range(12):
        schedule.add(number, number, "up", 0)
    schedule.outputs()
    schedule.timeout_at(30)
    schedule.outputs()
    for number in range(6):
        schedule.ended(number, False, 31)
    assert started(schedule) == [6]
    schedule.add(20, 20, "down", 31)
    assert started(schedule) == [20]
    schedule.ended(6, True, 32)
    assert started(schedule) == [7, 8, 9, 10, 11]


def test_a_script_that_runs_already_holds_back_its_instance():
    schedule = Schedule(8, 30)
    schedule.add_running(1, "a", "up", 5)
    schedule.add(2, "a", "down", 5)
    assert started(schedule) == [] and schedule.deadline() == 35
    schedule.ended(1, True, 6)
    assert started(schedule) == [2]


@pytest.mark.parametrize("seed", range(5))
def test_in_any_order_of_ends_all_run_once_and_in_the_order_of_their_instance(seed):
    chance = random.Random(seed)
    schedule = Schedule(chance.randint(1, 9), 10)
    scripts = ("created", "up", "down", "deleted")
    waiting = {key: list(scripts) for key in range(40)}
    ran = {key: [] for key in waiting}
    jobs, running, now, number = {}, set(), 0.0, 0
    while waiting or running:
        if waiting and (not running or chance.random() < 0.5):
            key = chance.choice(list(waiting))
            number += 1
            jobs[number] = (key, waiting[key].pop(0))
            if not waiting[key]:
                del waiting[key]
            schedule.add(number, key, jobs[number][1], now)
        else:
            now += chance.choice((0.1, 20))
            schedule.timeout_at(now)
            ending = chance.choice(sorted(running))
            running.discard(ending)
            schedule.ended(ending, chance.random() < 0.8, now)
        for job in started(schedule):
            key, script = jobs[job]
            assert key not in {jobs[one][0] for one in running}
            running.add(job)
            ran[key].append(script)
        assert len(running) == schedule.running <= schedule.most
    assert all(found == list(scripts) for found in ran.values()) and len(schedule) == 0
    counts = schedule.counts.values()
    assert sum(one.run for one in counts) == 160
    assert all(one.running == one.waiting == 0 for one in counts)
