"""The store itself: its addresses, Sentinels and Cluster, the connections, the scripts, and what is in it."""
