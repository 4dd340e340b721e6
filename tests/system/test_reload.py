"""A reload of a configuration with many tunnels, on whole daemons at both ends."""

from __future__ import annotations

import pytest

from tests.daemons import BIN, Suite
from tests.netns import World, wait_until

pytestmark = pytest.mark.root

LAC, LNS = "10.99.0.2", "10.99.0.1"
COUNT = 100


def server(secrets: list[str]) -> str:
    profiles = "".join(f'tunnel profile "p{number}" {{ peer {LAC}; peer_hostname "h{number}"; secret "{secret}" }}\n'
                       for number, secret in enumerate(secrets))  # fmt: skip
    return f'system {{ hostname "lns"; listen {LNS}:1701 }}\n{profiles}'


def client(secrets: list[str]) -> str:
    tunnels = "".join(f'tunnel "t{number}" {{ peer {LNS}; hostname "h{number}"; secret "{secret}"; retry_timeout 1 }}\n'
                      for number, secret in enumerate(secrets))  # fmt: skip
    return f'system {{ hostname "lac"; tunnel_persist_pend_timeout 2 }}\n{tunnels}'


def lives(suite: Suite) -> dict[str, int]:
    """Our ids of the tunnels that are up, by name: another life has another."""
    return {row["name"]: row["tunnel_id"] for row in suite.tunnels() if row["state"] == "ESTABLISHED"}


def accepted(suite: Suite) -> set[int]:
    return {row["tunnel_id"] for row in suite.tunnels() if row["state"] == "ESTABLISHED"}


def test_of_a_hundred_tunnels_the_one_whose_secret_changed_is_named_and_drops_alone():
    with World() as world:
        lac, lns = world.namespace("lac"), world.namespace("lns")
        world.cable(lac, lns, [f"{LAC}/24"], [f"{LNS}/24"])
        secrets = [f"secret-{number}" for number in range(COUNT)]
        theirs = Suite(lns, server(secrets))
        ours = Suite(lac, client(secrets))
        before = wait_until(lambda: len(found := lives(ours)) == COUNT and found, 60, "all tunnels are up")

        peers_before = accepted(theirs)

        # a file with a fault changes nothing, and says where it is
        ours.configure("prol2tpd", client([*secrets[:42], "another", *secrets[43:]])
                       + 'tunnel "broken" { secret "hidden" }\n')
        refused = lac.run(BIN / "prol2tp", "--run-dir", ours.run_dir, "reload", check=False)
        assert refused.returncode == 1 and "prol2tpd.conf:102:1: tunnel \"broken\" has no peer" in refused.stderr
        assert lives(ours) == before

        changed = [*secrets[:42], "another", *secrets[43:]]
        theirs.configure("prol2tpd", server(changed))
        told = theirs.tool("prol2tp", "reload", "--dry-run")
        assert 'tunnel profile "p42"' in told and "ENDS" not in told
        theirs.tool("prol2tp", "reload")
        ours.configure("prol2tpd", client(changed))
        told, number = ours.tool("prol2tp", "reload", "--dry-run"), before["t42"]
        assert told.splitlines() == [
            'ENDS        tunnel "t42" changed (secret): secret cannot change while it is up: it is opened again',
            f'            tunnel {number} "t42" ends',
            "changes: 1, that end something: 1",
        ]
        assert "another" not in told and lives(ours) == before
        ours.tool("prol2tp", "reload")
        after = wait_until(lambda: len(found := lives(ours)) == COUNT and found["t42"] != before["t42"] and found, 30,
                           "the tunnel is up again, with its new secret")
        assert {name: life for name, life in after.items() if name != "t42"} \
            == {name: life for name, life in before.items() if name != "t42"}
        [ended] = ours.json("prol2tp", "show", "history")
        assert (ended["name"], ended["tunnel_id"]) == ("t42", before["t42"])
        assert len(accepted(theirs) & peers_before) == COUNT - 1
