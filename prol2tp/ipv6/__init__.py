"""IPv6 for a subscriber beyond IPv6CP: router advertisements and DHCPv6 on one point-to-point link. Pure: packets,
`now` and leases in; packets and what became of the leases out.
"""
