-- Makes a lease end a lease from now.
-- KEYS: the partition's, then those of the delivery's destination.
-- ARGV: id, fence, lease (µs).
-- Returns {'done'}, {'lease'} or {'none'}.
local at = place()
local id, fence, lease = arg(), tonumber(arg()), tonumber(arg())
local d, no = held(id, fence)
if not d then return no[1] == 'done' and { 'lease' } or no end
d.due = whole(now + lease)
save(id, d)
local l = lane(d, at)
local h = holder(l)
h.due = d.due
turn(l, h)
flush()
return { 'done' }
