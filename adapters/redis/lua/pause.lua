-- Pauses or resumes a destination, once for each key of an act.
-- KEYS: the partition's, then the hash of paused destinations.
-- ARGV: act's field, act, destination, 1 to pause.
-- Returns {'done'}.
local paused, field, act, to = key(), arg(), arg(), arg()
if redis.call('HSETNX', acts, field, act) == 1 then
  if arg() == '1' then
    redis.call('HSET', paused, to, act)
  else
    redis.call('HDEL', paused, to)
  end
end
return { 'done' }
