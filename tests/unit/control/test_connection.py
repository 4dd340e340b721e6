"""One connection of the control channel: questions, answers, bad boxes, bounds."""

import random

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher

from prol2tp.control.blocking import write_box
from prol2tp.control.command import Argument, Command, Gone, Internal, Invalid, NotFound, Refused, Unknown, table
from prol2tp.control.connection import MAX_OPEN, MAX_UNSENT, Connection, Responders

COMMANDS = table(
    (
        Command("Echo", (Argument("text", "text"), Argument("data", "json", True)), (Argument("text", "text"),), "."),
        Command("Later", (), (Argument("number", "integer"),), "."),
        Command("Fail", (Argument("how", "text"),), (), "."),
        Command("Empty", (), (), "."),
    )
)


class Transport(StringTransport):
    aborted = False

    def abortConnection(self):
        self.aborted = True


class Side:
    """A connection on a transport that keeps what is written."""

    def __init__(self):
        self.waiting = []
        self.connection = Connection(
            Responders(
                COMMANDS,
                {
                    "Echo": lambda connection, text, data: {"text": text},
                    "Later": self.later,
                    "Fail": self.fail,
                    "Empty": lambda connection: None,
                },
            ),
            COMMANDS,
        )
        self.transport = Transport()
        self.connection.makeConnection(self.transport)

    def later(self, connection):
        answer = Deferred()
        self.waiting.append(answer)
        return answer

    def fail(self, connection, how):
        if how == "key":
            raise KeyError("sess\nion")
        if how == "response":
            return {"unexpected": 1}
        if how == "recursion":
            return self.fail(connection, how)
        raise {"refused": Refused, "notfound": NotFound, "invalid": Invalid}[how](f"because {how}")

    def ask(self, command, tag=b"1", **values):
        self.receive({b"_command": command.encode(), b"_ask": tag, **{k.encode(): v for k, v in values.items()}})

    def receive(self, box):
        self.connection.dataReceived(write_box(box))

    def boxes(self):
        data, found = self.transport.value(), []
        self.transport.clear()
        box, strings = {}, []
        while data:
            size = int.from_bytes(data[:2], "big")
            string, data = data[2 : 2 + size], data[2 + size :]
            if not size and len(strings) % 2 == 0:
                box = dict(zip(strings[::2], strings[1::2], strict=True))
                found.append(box)
                strings = []
            else:
                strings.append(string)
        return found


@pytest.fixture
def side():
    return Side()


@pytest.fixture
def lines():
    found = []
    globalLogPublisher.addObserver(found.append)
    yield found
    globalLogPublisher.removeObserver(found.append)


def test_a_question_is_answered_with_its_tag(side):
    side.ask("Echo", b"x1", text=b"hello")
    assert side.boxes() == [{b"_answer": b"x1", b"text": b"hello"}]


def test_a_question_without_a_tag_gets_no_answer_and_no_error(side):
    side.receive({b"_command": b"Echo", b"text": b"hello"})
    side.receive({b"_command": b"Fail", b"how": b"refused"})
    assert side.boxes() == [] and not side.transport.aborted


@pytest.mark.parametrize(
    ("how", "code"), [("refused", b"REFUSED"), ("notfound", b"NOT_FOUND"), ("invalid", b"INVALID")]
)
def test_an_error_of_a_responder_goes_to_the_asker(side, lines, how, code):
    side.ask("Fail", how=how.encode())
    assert side.boxes() == [{b"_error": b"1", b"_error_code": code, b"_error_description": b"because " + how.encode()}]
    assert not lines


@pytest.mark.parametrize("how", ["key", "response", "recursion"])
def test_a_fault_in_a_responder_is_one_log_line_and_an_internal_error(side, lines, how):
    side.ask("Fail", how=how.encode())
    (box,) = side.boxes()
    assert box[b"_error_code"] == b"INTERNAL" and len(lines) == 1
    assert "\n" not in lines[0]["text"] and lines[0]["command"] == "Fail"
    side.ask("Echo", text=b"still here")
    assert side.boxes()[0][b"text"] == b"still here"


def test_a_deferred_that_fails_is_one_log_line_and_an_internal_error(side, lines):
    side.ask("Later")
    side.waiting[0].errback(ZeroDivisionError("x"))
    assert side.boxes()[0][b"_error_code"] == b"INTERNAL" and len(lines) == 1
    side.ask("Later")
    side.waiting[1].callback({"number": "no number"})
    assert side.boxes()[0][b"_error_code"] == b"INTERNAL"


