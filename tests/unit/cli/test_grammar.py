"""Words to meaning: abbreviation, errors, completion, help."""

import pytest

from prol2tp.cli import prol2tp, propppctl
from prol2tp.cli.grammar import Form, Grammar, UsageError, Word

G = prol2tp.GRAMMAR

FIRST = "show, create, destroy, set, trace, reload, top, shell, completion, complete, help"


@pytest.mark.parametrize(
    ("line", "action", "values"),
    [
        ("show system", "show_system", {}),
        ("show tunnels", "show_tunnels", {}),
        ("show tunnel id 7", "show_tunnel", {"tunnel_id": 7}),
        ("show tunnel name 7", "show_tunnel", {"tunnel_name": "7"}),
        ("show sessions", "show_sessions", {}),
        ("show sessions in tunnel id 7", "show_sessions", {"tunnel_id": 7}),
        ("show sessions in tunnel name x", "show_sessions", {"tunnel_name": "x"}),
        ("show session id 1 in tunnel id 2", "show_session", {"session_id": 1, "tunnel_id": 2}),
        ("show session id 1 in tunnel name x", "show_session", {"session_id": 1, "tunnel_name": "x"}),
        ("show session name u in tunnel name x", "show_session", {"session_name": "u", "tunnel_name": "x"}),
        ("create tunnel name x peer 192.0.2.1", "create_tunnel", {"name": "x", "peer": "192.0.2.1"}),
        (
            "create tunnel name peer peer peer secret secret",
            "create_tunnel",
            {"name": "peer", "peer": "peer", "parameters": {"secret": "secret"}},
        ),
        (
            "create tunnel name x peer y a 1 b 2 a 3",
            "create_tunnel",
            {"name": "x", "peer": "y", "parameters": {"a": "3", "b": "2"}},
        ),
        (
            "create session name u in tunnel id 2 user_name me",
            "create_session",
            {"name": "u", "tunnel_id": 2, "parameters": {"user_name": "me"}},
        ),
        ("destroy tunnel id 7", "destroy_tunnel", {"tunnel_id": 7}),
        ("destroy session id 1 in tunnel id 2", "destroy_session", {"session_id": 1, "tunnel_id": 2}),
        ("set log-level debug", "set_log_level", {"level": "debug"}),
        ("set log-level debug tunnel id 7", "set_log_level", {"level": "debug", "tunnel_id": 7}),
        (
            "set log-level debug session name u in tunnel id 7",
            "set_log_level",
            {"level": "debug", "session_name": "u", "tunnel_id": 7},
        ),
        ("reload", "reload", {}),
        ("shell", "shell", {}),
        ("help show tunnel", "help", {"words": ["show", "tunnel"]}),
        # abbreviated
        ("sh sy", "show_system", {}),
        ("sho tunnel i 7", "show_tunnel", {"tunnel_id": 7}),
        ("sho tunnels", "show_tunnels", {}),
        ("show ses id 1 in tun id 2", "show_session", {"session_id": 1, "tunnel_id": 2}),
        ("show ses", "show_sessions", {}),
        ("show tun", "show_tunnels", {}),
        ("set log-level not", "set_log_level", {"level": "notice"}),
        ("r", "reload", {}),
    ],
)
def test_lines_mean_what_they_say(line, action, values):
    assert G.match(line.split()) == (action, values)


