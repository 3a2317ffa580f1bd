"""The run log in Redis, for several processes: the owner's memory first, Redis behind it as a copy for all others.

log             the `RunLog` itself: which call is answered here, and which one by the store
own             the owner's side: everything appended here goes out in batches, one call at a time
others          the others' side: one subscription a process, a mirror of each run that is followed here
unfollowed      other processes' runs that nobody here follows
processes       the lease, orders between processes, and what becomes of the runs of a process that died
run_index       the run of a request key, or the last one of a chat; the question of a run
remote_watchers, callers   who watches a run in any process, and how many runs a caller has
store           how to talk to Redis, and what is in it
"""