def test_a_command_that_we_do_not_have_is_unhandled(side):
    side.ask("Wh\u00e4t")
    assert side.boxes()[0][b"_error_code"] == b"UNHANDLED" and not side.transport.aborted


def test_bad_arguments_are_invalid_and_cost_nothing_else(side):
    side.ask("Echo", text=b"\xff")
    side.ask("Echo")
    side.ask("Echo", text=b"a", data=b"[" * 50000)
    assert [box[b"_error_code"] for box in side.boxes()] == [b"INVALID"] * 3 and not side.transport.aborted


def test_answers_may_come_in_another_order(side):
    side.ask("Later", b"1")
    side.ask("Later", b"2")
    side.waiting[1].callback({"number": 2})
    side.waiting[0].callback({"number": 1})
    assert [box[b"_answer"] for box in side.boxes()] == [b"2", b"1"]


def test_an_answer_after_the_connection_is_lost_goes_nowhere(side):
    side.ask("Later")
    lose(side)
    side.waiting[0].callback({"number": 1})
    assert side.boxes() == []


def lose(side):
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    side.connection.connectionLost(Failure(ConnectionDone()))


def result_of(deferred):
    found = []
    deferred.addBoth(found.append)
    return found[0] if found else None


def test_what_we_ask_is_answered(side):
    answer = side.connection.call("Echo", text="x", data=[1])
    assert side.boxes() == [{b"_command": b"Echo", b"_ask": b"1", b"text": b"x", b"data": b"[1]"}]
    side.receive({b"_answer": b"1", b"text": b"y"})
    assert result_of(answer) == {"text": "y"}


def test_what_we_ask_fails_with_the_other_sides_error(side):
    answer = side.connection.call("Empty")
    side.receive({b"_error": b"1", b"_error_code": b"NOT_FOUND", b"_error_description": b"no\nsuch"})
    failure = result_of(answer)
    assert failure.check(NotFound) and failure.value.text == "no such"


def test_a_bad_answer_fails_the_question_and_keeps_the_connection(side):
    answer = side.connection.call("Later")
    side.receive({b"_answer": b"1", b"number": b"x"})
    assert result_of(answer).check(Internal) and not side.transport.aborted


def test_questions_fail_when_the_connection_is_lost(side):
    lost = []
    side.connection.on_lost.append(lambda connection: 1 / 0)
    side.connection.on_lost.append(lost.append)
    first = side.connection.call("Empty")
    lose(side)
    assert result_of(first).check(Gone) and lost == [side.connection]
    assert result_of(side.connection.call("Empty")).check(Gone)


def test_a_question_that_cannot_be_sent_fails_at_once(side):
    assert result_of(side.connection.call("Echo")).check(Invalid)
    assert result_of(side.connection.call("Echo", text=1)).check(Invalid)
    assert result_of(side.connection.call("Nothing")).check(Unknown)
    assert side.boxes() == []


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0",
        b"\x01\x00" + b"k" * 300,
        b"\xff\xff",
        write_box({b"a": b"b"}),
        write_box({b"_answer": b"77"}),
        write_box({b"_error": b"77"}),
        write_box({b"_error": b"77", b"_error_code": b"\xff"}),
        write_box({b"k%d" % number: b"" for number in range(100)}),
        write_box({b"k%d" % number: b"x" * 65535 for number in range(20)}),
        b"\0\1a\0\0" * 100,
    ],
    ids=range(10),
)
def test_a_bad_box_ends_its_connection_with_one_log_line(side, lines, data):
    side.connection.dataReceived(data)
    assert side.transport.aborted and len(lines) == 1
    side.ask("Echo", text=b"x")
    side.connection.dataReceived(data)
    assert side.boxes() == [] and len(lines) == 1


def test_boxes_may_come_in_any_pieces(side):
    data = write_box({b"_command": b"Echo", b"_ask": b"1", b"text": b"abc"}) * 3
    for size in (1, 2, 3, 7, 1000):
        for start in range(0, len(data), size):
            side.connection.dataReceived(data[start : start + size])
        assert len(side.boxes()) == 3


def test_nothing_more_is_read_while_many_questions_are_open(side):
    data = write_box({b"_command": b"Later", b"_ask": b"1"}) * 1000
    side.connection.dataReceived(data)
    assert len(side.waiting) == MAX_OPEN and side.transport.producerState == "paused"
    answered = 0
    while answered < len(side.waiting):
        side.waiting[answered].callback({"number": answered})
        answered += 1
        assert len(side.waiting) - answered <= MAX_OPEN
    assert answered == 1000 and len(side.boxes()) == 1000 and side.transport.producerState == "producing"


