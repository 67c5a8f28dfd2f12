-- Commits one folded batch of a shard, if the shard still is where its owner last saw it.
-- KEYS[1] string checkpoint; the fencing token of commits. KEYS[2] string folded options (JSON)
-- KEYS[3] zset   timers: member `kind:sessionId:userId`, score due time (epoch ms)
-- KEYS[4] hash   outbox: notification key -> job (JSON)
-- KEYS[5] zset   snapshots: session id, score when it was created or last written beside the log (epoch ms)
-- KEYS[6..]      for each session two keys: string state (JSON), hash transcript (position -> event JSON)
-- ARGV[1] expected checkpoint ('' when there is none), ARGV[2] new checkpoint, which ends with the batch id
-- ARGV[3] options ('' leaves them), ARGV[4] number of sessions; for each: state ('' deletes the session and its
-- transcript) and a list of positions and events; then six lists: timers that are set (score, member) and removed (member),
-- outbox entries set (key, job) and removed (key), snapshots as timers. A list is led by the number of its values.
-- Returns 'saved' (also when this very batch is saved already) or 'conflict'. Every write is absolute: a repeat is harmless.
local stored = redis.call('GET', KEYS[1]) or ''
if stored == ARGV[2] then return 'saved' end
if stored ~= ARGV[1] then return 'conflict' end
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3]) end
local at = 5
-- One call for a whole list: each has its price, and its entry in the append-only file. Lua's stack takes a few thousand.
local function callWithList(command, key)
  local last = at + tonumber(ARGV[at])
  for from = at + 1, last, 1000 do redis.call(command, key, unpack(ARGV, from, math.min(from + 999, last))) end
  at = last + 1
end
for s = 1, tonumber(ARGV[4]) do
  local sessionKey, transcriptKey = KEYS[4 + 2 * s], KEYS[5 + 2 * s]
  local state = ARGV[at]
  at = at + 1
  if state == '' then redis.call('UNLINK', sessionKey, transcriptKey) else redis.call('SET', sessionKey, state) end
  callWithList('HSET', transcriptKey)
end
callWithList('ZADD', KEYS[3])
callWithList('ZREM', KEYS[3])
callWithList('HSET', KEYS[4])
callWithList('HDEL', KEYS[4])
callWithList('ZADD', KEYS[5])
callWithList('ZREM', KEYS[5])
redis.call('SET', KEYS[1], ARGV[2])
return 'saved'
