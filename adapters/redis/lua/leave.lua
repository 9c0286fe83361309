-- Tells how permits of a destination came to their end: flow.Gate's Leave.
-- KEYS: the partition's, then the destination's gate (lua/enter.lua), its busy permits, its failing lanes.
-- ARGV: token, first and last permit, end, lane, lease, space between two beginnings, lanes and attempts that open the
--   breaker, first and longest wait for a probe, share of that wait (0.5 to 1), wait that the destination asked for.
-- Returns {1 when the breaker is open, wait until the next probe, 1 when this changed it}.
local gate, busy, failing = key(), key(), key()
local token, first, last, ending, lane = arg(), tonumber(arg()), tonumber(arg()), arg(), arg()
local lease, every, lanes, most = tonumber(arg()), tonumber(arg()), tonumber(arg()), tonumber(arg())
local shortest, longest, share, asked = tonumber(arg()), tonumber(arg()), tonumber(arg()), tonumber(arg())
local level = tonumber(redis.call('HGET', gate, 'level') or '0')
local probe = token ~= '' and redis.call('HGET', gate, 'probe') == token
if ending == 'kept' then
  for i = first, last do redis.call('ZADD', busy, 'XX', now + lease, token .. ' ' .. i) end
  if probe then redis.call('HSET', gate, 'probing', whole(now + lease)) end
  return { level > 0 and 1 or 0, '0', 0 }
end
for i = first, last do redis.call('ZREM', busy, token .. ' ' .. i) end
if ending == 'unused' and every > 0 then
  local ahead = tonumber(redis.call('HGET', gate, 'next') or '0')
  redis.call('HSET', gate, 'next', whole(ahead - (last - first + 1) * every))
end
if probe then redis.call('HDEL', gate, 'probe', 'probing') end
local changed = 0
if ending == 'answered' then
  if level > 0 then changed = 1 end
  level = 0
  redis.call('DEL', failing)
  redis.call('HDEL', gate, 'row', 'level', 'until')
elseif ending == 'failed' then
  redis.call('SADD', failing, lane)
  local row = redis.call('HINCRBY', gate, 'row', 1)
  if level == 0 and (redis.call('SCARD', failing) >= lanes or row >= most) then changed = 1 end
  if changed == 1 or probe and level > 0 then
    level = level + 1
    local wait = math.max(math.min(shortest * 2 ^ (level - 1), longest) * share, asked)
    redis.call('HSET', gate, 'level', level, 'until', whole(now + wait))
  end
end
if level == 0 then return { 0, '0', changed } end
return { 1, whole(math.max(0, tonumber(redis.call('HGET', gate, 'until')) - now)), changed }
