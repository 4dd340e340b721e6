"""Links by their user."""

from __future__ import annotations

from prol2tp.daemons.propppd.directory import Directory


class Link:
    def __init__(self, user):
        self.user = user


def test_links_of_a_user_are_found_until_they_end_and_nothing_stays():
    directory = Directory()
    one, two, other = Link("u1"), Link("u1"), Link("u2")
    for link in (one, two, other, Link("")):
        directory.link_admitted(link)
    assert directory.find("u1") == [one, two] and directory.find("u2") == [other] and directory.find("") == []
    two.user = "u2"  # LCP was negotiated anew, and another user came
    directory.link_admitted(two)
    directory.link_admitted(two)
    assert directory.find("u1") == [one] and directory.find("u2") == [other, two]
    for link in (one, two, other, one):
        directory.link_ended(link)
    assert not directory.find("u1") and not directory._of_user and not directory._user_of
