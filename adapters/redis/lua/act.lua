-- Carries out a person's act on a delivery, once for each key of an act.
-- KEYS: the partition's, then those of the destination it has, then of the one it is to have, then
--   for a child the list of its case and those of its destination, then the story of its case, when that is in
--   this partition.
-- ARGV: act's field, act; id, the state that the act was judged on, new state, new destination, attempts, wait (µs);
--   name and text of a step that the person adds, empty when there is none; id of a child that takes its place, empty
--   when there is none, else also record, state; case id and event, when KEYS has a story.
-- Returns {'done'}, or {'moved'} when the delivery is not as it was judged.
local at, at2 = place(), place()
local field, act, id, seen, state, to, attempt, wait = arg(), arg(), arg(), arg(), arg(), arg(), tonumber(arg()), tonumber(arg())
local name, text, child = arg(), arg(), { id = arg() }
if child.id ~= '' then
  child.record, child.state = arg(), arg()
  child.bycase, child.at = key(), place()
end
local story, case, event = key(), arg(), arg()
if redis.call('HEXISTS', acts, field) == 1 then return { 'done' } end
if redis.call('HGET', live, id) ~= seen then return { 'moved' } end
redis.call('HSET', acts, field, act)
local d = load(id)
local old = d.state
if old == 'waiting' or d.held then pull(lane(d, at), id, d) end
d.held = nil
d.state, d.to, d.attempt, d.due = state, to, attempt, whole(now + wait)
if name ~= '' then step(d, name, text) end
save(id, d)
list(id, old, at, d, at2)
if state == 'waiting' then push(lane(d, at2), id, d) end
if child.id ~= '' then
  child.seq = d.seq
  enqueue(child)
end
flush()
if story and redis.call('HEXISTS', cases, case) == 1 then redis.call('RPUSH', story, event) end
return { 'done' }
