-- Asks to begin deliveries to a destination, for all replicas together: flow.Gate's Enter.
-- KEYS: the partition's, then the destination's gate and its busy permits. A gate is a hash: next (when the rate's next
--   beginning is, were each as far from the other as it says), row (attempts failed since the last answer), level (probes
--   failed, there while the breaker is open), until (the next probe), probe (token of the one under way), probing (when
--   that counts as lost). Times are in µs.
-- ARGV: token, how many, lease, space between two beginnings (0: any), how many at once, most together (0: any).
-- Returns {how many may, wait, 1 when one is a probe, 1 when the breaker is open, 1 when it failed since its last answer}.
local gate, busy = key(), key()
local token, n, lease, every, burst, together = arg(), tonumber(arg()), tonumber(arg()), tonumber(arg()), tonumber(arg()), tonumber(arg())
local g = redis.call('HMGET', gate, 'next', 'row', 'level', 'until', 'probe', 'probing')
local ahead, open, probe = math.max(tonumber(g[1] or '0'), now), g[3] and 1 or 0, 0
local amiss = g[2] and 1 or 0
local function none(wait) return { 0, whole(wait), 0, open, amiss } end
if n < 1 then return none(0) end
if open == 1 then
  if now < tonumber(g[4]) then return none(tonumber(g[4]) - now) end
  if g[5] and g[5] ~= token and now < tonumber(g[6]) then return none(tonumber(g[6]) - now) end
  n, probe = math.min(n, 1), 1
end
if every > 0 then
  local room = math.floor(burst - (ahead - now) / every)
  if room < 1 then return none(ahead - now - (burst - 1) * every) end
  n = math.min(n, room)
end
if together > 0 then
  redis.call('ZREMRANGEBYSCORE', busy, '-inf', now)
  n = math.min(n, together - redis.call('ZCARD', busy))
  if n < 1 then return none(100000) end
  for i = 1, n do redis.call('ZADD', busy, now + lease, token .. ' ' .. i) end
end
if every > 0 then redis.call('HSET', gate, 'next', whole(ahead + n * every)) end
if probe == 1 then redis.call('HSET', gate, 'probe', token, 'probing', whole(now + lease)) end
return { n, '0', probe, open, amiss }
