-- Keeps a step of a claimed delivery.
-- KEYS: the partition's.
-- ARGV: id, fence, name, step.
-- Returns {'done'}, {'lease'} or {'none'}.
local id, fence = arg(), tonumber(arg())
local d, no = held(id, fence)
if not d then return no[1] == 'done' and { 'lease' } or no end
step(d, arg(), arg())
save(id, d)
flush()
return { 'done' }
