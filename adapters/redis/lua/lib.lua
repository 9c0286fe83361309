-- What the scripts share; it is put before each of them. All keys of a call are in one partition, so a call
-- is one commit. KEYS 1 to 19 are the partition's own, as `fixed` in keys.go names them; a script's comment
-- says what follows them. ARGV and the further KEYS are read in order by arg() and key().
local idems, applied, messages, bodies, cases, seq = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local kept, live, queue, lanes, acts, changed = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local lists = { o = KEYS[13], p = KEYS[14], z = KEYS[15] }
local inner = { o = KEYS[16], p = KEYS[17], z = KEYS[18] }

-- A partition without the number of its layout is one that was emptied, or not the one that was there before.
if redis.call('GET', KEYS[19]) ~= layout then return redis.error_reply('LAYOUT it is not that of this gateway') end

local args, keys = 0, 19
local function arg() args = args + 1; return ARGV[args] end
local function key() keys = keys + 1; return KEYS[keys] end

-- The server's clock is the only one. All times and spans are in microseconds; a double holds them exactly,
-- but cjson would round them, so that they are kept as text.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function whole(n) return string.format('%.0f', n) end

-- When a parked delivery that holds its lane is due.
local never = '9000000000000000'

-- State of a delivery, as `state` in delivery.go has it. `ended` is the fence of the last settled attempt;
-- `cause` and the steps' texts are JSON that only Go reads.
local function load(id)
  local text = redis.call('HGET', live, id)
  return text and cjson.decode(text)
end

local function save(id, d) redis.call('HSET', live, id, cjson.encode(d)) end

-- A lane: all deliveries of one (destination, lane), in the order of their numbers. ready is the pair of
-- sorted sets of its destination's lanes by due time, one for each class.
local function lane(d, urgent, routine)
  return { name = d.lane, field = d.to .. '\0' .. d.lane, ready = { [0] = urgent, [1] = routine } }
end

local function member(l, id, d) return l.field .. '\0' .. string.format('%016d', d.seq) .. id end

-- holder gives whose turn it is: a table {class, due, claimed, id}, or nil when the lane is empty.
local function holder(l)
  local class, due, claimed, id = string.match(redis.call('HGET', lanes, l.field) or '', '^(%d) (%d+) (%d) (.+)$')
  return class and { class = tonumber(class), due = due, claimed = claimed == '1', id = id }
end

-- turn makes h the holder of the lane.
local function turn(l, h)
  redis.call('ZREM', l.ready[1 - h.class], l.name)
  redis.call('ZADD', l.ready[h.class], h.due, l.name)
  redis.call('HSET', lanes, l.field, string.format('%d %s %d %s', h.class, h.due, h.claimed and 1 or 0, h.id))
end

