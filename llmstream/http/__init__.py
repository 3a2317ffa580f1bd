"""What every endpoint stands on: doors, guarded routes, a run as a stream."""
