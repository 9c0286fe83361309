-- Layout 1 to 2: what layout 1 kept is read on. The number keeps gateways out that do not know what is new.
-- KEYS: the partition's.
-- ARGV: the layout it is brought from.
-- Returns {'done'}.
if redis.call('GET', KEYS[19]) == ARGV[1] then redis.call('SET', KEYS[19], ARGV[1] + 1) end
return { 'done' }
