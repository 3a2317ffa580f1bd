"""The dialect of this server's own clients: typed events, or plain text, as server-sent events."""
