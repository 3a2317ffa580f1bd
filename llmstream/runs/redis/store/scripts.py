"""The steps that must be one, as Lua scripts. Each may run again after its answer was lost: it then changes nothing.

Safety rests on three facts that Redis itself holds: a run has one owner for life; `n` is the id of the last entry
stored, with a mark for whatever else of the run its owner has not seen yet; and the ids of a stream only grow, so that
nothing is ever added after the end written for a dead owner. So an owner that finds `n` as it knows it knows all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any

from llmstream.runs.log import END_OF_LOST


@dataclass(frozen=True)
class Script:
    """A script, and the name under which Redis knows it."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", sha1(self.source.encode(), usedforsecurity=False).hexdigest())

    def call(self, keys: Sequence[str], *arguments: Any) -> tuple[Any, ...]:
        """The command that runs it."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


# News goes to the processes that follow, each over its one channel; `channels` is what the names of those begin with.
_TELL = """
local function tell(channels, followers, news)
  for each in string.gmatch(followers, '%S+') do redis.pcall('PUBLISH', channels .. each, 'n\\n' .. news) end
end
"""

# KEYS meta key log; ARGV run node caller fingerprint has_key ttl followers → "run" id | "conflict" | "taken"
CREATE = Script("""
local meta, key = KEYS[1], KEYS[2]
local run, node, ttl = ARGV[1], ARGV[2], ARGV[6]
if ARGV[5] == '1' then
  local known = redis.call('GET', key)
  if known then
    local other, fingerprint = string.match(known, '^(%S+) (.*)$')
    if other ~= run then
      if fingerprint ~= ARGV[4] then return {'conflict', ''} end
      return {'run', other}
    end
  end
end
local owner = redis.call('HGET', meta, 'o')
if owner then
  if owner == node then return {'run', run} end
  return {'taken', ''}
end
-- This comes first: a full store refuses it, and would take it behind a DEL.
redis.call('HSET', meta, 'n', '0', 'o', node, 's', '', 'r', ARGV[7], 'c', ARGV[3])
redis.call('DEL', KEYS[3])  -- what is left of a run of which the store lost the rest
redis.call('PEXPIRE', meta, ttl)
if ARGV[5] == '1' then redis.call('SET', key, run .. ' ' .. ARGV[4], 'PX', ttl) end
return {'run', run}
""")

# KEYS (meta log)*, for each entry; ARGV ttl channels (known id followers json)*
# known: `n` as the owner knows it. followers: the processes that are told, as `r` says it.
# → of each entry that was not added: {its number, error} | {its number, o, n, s, x, r}
APPEND = Script(
    _TELL
    + """
