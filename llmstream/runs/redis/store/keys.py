"""The names of all keys in Redis. Nothing that a client sent becomes a name, but for run ids of a checked form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

from llmstream.runs.log import NewRun
from llmstream.settings import Settings

_RUN = re.compile(r"[0-9A-Za-z_-]{1,64}")
_LAYOUT = 1
# How long the end is known after its run is forgotten, in seconds, at least: longer than any process sleeps.
_TOMB_S = 3600


def is_run_id(run_id: str) -> bool:
    """True if a text has the form of a run's id; no other id is ever looked for."""
    return _RUN.fullmatch(run_id) is not None


class Keys:
    """Names below `prefix`, which is their hash tag: a call may name any of them together, also in a cluster.

    meta: a hash; its fields are c (caller), o (owner), n (id of the last entry, "0" before the first, and a "+" for
    each change of another field that its owner was not told), s (state: "" active, "end", "lost"), x (who asked it to
    end), r (the processes that follow it, a space before each).
    log: a stream of batches, their ids `<last>-<count>`. watchers: the processes with watchers. key: the run of a
    request key, and its fingerprint. question: what a run was asked, as `stored_question` says it; only as long as
    somebody may go on with its answer. node: there as long as a process lives, and the channel of what it is told.
    chat: the last run of a chat. callers: the active runs of a caller.
    """

    def __init__(self, prefix: str) -> None:
        self._base = f"{{{prefix}}}:{_LAYOUT}"
        self._runs = f"{self._base}:r:"
        # What the names of the processes begin with.
        self.nodes = f"{self._base}:n:"

    def of(self, run: NewRun) -> tuple[str, str, str, str, str]:
        """The keys of one run: meta, log, question, watchers, and its request's; meta once more where that has none."""
        meta = self.meta(run.id)
        key = meta if run.key is None else self.key(run.caller, run.key)
        return meta, self.log(run.id), self.question(run.id), self.watchers(run.id), key

    def meta(self, run_id: str) -> str:
        return f"{self._runs}{run_id}"

    def run_of(self, meta: bytes) -> str:
        """The id of a run whose meta this is."""
        return meta[len(self._runs) :].decode("ascii", "replace")

    def log(self, run_id: str) -> str:
        return f"{self.meta(run_id)}:e"

    def watchers(self, run_id: str) -> str:
        return f"{self.meta(run_id)}:w"

    def question(self, run_id: str) -> str:
        return f"{self.meta(run_id)}:q"

    def key(self, caller: str, key: str) -> str:
        return f"{self._base}:k:{_digest(caller, key)}"

    def node(self, node: str) -> str:
        return f"{self.nodes}{node}"

    def chat(self, caller: str, chat: str) -> str:
        return f"{self._base}:h:{_digest(caller, chat)}"

    def callers(self, caller: str) -> str:
        return f"{self._base}:a:{_digest(caller)}"


@dataclass(frozen=True, kw_only=True)
class Times:
    """The lifetimes of keys, in ms. ttl: of a run that goes on; replay: of its events after it; tomb: of its end."""

    ttl: int
    replay: int
    tomb: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The times that follow from the settings."""
        replay_s, run_s = settings.replay_s, settings.max_run_s
        seconds = (run_s + replay_s + 60, replay_s, replay_s + max(_TOMB_S, run_s))
        ttl, replay, tomb = (int(each * 1000) for each in seconds)
        return cls(ttl=ttl, replay=replay, tomb=tomb)


def _digest(*texts: str) -> str:
    """A digest of several texts; the same texts cut in other places give another one."""
    digest = blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(b"%d:%b" % (len(data), data))
    return digest.hexdigest()
