-- Gives messages their places by time of coming, those that are still there and have none.
-- KEYS: the partition's, then the sorted set.
-- ARGV: for each message its id and its time (µs).
-- Returns {'done'}.
local received = key()
for i = 1, #ARGV, 2 do
  if redis.call('HEXISTS', messages, ARGV[i]) == 1 and not redis.call('ZSCORE', received, ARGV[i]) then
    redis.call('ZADD', received, 'NX', ARGV[i + 1], bytesOf(ARGV[i]))
  end
end
return { 'done' }
