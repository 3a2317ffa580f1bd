"""The run log in Redis, for several processes: the owner's memory first, Redis behind it as a copy for all others.

log       the `RunLog` itself: which call is answered here, and which one by the store
writer    the owner's side: everything appended here goes out in batches, one call at a time
reader    the others' side: one subscription a process; mirror: one run of somebody else, and its followers
subscription   the connection on which a process hears of news
cache_limit    how much of other processes' runs is kept here
processes      the lease, orders between processes, and what becomes of the runs of a process that died
names          request keys, chats and questions
elsewhere      other processes' runs that nobody here follows
remote_watchers, callers       who watches a run in any process, and how many runs a caller has
uncertain_creates              runs whose creation was sent, and never answered
address, cluster, connection, scripts, keys, codec   how to talk to Redis, and what is in it
start_check, report            whether it can be used, and what `llmstream doctor` tells of it
"""
