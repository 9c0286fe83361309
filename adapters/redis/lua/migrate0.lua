-- Layout 0 to 1: what was written before layouts had numbers is that of 1, and lacks only the number.
-- KEYS: the partition's.
-- ARGV: the layout it is brought from.
-- Returns {'done'}.
if (redis.call('GET', KEYS[19]) or '0') == ARGV[1] then redis.call('SET', KEYS[19], ARGV[1] + 1) end
return { 'done' }
