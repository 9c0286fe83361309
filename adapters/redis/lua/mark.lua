-- Sets a mark.
-- KEYS: the partition's, then the marks of a kind (a hash by name).
-- ARGV: name, what it is (0: there is none; negative: anything lower), what it is to be.
-- Returns {'done'}, also when it is that already, or {'stale'}.
local marks, name, from, to = key(), arg(), tonumber(arg()), arg()
local is = tonumber(redis.call('HGET', marks, name) or '0')
if is == tonumber(to) then return { 'done' } end
if from >= 0 and is ~= from then return { 'stale' } end
if from >= 0 or is < tonumber(to) then redis.call('HSET', marks, name, to) end
return { 'done' }