def test_stats_is_a_flag():
    assert G.match(["show", "session", "id", "1", "in", "tunnel", "id", "2", "stats"]).values["stats"] is True
    assert "stats" not in G.match(["show", "session", "id", "1", "in", "tunnel", "id", "2"]).values


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", f"what to do? valid: {FIRST}"),
        ("shw", f"'shw' is not valid; did you mean 'show'? valid: {FIRST}"),
        ("show", "more is wanted after 'show': system, tunnels, tunnel, sessions, session, history, scripts"),
        ("show all", "'all' is not valid after 'show'; valid: "
                     "system, tunnels, tunnel, sessions, session, history, scripts"),
        ("show s", "'show s' is ambiguous: show system; show sessions"),
        ("show tunnel", "more is wanted after 'show tunnel': id, name"),
        ("show tunnel id", "more is wanted after 'show tunnel id': TUNNEL_ID"),
        ("show tunnel id x", "'x' is not valid after 'show tunnel id'; valid: TUNNEL_ID"),
        ("show tunnel id 7 8", "'8' is too much after 'show tunnel id 7'"),
        ("show session id 1", "more is wanted after 'show session id 1': in"),
        (
            "set log-level loud",
            "'loud' is not valid after 'set log-level'; valid: critical, error, warning, notice, info, debug",
        ),
        ("create tunnel name x peer y secret", "more is wanted after 'create tunnel name x peer y secret': VALUE"),
    ],
)
def test_errors_are_one_line_with_the_valid_words(line, error):
    with pytest.raises(UsageError) as caught:
        G.match(line.split())
    found = str(caught.value)
    assert "\n" not in found
    if "ambiguous" in error:
        assert found.startswith("'show s' is ambiguous: show system; show sessions")
    else:
        head, _, words = error.rpartition(": ")
        assert found.rpartition(": ")[0] == head and sorted(found.rpartition(": ")[2].split(", ")) == sorted(
            words.split(", ")
        )


@pytest.mark.parametrize("grammar", [prol2tp.GRAMMAR, propppctl.GRAMMAR])
def test_every_form_has_an_action_and_every_argument_a_use(grammar):
    module = prol2tp if grammar is prol2tp.GRAMMAR else propppctl
    assert {form.action for form in grammar.forms} == set(module.ACTIONS)
    used = " ".join(form.syntax for form in grammar.forms)
    assert all(name in used for name in grammar.words)


@pytest.mark.parametrize(
    ("words", "text", "found"),
    [
        ("", "", set(FIRST.split(", "))),
        ("", "s", {"show", "set", "shell"}),
        ("show", "tun", {"tunnel", "tunnels"}),
        ("show tunnel id", "", {"27774", "1"}),
        ("show tunnel id", "2", {"27774"}),
        ("show session id 5 in tunnel id", "", {"27774", "1"}),
        ("set log-level", "e", {"error"}),
        ("set log-level error", "", {"tunnel", "session"}),
        ("show nothing", "", set()),
        ("show system", "", set()),
    ],
)
def test_completion_knows_words_and_values(words, text, found):
    def lookup(key, values):
        assert "5" not in values
        return {"tunnel_id": ["27774", "1"]}.get(key, [])

    assert set(G.complete(words.split(), text, lookup)) == found


def test_completion_gives_what_was_said_before_to_the_lookup():
    asked = []
    G.complete(
        ["show", "session", "id", "5", "in", "tunnel", "name"],
        "",
        lambda key, values: asked.append((key, values)) or [],
    )
    assert asked == [("tunnel_name", {"session_id": 5})]


def test_completion_of_everything_that_can_be_said_leads_to_a_match():
    """Walks the whole grammar by its own completion; every way ends in a form."""

    def known(key, values):
        return ["7"]

    ends = set()
    todo = [[]]
    while todo:
        words = todo.pop()
        try:
            ends.add(G.match(words).action)
        except UsageError:
            assert G.complete(words, "", known), words
        if len(words) < 9 and "help" not in words:
            todo += [[*words, word] for word in G.complete(words, "", known)]
    assert ends == set(prol2tp.ACTIONS)


@pytest.mark.parametrize("syntax", ["a ]", "a [b", "a {b | c", "a | b", "a UNKNOWN"])
def test_a_form_that_is_wrong_is_found_at_once(syntax):
    with pytest.raises(ValueError):
        Grammar([Form("x", syntax, "")], {"KNOWN": Word("k", "")})


def test_help_is_filtered_by_the_words():
    assert [line.strip() for line in G.usage(["destroy", "tun"])] == [
        "destroy tunnel {id TUNNEL_ID | name TUNNEL_NAME}",
        "Close a tunnel and all its sessions.",
    ]


def test_propppctl_lines():
    match = propppctl.GRAMMAR.match
    assert match(["list"]) == ("list", {}) and match(["list", "u"]) == ("list", {"filter": "up"})
    assert match(["show", "session-1"]) == ("show", {"name": "session-1"})
    assert match(["create", "pppol2tp", "mru", "1400"]) == ("create", {"arguments": ["pppol2tp", "mru", "1400"]})
    assert match(["set", "log-level", "debug", "session-1"]) == (
        "set_log_level",
        {"level": "debug", "name": "session-1"},
    )
