"""Words that every protocol uses: bounded readers, ids, sequence arithmetic, state machines. Pure."""
