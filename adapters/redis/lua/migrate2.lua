-- Layout 2 to 3: what layout 2 kept is read on, and kept as layout 3 has it once it changes.
-- KEYS: the partition's.
-- ARGV: the layout it is brought from.
-- Returns {'done'}.
if redis.call('GET', KEYS[19]) == ARGV[1] then redis.call('SET', KEYS[19], ARGV[1] + 1) end
return { 'done' }
