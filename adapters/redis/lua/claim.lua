-- Leases the heads of lanes of a destination, those that are still due. What this very claim leased before,
-- when its answer was lost, is given again.
-- KEYS: the partition's, then the destination's.
-- ARGV: destination, lease (µs), token of the claim, lanes.
-- Returns for each {class of the lane, since when it was due, record, state, its bytes where layout 1 kept them apart, or false, id}.
local at = place()
local to, lease, token = arg(), tonumber(arg()), arg()
local out = {}
for i = args + 1, #ARGV do
  local l = lane({ to = to, lane = ARGV[i] }, at)
  local h = holder(l)
  local d = h and load(h.id)
  local again = d and d.state == 'claimed' and d.token == token
  if d and not again and tonumber(h.due) <= now then
    d.was, d.token = h.due, token
    d.state, d.attempt, d.fence, d.due = 'claimed', d.attempt + 1, d.fence + 1, whole(now + lease)
    save(h.id, d)
    h.due = d.due
    turn(l, h)
    again = true
  end
  if again then
    out[#out + 1] = { tostring(h.class), d.was, redis.call('HGET', kept, h.id), saved[h.id] or redis.call('HGET', live, h.id),
      redis.call('HGET', bodies, h.id), h.id }
  end
end
flush()
return out
