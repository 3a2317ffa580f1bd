"""Wire protocols: from the events of a run to the bytes of one dialect; no I/O, no framework."""