-- follow gives the turn to the first in the lane, or ends the lane. Not before since: a lane that has had its turn goes
-- behind those that wait for theirs.
local function follow(l, class, since)
  local first = redis.call('ZRANGEBYLEX', queue, '[' .. l.field .. '\0', '(' .. l.field .. '\1', 'LIMIT', 0, 1)[1]
  if not first then
    redis.call('ZREM', l.ready[0], l.name)
    redis.call('ZREM', l.ready[1], l.name)
    redis.call('HDEL', lanes, l.field)
    return
  end
  local id = string.sub(first, #l.field + 18)
  turn(l, { class = class, due = whole(math.max(tonumber(load(id).due), since or 0)), claimed = false, id = id })
end

-- push puts a delivery in its lane. While another is claimed nothing takes its place; the lane is as
-- urgent as the most urgent that entered since it was last empty.
local function push(l, id, d)
  redis.call('ZADD', queue, 0, member(l, id, d))
  local h = holder(l)
  if not h then return turn(l, { class = d.class, due = d.due, claimed = false, id = id }) end
  h.class = math.min(h.class, d.class)
  if h.claimed then return turn(l, h) end
  follow(l, h.class)
end

-- pull takes a delivery out of its lane; when it held the lane, the next one's turn comes.
local function pull(l, id, d)
  redis.call('ZREM', queue, member(l, id, d))
  local h = holder(l)
  if h and h.id == id then follow(l, h.class, now) end
end

local function group(state)
  if state == 'waiting' or state == 'claimed' then return 'o' end
  return state == 'parked' and 'p' or 'z'
end

-- list puts a delivery among those of its state, kept in the order they came in.
local function list(id, old, d)
  local of = string.sub(d.to, 1, 1) == '~' and inner or lists
  local from, to = old and group(old), group(d.state)
  if from == to then return end
  if from then
    redis.call('ZREM', lists[from], id)
    redis.call('ZREM', inner[from], id)
  end
  redis.call('ZADD', of[to], d.since, id)
end

-- enqueue keeps a new delivery; one that is known by its id is left as it is. With seq it takes the place of another.
local function enqueue(q)
  if redis.call('HEXISTS', live, q.id) == 1 then return end
  local d = cjson.decode(q.state)
  d.seq = q.seq or redis.call('INCR', seq)
  d.state, d.attempt, d.fence, d.ended = 'waiting', 0, 0, 0
  d.due, d.since = whole(now + d.due), whole(now) -- Go gave the wait
  redis.call('HSET', kept, q.id, q.record)
  if q.body ~= '' then redis.call('HSET', bodies, q.id, q.body) end
  save(q.id, d)
  list(q.id, nil, d)
  redis.call('ZADD', q.bycase, d.since, q.id)
  push(lane(d, q.urgent, q.routine), q.id, d)
end

-- change reads a change, as arguments() in change.go writes it.
-- ARGV: idem field, digest, receipt; applied; message id, message, body; case id, then for a case: version,
--   token, record, time of change, references, events; number of deliveries, then for each: id, record, body, state.
--   Lists begin with their length; a field of an absent part is empty.
-- KEYS: for a message the sorted set of messages by time they came in; for a case its references and its story, then the sorted sets it is found in; for each delivery the list of its case
--   and the two sorted sets of its destination.
local function change()
  local c = { idem = arg(), digest = arg(), receipt = arg(), applied = arg(),
    message = arg(), text = arg(), body = arg(), case = arg(), named = {}, events = {}, found = {}, deliveries = {} }
  if c.message ~= '' then c.received = key() end
  if c.case ~= '' then
    c.version, c.token, c.record, c.time = tonumber(arg()), arg(), arg(), arg()
    for i = 1, tonumber(arg()) do c.named[i] = arg() end
    for i = 1, tonumber(arg()) do c.events[i] = arg() end
    c.refs, c.story = key(), key()
    for i = 1, tonumber(arg()) do c.found[i] = key() end
  end
  for i = 1, tonumber(arg()) do
    c.deliveries[i] = { id = arg(), record = arg(), body = arg(), state = arg(),
      bycase = key(), urgent = key(), routine = key() }
  end
  return c
end

-- admit tells why a change may not be applied: nothing when it may.
local function admit(c)
  local slot = c.idem ~= '' and redis.call('HGET', idems, c.idem)
  if slot then
    local digest, receipt = string.match(slot, '^(%S*) (.*)$')
    if digest == c.digest then return { 'repeat', receipt } end
    return { 'conflict' }
  end
  if c.applied ~= '' and redis.call('SISMEMBER', applied, c.applied) == 1 then return { 'applied' } end
  if c.case == '' then return end
  local version, token = string.match(redis.call('HGET', cases, c.case) or '0  ', '^(%d+) (%S*) ')
  version = tonumber(version)
  if version == c.version and token == c.token then return { 'applied' } end -- sent again by the client
  if version ~= c.version - 1 then return { 'stale' } end
end

-- apply writes an admitted change.
local function apply(c)
  if c.message ~= '' then
    redis.call('HSET', messages, c.message, c.text)
    redis.call('ZADD', c.received, 'NX', whole(now), c.message)
    if c.body ~= '' then redis.call('HSET', bodies, c.message, c.body) end
  end
  if c.idem ~= '' then redis.call('HSET', idems, c.idem, c.digest .. ' ' .. c.receipt) end
  if c.applied ~= '' then redis.call('SADD', applied, c.applied) end
  if c.case ~= '' then
    redis.call('HSET', cases, c.case, c.version .. ' ' .. c.token .. ' ' .. c.record)
    redis.call('ZADD', changed, c.time, c.case)
    for _, k in ipairs(c.found) do redis.call('ZADD', k, c.time, c.case) end
    for _, r in ipairs(c.named) do redis.call('SADD', c.refs, r) end
    for _, e in ipairs(c.events) do redis.call('RPUSH', c.story, e) end
  end
  for _, q in ipairs(c.deliveries) do enqueue(q) end
end

-- held gives a delivery that is claimed under this fence, else nothing and why: 'none' is not there, 'done'
-- was settled under it before, 'lease' is another's.
local function held(id, fence)
  local d = load(id)
  if not d then return nil, { 'none' } end
  if d.state == 'claimed' and d.fence == fence then return d end
  return nil, { d.ended == fence and fence > 0 and 'done' or 'lease' }
end

-- step adds a step to a delivery; one of the same name takes the place of the old.
local function step(d, name, text)
  local steps = {}
  for _, s in ipairs(d.steps or {}) do
    if s.name ~= name then steps[#steps + 1] = s end
  end
  steps[#steps + 1] = { name = name, text = text }
  d.steps = steps
end
