"""The steps that must be one, as Lua scripts. Each may run again after its answer was lost: it then changes nothing.

Safety rests on three facts that Redis itself holds: a run has one owner for life; `n` is the number of the last event
stored; and the ids of a stream only grow, so that nothing is ever added after the end written for a dead owner.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1

from llmstream.runs.log import END_OF_LOST


@dataclass(frozen=True)
class Script:
    """A script, and the name under which Redis knows it."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", sha1(self.source.encode(), usedforsecurity=False).hexdigest())


# KEYS meta key log; ARGV run node caller fingerprint has_key ttl followed → "run" id | "conflict" | "taken"
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
redis.call('HSET', meta, 'c', ARGV[3], 'o', node, 'n', '0', 's', '', 'r', ARGV[7])
redis.call('DEL', KEYS[3])  -- what is left of a run of which the store lost the rest
redis.call('PEXPIRE', meta, ttl)
if ARGV[5] == '1' then redis.call('SET', key, run .. ' ' .. ARGV[4], 'PX', ttl) end
return {'run', run}
""")

# KEYS (meta log, question where it is told or it ends, watchers and key where it ends)*
# ARGV node replay_ttl tomb_ttl ttl (ends last_of_all question count (last count json)*)*
# ends: 0: not yet, 1: and is whole, 2: and may be continued. last_of_all: the number of the last event of a run that
# has ended, without which it does not end here; else -1.
# → for each run: {"ok", n, asked, followed} | {"gap", n} | {"gone"} | {"fenced"} | {"error", text}
APPEND = Script("""
local at, key_at = 5, 1
local function take() at = at + 1; return ARGV[at - 1] end
local function take_key() key_at = key_at + 1; return KEYS[key_at - 1] end
local function failed(reply) return type(reply) == 'table' and reply.err end
local answers = {}
while key_at <= #KEYS do
  local meta, log = take_key(), take_key()
  local m = redis.call('HMGET', meta, 'o', 'n', 's', 'x', 'r')
  local ends, last_of_all, question, count = take(), tonumber(take()), take(), tonumber(take())
  local asked, watchers, key
  if question ~= '' or ends ~= '0' then asked = take_key() end
  if ends ~= '0' then watchers, key = take_key(), take_key() end
  local n, before = tonumber(m[2] or 0), tonumber(m[2] or 0)
  local answer
  if not m[1] then answer = {'gone'}
  elseif m[1] ~= ARGV[1] or m[3] == 'lost' then answer = {'fenced'} end
  for _ = 1, count do
    local last, size, json = take(), take(), take()
    if not answer and tonumber(last) > n then
      if last - size ~= n then answer = {'gap', n}
      else
        local id = last .. '-' .. size
        local reply = n == 0 and redis.pcall('XADD', log, id, 'e', json)
          or redis.pcall('XADD', log, 'NOMKSTREAM', id, 'e', json)
        if failed(reply) then answer = {'error', reply.err}
        elseif not reply then  -- the events are gone, though not what is known of the run
          n, answer = 0, {'gap', 0}
          redis.call('HSET', meta, 'n', '0')
        else
          n = tonumber(last)
          if m[5] == '1' then redis.pcall('PUBLISH', meta, id .. ' ' .. (#json <= 20480 and json or '')) end
        end
      end
    end
  end
  if n > before then
    redis.call('HSET', meta, 'n', string.format('%d', n))
    if before == 0 then redis.call('PEXPIRE', log, ARGV[4]) end
  end
  if question ~= '' and n > 0 and (not answer or answer[1] == 'gap') then
    local reply = redis.pcall('SET', asked, question, 'PX', ends == '0' and ARGV[4] or ARGV[2])
    if failed(reply) then answer = {'error', reply.err} end
  end
  if not answer then
    if ends ~= '0' and n == last_of_all and m[3] == '' then
      redis.call('HSET', meta, 's', 'end')
      redis.call('PEXPIRE', log, ARGV[2])
      if key ~= meta then redis.call('PEXPIRE', key, ARGV[2]) end
      redis.call('PEXPIRE', meta, ARGV[3])
      redis.call('DEL', watchers)
      if ends == '1' then redis.call('DEL', asked) else redis.call('PEXPIRE', asked, ARGV[2]) end
      if m[5] == '1' then redis.pcall('PUBLISH', meta, n .. '-0 ') end
    end
    answer = {'ok', n, m[4] or '', m[5]}
  end
  answers[#answers + 1] = answer
end
return answers
""")

# KEYS meta log watchers; ARGV node after followed watched count nodes run
# → nil | {caller, owner, n, state, id of the first entry or "", entries as id, json …}
# Its writes may fail: reading works when Redis is full. The first who follows a run has its owner store at once what it
# holds back; `nodes` is what the names of the processes' channels begin with.
LOOK = Script("""
local meta, log, watchers = KEYS[1], KEYS[2], KEYS[3]
local m = redis.call('HMGET', meta, 'c', 'o', 'n', 's', 'r')
if not m[2] then return nil end
if m[4] == '' then
  if ARGV[3] == '1' and m[5] ~= '1' then
    redis.pcall('HSET', meta, 'r', '1')
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
return {m[1], m[2], m[3], m[4], first[1] and first[1][1] or '', entries}
""")

# KEYS meta; ARGV "<by> <nonce>" → nil | 0: it had ended or was asked before | its owner
ASK = Script("""
local m = redis.call('HMGET', KEYS[1], 'o', 's', 'x')
if not m[1] then return nil end
if m[2] ~= '' or (m[3] and m[3] ~= ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'x', ARGV[1])
return m[1]
""")

# KEYS meta log watchers question; ARGV owner n_seen json replay_ttl tomb_ttl → 1 | 0: it moves, so its owner lives
REAP = Script(f"""
local meta, log = KEYS[1], KEYS[2]
local m = redis.call('HMGET', meta, 'o', 'n', 's')
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] or m[3] ~= '' then return 0 end
redis.call('XADD', log, '{END_OF_LOST}-1', 'e', ARGV[3])
redis.call('HSET', meta, 'n', '{END_OF_LOST}', 's', 'lost')
redis.call('PEXPIRE', log, ARGV[4])
redis.call('PEXPIRE', meta, ARGV[5])
redis.call('DEL', KEYS[3])
redis.call('PEXPIRE', KEYS[4], ARGV[4])
redis.pcall('PUBLISH', meta, '{END_OF_LOST}-1 ' .. ARGV[3])
return 1
""")

# KEYS meta key; ARGV node run → 1 | 0. Takes back a run whose creation was not answered.
UNDO = Script(f"""
local m = redis.call('HMGET', KEYS[1], 'o', 'n')
if m[1] ~= ARGV[1] or m[2] ~= '0' then return 0 end
redis.call('DEL', KEYS[1])
local known = redis.call('GET', KEYS[2])
if known and string.match(known, '^%S+') == ARGV[2] then redis.call('DEL', KEYS[2]) end
redis.pcall('PUBLISH', KEYS[1], '{END_OF_LOST}-0 ')  -- who follows it looks again
return 1
""")

# KEYS chat; ARGV cut run ttl → 1 | 0: another run is the last one
SUCCEED = Script("""
local last, note = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (.*)$')
if last == ARGV[2] then return 1 end
if last ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. note, 'PX', ARGV[3])
return 1
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

SCRIPTS = (CREATE, APPEND, LOOK, ASK, REAP, UNDO, SUCCEED, ADMIT, WATCHED)
