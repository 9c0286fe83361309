-- Ends an attempt, with a change in the same commit.
-- KEYS: the partition's, then those of the delivery's destination, then those of change().
-- ARGV: id, fence, new state, wait (µs), cause, attempts counted ('' leaves them), note ('' leaves it), 1 when a parked one
--   is to hold its lane, 1 when a change follows, those of change().
-- Returns {'done'}, {'lease'}, {'none'}, {'conflict'} or {'stale'}; nothing is written but for 'done'.
local at = place()
local id, fence, state, wait, cause, attempt, note = arg(), tonumber(arg()), arg(), tonumber(arg()), arg(), arg(), arg()
local hold = arg() == '1'
local d, no = held(id, fence)
if not d then return no end
if arg() == '1' then
  local c = change()
  no = admit(c)
  if no and (no[1] == 'conflict' or no[1] == 'stale') then return no end
  if not no then apply(c) end
end
local l = lane(d, at)
local h = holder(l)
d.ended, d.state, d.due, d.cause = fence, state, whole(now + wait), cause
if attempt ~= '' then d.attempt = tonumber(attempt) end
if note ~= '' then d.note = note end
if hold then d.held, d.due = true, never end
save(id, d)
list(id, 'claimed', at, d, at)
if state == 'waiting' or hold then
  back(l, h.class, id, d)
else
  redis.call('ZREM', queue, member(l, id, d)) -- of layout 1
  follow(l, h.class, now)
end
flush()
return { 'done' }
