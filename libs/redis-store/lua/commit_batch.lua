-- Commits one folded batch of a shard, if the shard still is where its owner last saw it.
-- KEYS[1] string  checkpoint; the fencing token of commits
-- KEYS[2] string  folded options (JSON)
-- KEYS[3] zset    timers: member `kind:sessionId:userId`, score due time (epoch ms)
-- KEYS[4] hash    outbox: notification key -> job (JSON)
-- KEYS[5..]       for each session two keys: string state (JSON), hash transcript (position -> event JSON)
-- ARGV[1] expected checkpoint ('' when there is none), ARGV[2] new checkpoint, which ends with the batch id
-- ARGV[3] options ('' leaves them), ARGV[4] number of sessions; for each: state ('' deletes the session and its
-- transcript), number of events, then position and event of each; then number of timers: member and score ('' removes);
-- number of outbox entries: key and job ('' removes)
-- Returns 'saved' (also when this very batch is saved already) or 'conflict'. Every write is absolute: a repeat is harmless.
local checkpointKey, optionsKey, timersKey, outboxKey = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local stored = redis.call('GET', checkpointKey) or ''
if stored == ARGV[2] then return 'saved' end
if stored ~= ARGV[1] then return 'conflict' end
if ARGV[3] ~= '' then redis.call('SET', optionsKey, ARGV[3]) end
local at = 5
for s = 1, tonumber(ARGV[4]) do
  local sessionKey, transcriptKey = KEYS[3 + 2 * s], KEYS[4 + 2 * s]
  local state, events = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  if state == '' then redis.call('UNLINK', sessionKey, transcriptKey) else redis.call('SET', sessionKey, state) end
  for _ = 1, events do
    redis.call('HSET', transcriptKey, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end
local timersEnd = at + 2 * tonumber(ARGV[at])
for i = at + 1, timersEnd, 2 do
  if ARGV[i + 1] == '' then redis.call('ZREM', timersKey, ARGV[i]) else redis.call('ZADD', timersKey, ARGV[i + 1], ARGV[i]) end
end
at = timersEnd + 1
for i = at + 1, at + 2 * tonumber(ARGV[at]), 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', outboxKey, ARGV[i]) else redis.call('HSET', outboxKey, ARGV[i], ARGV[i + 1]) end
end
redis.call('SET', checkpointKey, ARGV[2])
return 'saved'
