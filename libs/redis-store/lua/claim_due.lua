-- Claims the due timers of a shard: their score moves behind the visibility time, so a lost claim only delays them.
-- KEYS[1] zset    timers: member `kind:sessionId:userId`, score due time (epoch ms)
-- KEYS[2] string  hold; while it exists the owner is catching up and nothing is claimed
-- KEYS[3] string  checkpoint: `<stream creation time>|<seq>|...`
-- ARGV[1] now (epoch ms), ARGV[2] score of claimed members (epoch ms), ARGV[3] limit (1-1000),
-- ARGV[4] '' or the sequence up to which the shard has to be folded
-- Returns {'held'}, {'behind'} when it is not folded that far, or {'claimed', next due score or '', member, score it had, member, score, ...}
local timersKey, holdKey, checkpointKey = KEYS[1], KEYS[2], KEYS[3]
local now, claimedScore, limit = ARGV[1], ARGV[2], ARGV[3]
local foldedTo = tonumber(ARGV[4])
if redis.call('EXISTS', holdKey) == 1 then return { 'held' } end
if foldedTo then
  local seq = tonumber(string.match(redis.call('GET', checkpointKey) or '', '^[^|]*|(%d+)|'))
  if seq and seq < foldedTo then return { 'behind' } end
end
local due = redis.call('ZRANGEBYSCORE', timersKey, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
if #due > 0 then
  local claimed = {}
  for i = 1, #due, 2 do
    claimed[i], claimed[i + 1] = claimedScore, due[i]
  end
  redis.call('ZADD', timersKey, unpack(claimed))
end
local first = redis.call('ZRANGE', timersKey, 0, 0, 'WITHSCORES')
local result = { 'claimed', first[2] or '' }
for i = 1, #due do result[i + 2] = due[i] end
return result