def test_an_answer_is_still_read_while_many_questions_wait_for_it(side):
    def asks_back(connection):
        return connection.call("Later")

    side.connection._responders = Responders(COMMANDS, {"Later": asks_back}).table
    side.connection.dataReceived(write_box({b"_command": b"Later", b"_ask": b"q"}) * 200)
    tags = [box[b"_ask"] for box in side.boxes()]
    assert len(tags) == 200
    for tag in tags:
        side.receive({b"_answer": tag, b"number": b"5"})
    assert side.boxes() == [{b"_answer": b"q", b"number": b"5"}] * 200


def test_nothing_more_is_answered_while_the_other_side_does_not_read(side):
    side.transport.producer.pauseProducing()
    side.ask("Echo", text=b"a")
    side.ask("Echo", text=b"b")
    assert side.transport.producerState == "paused" and side.boxes() == []
    side.transport.producer.resumeProducing()
    assert [box[b"text"] for box in side.boxes()] == [b"a", b"b"]


def test_answers_are_read_while_our_questions_fill_the_way(side):
    answers = []
    side.connection.call("Later").addCallback(answers.append)
    side.transport.producer.pauseProducing()
    side.receive({b"_answer": b"1", b"number": b"7"})
    assert answers == [{"number": 7}]
    side.ask("Echo", text=b"a")
    assert side.transport.producerState == "paused"


def test_who_is_asked_and_does_not_read_holds_bounded_memory(side):
    side.connection.call("Later")
    side.transport.producer.pauseProducing()
    for _ in range(200):
        side.ask("Echo", text=b"x" * 60_000)
    assert side.transport.producerState == "paused"
    assert MAX_UNSENT <= len(side.transport.value()) <= MAX_UNSENT + 100_000
    side.transport.producer.resumeProducing()
    assert sum(b"_answer" in box for box in side.boxes()) > 70


def test_a_responder_that_answers_another_question_does_not_mix_up_the_reading(side):
    side.connection._responders = Responders(
        COMMANDS,
        {
            "Later": side.later,
            "Echo": lambda connection, text, data: (
                [d.callback({"number": 0}) for d in side.waiting[:]] and side.waiting.clear() or {"text": text}
            ),
        },
    ).table
    questions = [write_box({b"_command": b"Later", b"_ask": b"l"})] * (MAX_OPEN - 1)
    data = b"".join(questions) + write_box({b"_command": b"Echo", b"_ask": b"e", b"text": b"x"})
    side.connection.dataReceived(data * 5)
    boxes = side.boxes()
    assert len(boxes) == 5 * MAX_OPEN and sum(box[b"_answer"] == b"e" for box in boxes) == 5


def test_a_passed_descriptor_is_closed(side, tmp_path):
    import os

    descriptor = os.open(tmp_path, os.O_RDONLY)
    side.connection.fileDescriptorReceived(descriptor)
    with pytest.raises(OSError):
        os.fstat(descriptor)


def mutated(chance, data):
    """A copy with some bytes changed, left out, doubled or put in."""
    data = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data)) if data else 0
        what = chance.randrange(5)
        if what == 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif what == 1:
            del data[at : at + chance.randrange(1, 20)]
        elif what == 2:
            data[at:at] = chance.randbytes(chance.randrange(1, 20))
        elif what == 3:
            data[at:at] = data[: chance.randrange(len(data) + 1)]
        else:
            data[at : at + 2] = chance.choice((b"\0\0", b"\xff\xff", b"\x00\xff", b"\x01\x00"))
    return bytes(data)


def test_100000_mutated_boxes_never_raise_and_hold_bounded_memory():
    chance = random.Random(2661)
    valid = [
        write_box({b"_command": b"Echo", b"_ask": b"1", b"text": b"abc", b"data": b'{"a":[1,2]}'}),
        write_box({b"_command": b"Later", b"_ask": b"2"}),
        write_box({b"_command": b"Empty"}),
        write_box({b"_command": b"Fail", b"_ask": b"3", b"how": b"refused"}),
        write_box({b"_answer": b"1", b"text": b"y"}),
        write_box({b"_error": b"1", b"_error_code": b"REFUSED", b"_error_description": b"no"}),
    ]
    side = Side()
    dropped = 0
    for _ in range(100_000):
        side.connection.dataReceived(mutated(chance, chance.choice(valid)))
        assert len(side.connection._unprocessed) < 1 << 18
        while side.waiting:
            side.waiting.pop().callback({"number": 1})
        side.transport.clear()
        # a mutated length can make the rest of a test's boxes one long value: begin anew now and then
        if side.transport.aborted or chance.random() < 0.2:
            dropped += side.transport.aborted
            side = Side()
    assert dropped > 10_000
