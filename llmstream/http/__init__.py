"""The base of every endpoint: doors, guarded routes, a run as a stream."""
