"""Which script runs now: one at a time for each instance, in order; few at once in all; a bad one costs only itself.

Pure: jobs are numbers, `now` is an argument. A job is known from `add` to `ended`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from heapq import heappop, heappush

GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL for a script that is late."""


@dataclass(slots=True)
class Start:
    """Run the script of this job."""

    job: int
    script: str


@dataclass(slots=True)
class Signal:
    """Tell the process group of this job to end. `kill`: it did not do so in time."""

    job: int
    kill: bool


Output = Start | Signal


@dataclass(slots=True)
class Counts:
    """Of one script, since the start."""

    run: int = 0
    """Ended, whatever became of it."""
    failed: int = 0
    """Of these: status not 0, or it could not be started."""
    timed_out: int = 0
    """Of these: too late, and ended by force."""
    waiting: int = 0
    running: int = 0
    suspect: bool = False
    """The last one that ended was too late: one at a time, until one ends in time."""


class _Job:
    __slots__ = ("number", "key", "script", "due", "late")

    def __init__(self, number: int, key: Hashable, script: str) -> None:
        self.number = number
        self.key = key
        self.script = script
        self.due: float | None = None
        self.late = False


class Schedule:
    """See the module.

    :param most: scripts that run at once. One script alone gets three quarters of that at most.
    :param timeout: seconds that a script may take.
    """

    def __init__(self, most: int, timeout: float) -> None:
        self.most = most
        self.timeout = timeout
        self.counts: dict[str, Counts] = {}
        self._jobs: dict[int, _Job] = {}
        self._queues: dict[Hashable, deque[_Job]] = {}
        self._ready: dict[str, list[int]] = {}
        self._running = 0
        self._due: list[tuple[float, int]] = []
        self._outputs: list[Output] = []

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def running(self) -> int:
        return self._running

    def outputs(self) -> list[Output]:
        """What is to be done, in order; to be drained after every call."""
        found, self._outputs = self._outputs, []
        return found

    def deadline(self) -> float | None:
        """When to call `timeout_at`."""
        while self._due:
            when, number = self._due[0]
            job = self._jobs.get(number)
            if job is not None and job.due == when:
                return when
            heappop(self._due)
        return None

    def add(self, number: int, key: Hashable, script: str, now: float) -> None:
        """A job; numbers grow."""
        job = self._enqueue(number, key, script)
        if self._queues[job.key][0] is job:
            heappush(self._ready.setdefault(script, []), number)
            self._start(now)

    def add_running(self, number: int, key: Hashable, script: str, now: float) -> None:
        """A job whose script runs already, as the first of its instance."""
        job = self._enqueue(number, key, script)
        self._begun(job, now)

    def _enqueue(self, number: int, key: Hashable, script: str) -> _Job:
        job = self._jobs[number] = _Job(number, key, script)
        self._queues.setdefault(key, deque()).append(job)
        self.count(script).waiting += 1
        return job

    def count(self, script: str) -> Counts:
        counts = self.counts.get(script)
        if counts is None:
            counts = self.counts[script] = Counts()
        return counts

    def script(self, number: int) -> str:
        """Of a job."""
        return self._jobs[number].script

    def late(self, number: int) -> bool:
        """Whether a running job has been told to end."""
        return self._jobs[number].late

    def ended(self, number: int, ok: bool, now: float) -> None:
        """The script of a running job is over."""
        job = self._jobs.pop(number)
        counts = self.counts[job.script]
        self._running -= 1
        counts.running -= 1
        counts.run += 1
        counts.failed += not ok
        counts.timed_out += job.late
        counts.suspect = job.late
        queue = self._queues[job.key]
        queue.popleft()
        if queue:
            heappush(self._ready.setdefault(queue[0].script, []), queue[0].number)
        else:
            del self._queues[job.key]
        self._start(now)

    def timeout_at(self, now: float) -> None:
        """The deadline has come."""
        while (when := self.deadline()) is not None and when <= now:
            _, number = heappop(self._due)
            job = self._jobs[number]
            self._outputs.append(Signal(number, job.late))
            job.due = None
            if not job.late:
                job.late = True
                self.counts[job.script].suspect = True
                job.due = now + GRACE
                heappush(self._due, (job.due, number))

    def _limit(self, counts: Counts) -> int:
        return 1 if counts.suspect else max(1, self.most * 3 // 4)

    def _start(self, now: float) -> None:
        while self._running < self.most:
            best: list[int] | None = None
            for script, ready in self._ready.items():
                counts = self.counts[script]
                if ready and counts.running < self._limit(counts) and (best is None or ready[0] < best[0]):
                    best = ready
            if best is None:
                return
            job = self._jobs[heappop(best)]
            self._begun(job, now)
            self._outputs.append(Start(job.number, job.script))

    def _begun(self, job: _Job, now: float) -> None:
        counts = self.counts[job.script]
        counts.waiting -= 1
        counts.running += 1
        self._running += 1
        job.due = now + self.timeout
        heappush(self._due, (job.due, job.number))
