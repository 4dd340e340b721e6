"""PPP (RFC 1661 and its family): the automaton, LCP, authentication and network control protocols. Pure."""
