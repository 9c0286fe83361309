-- Removes what was kept long enough, all or none. What is gone already is no fault.
-- KEYS: the partition's; when there are messages, the sorted set of those; for a case its references of layout 1, its story, the list of
--   its deliveries, then the sets it is found in.
-- ARGV: case id ('' for none), for a case its version and how many sets it is found in; number of messages, for each its id
--   and the field of its slot; number of deliveries, for each its id; number of marks, for each its field; the list of
--   deliveries of each delivery's case, and its destination's keys, stand in KEYS, in the order of the deliveries.
-- Returns {'done'}, or {'stale'} when the case has changed or a delivery is not settled.
local id, version, story, refs, bycase = arg(), nil, nil, nil, nil
local found, listed, gone, bylist, of, fields = {}, {}, {}, {}, {}, {}
if id ~= '' then
  version = arg()
  refs, story, bycase = key(), key(), key()
  for i = 1, tonumber(arg()) do found[i] = key() end
end
for i = 1, tonumber(arg()) do gone[i] = { id = arg(), slot = arg() } end
local received = #gone > 0 and key()
local ids = {}
for i = 1, tonumber(arg()) do
  ids[i] = arg()
  bylist[i], of[i] = key(), place()
  listed[ids[i]], listed[bytesOf(ids[i])] = true, true
end
for i = 1, tonumber(arg()) do fields[i] = arg() end

for _, each in ipairs(ids) do
  local d = load(each)
  if d and d.state ~= 'done' and d.state ~= 'discarded' then return { 'stale' } end
end
if id ~= '' then
  local there = string.match(redis.call('HGET', cases, id) or '', '^(%d+) ')
  if there and there ~= version then return { 'stale' } end
  for _, each in ipairs(redis.call('ZRANGE', bycase, 0, -1)) do
    if not listed[each] then return { 'stale' } end
  end
end

for i, each in ipairs(ids) do
  redis.call('HDEL', kept, each)
  redis.call('HDEL', live, each)
  redis.call('HDEL', bodies, each)
  redis.call('ZREM', of[i].z, bytesOf(each))
  redis.call('ZREM', lists.z, each)
  redis.call('ZREM', inner.z, each)
  redis.call('ZREM', bylist[i], each, bytesOf(each))
end
for _, m in ipairs(gone) do
  local slot = redis.call('HGET', idems, m.slot)
  if slot and (string.find(slot, m.id, 1, true) or string.sub(slot, -16) == bytesOf(m.id)) then redis.call('HDEL', idems, m.slot) end
  redis.call('HDEL', messages, m.id)
  redis.call('HDEL', bodies, m.id)
  redis.call('ZREM', received, m.id, bytesOf(m.id))
end
for _, f in ipairs(fields) do redis.call('SREM', applied, f) end
if id ~= '' then
  redis.call('HDEL', cases, id)
  redis.call('ZREM', changed, id, bytesOf(id))
  for _, k in ipairs(found) do redis.call('ZREM', k, id, bytesOf(id)) end
  redis.call('HDEL', named, id)
  redis.call('DEL', refs, story)
end
return { 'done' }