local ttl, channels, at = ARGV[1], ARGV[2], 3
local news, answers = {}, {}
for number = 1, #KEYS / 2 do
  local meta, log = KEYS[2 * number - 1], KEYS[2 * number]
  local known, id, followers, json, added = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], nil
  at = at + 4
  if redis.call('HGET', meta, 'n') == known then
    added = redis.pcall('XADD', log, 'NOMKSTREAM', id, 'e', json)
    if not added and string.byte(known) == 48 then  -- a 0: the first one
      added = redis.pcall('XADD', log, id, 'e', json)
      redis.call('PEXPIRE', log, ttl)
    elseif not added then  -- the events are gone, though not what is known of the run
      redis.call('HSET', meta, 'n', '0')
    end
  end
  if type(added) == 'string' then
    redis.call('HSET', meta, 'n', id)
    if followers ~= '' then
      local lines = news[followers] or {}
      news[followers] = lines
      lines[#lines + 1] = meta .. ' ' .. id .. ' ' .. (#json <= 20480 and json or '')
    end
  elseif added then answers[#answers + 1] = {number, added.err}
  else answers[#answers + 1] = {number, unpack(redis.call('HMGET', meta, 'o', 'n', 's', 'x', 'r'))} end
end
for followers, lines in pairs(news) do tell(channels, followers, table.concat(lines, '\\n')) end
return answers
"""
)

# KEYS (meta)* → for each {o, n, s, x, r}
STATES = Script("""
local found = {}
for number, meta in ipairs(KEYS) do found[number] = redis.call('HMGET', meta, 'o', 'n', 's', 'x', 'r') end
return found
""")

# KEYS meta log question watchers key, of which the last is meta where there is none; ARGV node ends last question ttl
# replay_ttl tomb_ttl channels → 1 | 0: `last` is not the number of its last event
# ends: 0: not yet, 1: and is whole, 2: and may be continued.
SETTLE = Script(
    _TELL
    + """
local meta, log, asked, watchers, key = unpack(KEYS)
local node, ends, last, question, ttl, replay_ttl, tomb_ttl, channels = unpack(ARGV)
local owner, n, state, followers = unpack(redis.call('HMGET', meta, 'o', 'n', 's', 'r'))
if owner ~= node or state == 'lost' or string.match(n, '^%d+') ~= last then return 0 end
if question ~= '' then
  local reply = redis.pcall('SET', asked, question, 'PX', ends == '0' and ttl or replay_ttl)
  if reply.err then return reply end
end
if ends ~= '0' and state == '' then
  redis.call('HSET', meta, 's', 'end')
  redis.call('PEXPIRE', log, replay_ttl)
  if key ~= meta then redis.call('PEXPIRE', key, replay_ttl) end
  redis.call('PEXPIRE', meta, tomb_ttl)
  redis.call('DEL', watchers)
  if ends == '1' then redis.call('DEL', asked) else redis.call('PEXPIRE', asked, replay_ttl) end
  tell(channels, followers, meta .. ' ' .. last .. '-0 ')
end
return 1
"""
)

# KEYS meta log watchers; ARGV node after followed watched count channels run
# → nil | {caller, owner, number of the last event, state, id of the first entry or "", entries as id, json …}
# Its writes may fail: reading works when Redis is full. Who begins to follow a run has its owner store at once what it
# holds back.
LOOK = Script("""
local meta, log, watchers = KEYS[1], KEYS[2], KEYS[3]
local m = redis.call('HMGET', meta, 'c', 'o', 'n', 's', 'r')
if not m[2] then return nil end
if m[4] == '' then
  if ARGV[3] == '1' and not string.find(m[5], ARGV[1], 1, true) then
    redis.pcall('HSET', meta, 'r', m[5] .. ' ' .. ARGV[1], 'n', m[3] .. '+')
    redis.pcall('PUBLISH', ARGV[6] .. m[2], 's ' .. ARGV[7])
  end
  if ARGV[4] == '1' then
    redis.pcall('SADD', watchers, ARGV[1])
    redis.pcall('PEXPIRE', watchers, redis.call('PTTL', meta))
  end
end
local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)
local entries, bytes = {}, 0
if tonumber(ARGV[5]) > 0 then
  local from = string.format('%d-0', tonumber(ARGV[2]) + 1)
  for _, entry in ipairs(redis.call('XRANGE', log, from, '+', 'COUNT', ARGV[5])) do
    if bytes > 131072 then break end
    local json = entry[2][2] or ''
    bytes = bytes + #json
    entries[#entries + 1] = entry[1]
    entries[#entries + 1] = json
  end
end
return {m[1], m[2], string.match(m[3], '^%d+'), m[4], first[1] and first[1][1] or '', entries}
""")

# KEYS (meta)*; ARGV node: it follows these runs no more.
UNFOLLOW = Script("""
for _, meta in ipairs(KEYS) do
  local n, followers = unpack(redis.call('HMGET', meta, 'n', 'r'))
  local from, to = string.find(followers or '', ' ' .. ARGV[1], 1, true)
  if from then
    local others = string.sub(followers, 1, from - 1) .. string.sub(followers, to + 1)
    redis.call('HSET', meta, 'r', others, 'n', n .. '+')
  end
end
""")

# KEYS meta; ARGV "<by> <nonce>" → nil | 0: it had ended or was asked before | its owner
ASK = Script("""
local m = redis.call('HMGET', KEYS[1], 'o', 's', 'x', 'n')
if not m[1] then return nil end
if m[2] ~= '' or (m[3] and m[3] ~= ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'x', ARGV[1], 'n', m[4] .. '+')
return m[1]
""")

# KEYS meta log watchers question; ARGV owner n_seen json replay_ttl tomb_ttl channels
# → 1 | 0: it moves, so its owner lives
REAP = Script(
    _TELL
    + f"""
local meta, log = KEYS[1], KEYS[2]
local m = redis.call('HMGET', meta, 'o', 'n', 's', 'r')
local function number(n) return string.match(n or '', '^%d+') end
if m[1] ~= ARGV[1] or number(m[2]) ~= number(ARGV[2]) or m[3] ~= '' then return 0 end
redis.call('XADD', log, '{END_OF_LOST}-1', 'e', ARGV[3])
redis.call('HSET', meta, 'n', '{END_OF_LOST}-1', 's', 'lost')
redis.call('PEXPIRE', log, ARGV[4])
redis.call('PEXPIRE', meta, ARGV[5])
redis.call('DEL', KEYS[3])
redis.call('PEXPIRE', KEYS[4], ARGV[4])
tell(ARGV[6], m[4], meta .. ' {END_OF_LOST}-1 ' .. ARGV[3])
return 1
"""
)

# KEYS meta key; ARGV node run channels → 1 | 0. Takes back a run whose creation was not answered.
UNDO = Script(
    _TELL
    + f"""
local m = redis.call('HMGET', KEYS[1], 'o', 'n', 'r')
if m[1] ~= ARGV[1] or string.match(m[2], '^%d+') ~= '0' then return 0 end
redis.call('DEL', KEYS[1])
local known = redis.call('GET', KEYS[2])
if known and string.match(known, '^%S+') == ARGV[2] then redis.call('DEL', KEYS[2]) end
tell(ARGV[3], m[3], KEYS[1] .. ' {END_OF_LOST}-0 ')  -- who follows it looks again
return 1
"""
)

# KEYS chat; ARGV cut run ttl note? → its note | nil: another run is the last one. note: where nobody knows the chat
SUCCEED = Script("""
local last, note = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (.*)$')
if last ~= ARGV[2] and last ~= ARGV[1] and (last or not ARGV[4]) then return false end
if last ~= ARGV[2] then note = ARGV[4] or note end
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. note, 'PX', ARGV[3])
return note
""")

# KEYS callers; ARGV run limit ttl → {} where it may begin, else the active runs
ADMIT = Script("""
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if redis.call('SCARD', KEYS[1]) <= tonumber(ARGV[2]) then return {} end
redis.call('SREM', KEYS[1], ARGV[1])
return redis.call('SMEMBERS', KEYS[1])
""")

# KEYS (watchers)* → for each, the processes in it
WATCHED = Script("""
local found = {}
for number, watchers in ipairs(KEYS) do found[number] = redis.call('SMEMBERS', watchers) end
return found
""")

SCRIPTS = (CREATE, APPEND, STATES, SETTLE, LOOK, UNFOLLOW, ASK, REAP, UNDO, SUCCEED, ADMIT, WATCHED)
