-- Commits a change, all or none.
-- KEYS: the partition's, then those of change().
-- ARGV: those of change().
-- Returns {'done'}, {'repeat', first receipt}, {'applied'}, {'conflict'} or {'stale'}.
local c = change()
local no = admit(c)
if no then return no end
apply(c)
flush()
return { 'done' }
