-- Commits one folded batch of a shard, if the shard still is where its owner last saw it.
-- KEYS[1] string checkpoint; the fencing token of commits. KEYS[2] string folded options (JSON)
-- KEYS[3] zset   timers: member `kind:sessionId:userId`, score due time (epoch ms)
-- KEYS[4] hash   outbox: notification key -> job (JSON)
-- KEYS[5] zset   snapshots: session id, score when it was created or last written beside the log (epoch ms)
-- KEYS[6..]      for each session two keys: string state (JSON), hash transcript (position -> event JSON)
-- ARGV[1] expected checkpoint ('' when there is none), ARGV[2] new checkpoint, which ends with the batch id
-- ARGV[3] options ('' leaves them), ARGV[4] number of sessions; for each: state ('' deletes the session and its
-- transcript), number of events, then position and event of each; then three lists, each led by its length: timers
-- (member, score), outbox (key, job), snapshots (session id, score), where '' as the second removes
-- Returns 'saved' (also when this very batch is saved already) or 'conflict'. Every write is absolute: a repeat is harmless.
local stored = redis.call('GET', KEYS[1]) or ''
if stored == ARGV[2] then return 'saved' end
if stored ~= ARGV[1] then return 'conflict' end
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3]) end
local at = 5
for s = 1, tonumber(ARGV[4]) do
  local sessionKey, transcriptKey = KEYS[4 + 2 * s], KEYS[5 + 2 * s]
  local state, events = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  if state == '' then redis.call('UNLINK', sessionKey, transcriptKey) else redis.call('SET', sessionKey, state) end
  for _ = 1, events do
    redis.call('HSET', transcriptKey, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end
local function setOrRemove(write)
  local last = at + 2 * tonumber(ARGV[at])
  for i = at + 1, last, 2 do write(ARGV[i], ARGV[i + 1]) end
  at = last + 1
end
local function setScore(key, member, score)
  if score == '' then redis.call('ZREM', key, member) else redis.call('ZADD', key, score, member) end
end
setOrRemove(function(member, score) setScore(KEYS[3], member, score) end)
setOrRemove(function(key, job) if job == '' then redis.call('HDEL', KEYS[4], key) else redis.call('HSET', KEYS[4], key, job) end end)
setOrRemove(function(sessionId, score) setScore(KEYS[5], sessionId, score) end)
redis.call('SET', KEYS[1], ARGV[2])
return 'saved'
