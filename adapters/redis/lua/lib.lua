-- What the scripts share; it is put before each of them. All keys of a call are in one partition, so a call
-- is one commit. KEYS 1 to 22 are the partition's own, as `fixed` in keys.go names them; a script's comment
-- says what follows them. ARGV and the further KEYS are read in order by arg() and key().
local idems, applied, messages, bodies, cases, seq = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local kept, live, queue, lanes, acts, changed = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local lists = { o = KEYS[13], p = KEYS[14], z = KEYS[15] } -- of layout 2
local named, places = KEYS[21], KEYS[22]
local inner = { o = KEYS[16], p = KEYS[17], z = KEYS[18] } -- of layout 2

-- A partition without the number of its layout is one that was emptied, or not the one that was there before.
if redis.call('GET', KEYS[19]) ~= layout then return redis.error_reply('LAYOUT it is not that of this gateway') end

local args, keys = 0, 22
local function arg() args = args + 1; return ARGV[args] end
local function key() keys = keys + 1; return KEYS[keys] end

-- place reads the keys of a destination, as destination() in keys.go gives them: ready is the pair of sorted sets of its lanes by
-- due time, one for each class; o, p and z are the sorted sets of its deliveries that are open, parked and ended.
local function place() return { ready = { [0] = key(), [1] = key() }, o = key(), p = key(), z = key() } end

-- The server's clock is the only one. All times and spans are in microseconds; a double holds them exactly,
-- but cjson would round them, so that they are kept as text.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function whole(n) return string.format('%.0f', n) end

-- What a script changes of hashes and sorted sets that it does not read again is gathered, and written by flush with one
-- command for each key: every command stands in the append-only file with its key.
local gathered, order = {}, {}
local function gather(command, key, a, b)
  local name = command .. key
  if not gathered[name] then
    gathered[name] = { command, key }
    order[#order + 1] = name
  end
  local g = gathered[name]
  g[#g + 1], g[#g + 2] = a, b
end
local function flush()
  for _, name in ipairs(order) do
    local g = gathered[name]
    for i = 3, #g, 2000 do redis.call(g[1], g[2], unpack(g, i, math.min(i + 1999, #g))) end
  end
  gathered, order = {}, {}
end

-- A clock that is set back would make everything wait so much longer. So the partition's goes on from the latest time it
-- wrote down, by as much ahead of the server's until that has caught up. It is written down once a second, by what writes.
do
  local last, ahead = string.match(redis.call('GET', KEYS[20]) or '0 0', '^(%d+) (%d+)$')
  last, ahead = tonumber(last), tonumber(ahead)
  local was = ahead
  if now >= last then ahead = 0 elseif now + ahead < last then ahead = last - now end
  now = now + ahead
  if now >= last + 1000000 or ahead ~= was then redis.call('SET', KEYS[20], whole(now) .. ' ' .. whole(ahead)) end
end

-- When a parked delivery that holds its lane is due.
local never = '9000000000000000'

-- State of a delivery, as `state` in delivery.go has it. `ended` is the fence of the last settled attempt;
-- `cause` and the steps' texts are JSON that only Go reads.
local letters = { waiting = 'W', claimed = 'C', done = 'D', parked = 'P', discarded = 'X' }
local states = { W = 'waiting', C = 'claimed', D = 'done', P = 'parked', X = 'discarded',
  w = 'waiting', c = 'claimed', d = 'done', p = 'parked', x = 'discarded' } -- of layout 2
local before = '>c1BBI4I4I4I6I7I7I7' -- numbers of layout 2

local function packed(text)
  text = text or ''
  if #text < 65535 then return struct.pack('>I2c0', #text, text) end
  return struct.pack('>I2I4c0', 65535, #text, text)
end

-- unpacked gives a text and where the next begins.
local function unpacked(from, at)
  local n
  n, at = struct.unpack('>I2', from, at)
  if n == 65535 then n, at = struct.unpack('>I4', from, at) end
  return string.sub(from, at, at + n - 1), at + n
end

-- bytesOf gives the 16 bytes of an id that is written as text, or nothing where it is none; textOf is the way back.
local function bytesOf(text)
  if #text ~= 36 then return end
  local a, b, c, d, e = string.match(text, '^([0-9a-f]+)%-([0-9a-f]+)%-([0-9a-f]+)%-([0-9a-f]+)%-([0-9a-f]+)$')
  if not a or #a ~= 8 or #b ~= 4 or #c ~= 4 or #d ~= 4 or #e ~= 12 then return end
  local function n(hex) return tonumber(hex, 16) end
  return struct.pack('>I4I2I2I2I2I4', n(a), n(b), n(c), n(d), n(string.sub(e, 1, 4)), n(string.sub(e, 5)))
end
local function textOf(bytes)
  return string.format('%08x-%04x-%04x-%04x-%04x%08x', struct.unpack('>I4I2I2I2I2I4', bytes))
end

local saved = {} -- by this script

local function load(id)
  local text = saved[id] or redis.call('HGET', live, id)
  if not text then return text end
  if string.sub(text, 1, 1) == '{' then return cjson.decode(text) end -- of layout 1
  local d, held, at = {}
  local flags = string.byte(text, 2)
  local function has(bit) return math.floor(flags / bit) % 2 == 1 end
  if string.find(text, '^[a-z]') then -- of layout 2
    d.state, d.class, held, d.attempt, d.fence, d.ended, d.seq, d.due, d.since, d.was, at = struct.unpack(before, text)
    d.held, flags = held == 1, 32
    d.due, d.since, d.was = whole(d.due), whole(d.since), whole(d.was)
    d.to, at = unpacked(text, at)
    d.lane, at = unpacked(text, at)
    d.token, at = unpacked(text, at)
  else
    d.state, d.class, d.held = string.sub(text, 1, 1), has(1) and 1 or 0, has(2)
    d.attempt, d.fence, d.ended, d.seq, d.due, d.since, at = struct.unpack(has(64) and '>I4I4I4I6I7I7' or '>BBBI4I7I7', text, 3)
    d.due, d.since = whole(d.due), whole(d.since)
    if has(16) then
      d.was, at = struct.unpack('>I7', text, at)
      d.was = whole(d.was)
      d.token, at = unpacked(text, at)
    end
    d.to, at = unpacked(text, at)
    if has(4) then
      d.lane = id
    elseif has(8) then
      d.lane, at = textOf(string.sub(text, at, at + 15)), at + 16
    else
      d.lane, at = unpacked(text, at)
    end
  end
  d.state, d.steps = states[d.state], {}
  if has(32) then
    d.note, at = unpacked(text, at)
    d.cause, at = unpacked(text, at)
  end
  while at <= #text do
    local s = {}
    s.name, at = unpacked(text, at)
    s.text, at = unpacked(text, at)
    d.steps[#d.steps + 1] = s
  end
  return d
end

-- save writes a state, with flush.
local function save(id, d)
  if d.state ~= 'claimed' then d.token, d.was = nil, nil end
  local attempt, fence, ended = d.attempt or 0, d.fence or 0, d.ended or 0
  local wide = math.max(attempt, fence, ended) > 255 or d.seq > 4294967295
  local lane = d.lane ~= id and bytesOf(d.lane)
  local told = (d.note or '') ~= '' or (d.cause or '') ~= '' or #(d.steps or {}) > 0
  local flags = d.class + (d.held and 2 or 0) + (d.lane == id and 4 or 0) + (lane and 8 or 0) + (d.token and 16 or 0) + (told and 32 or 0) + (wide and 64 or 0)
  local text = { struct.pack('>c1B', letters[d.state], flags),
    struct.pack(wide and '>I4I4I4I6I7I7' or '>BBBI4I7I7', attempt, fence, ended, d.seq, tonumber(d.due), tonumber(d.since or 0)) }
  local function add(part) text[#text + 1] = part end
  if d.token then add(struct.pack('>I7', tonumber(d.was or 0)) .. packed(d.token)) end
  add(packed(d.to))
  if d.lane ~= id then add(lane or packed(d.lane)) end
  if told then add(packed(d.note) .. packed(d.cause)) end
  for _, s in ipairs(d.steps or {}) do text[#text + 1] = packed(s.name) .. packed(s.text) end
  saved[id] = table.concat(text)
  gather('HSET', live, id, saved[id])
end

-- A lane: all deliveries of one (destination, lane), in the order of their numbers. The one whose turn it is, its holder,
-- stands in lanes, those behind it in queue (in layout 1 the holder too).
local function lane(d, at)
  return { name = d.lane, field = d.to .. '\0' .. d.lane, ready = at.ready }
end

local function member(l, id, d) return l.field .. '\0' .. string.format('%016d', d.seq) .. id end

-- holder gives whose turn it is: a table {class, due, claimed, id}, or nil when the lane is empty. Its class and when it is
-- due show in ready; a lane that no field names is that of the delivery whose id is its name. (In layout 1 the field held
-- all of it, the id last.)
local function holder(l)
  for class = 0, 1 do
    local due = redis.call('ZSCORE', l.ready[class], l.name)
    if due then
      local id = string.match(redis.call('HGET', lanes, l.field) or l.name, '(%S+)$')
      return { class = class, due = whole(tonumber(due)), claimed = load(id).state == 'claimed', id = id }
    end
  end
end

-- turn makes h the holder of the lane.
local function turn(l, h)
  redis.call('ZREM', l.ready[1 - h.class], l.name)
  redis.call('ZADD', l.ready[h.class], h.due, l.name)
  if h.id == l.name then
    redis.call('HDEL', lanes, l.field)
  elseif redis.call('HGET', lanes, l.field) ~= h.id then
    redis.call('HSET', lanes, l.field, h.id)
  end
end

-- behind gives the first in the queue of a lane.
local function behind(l)
  return redis.call('ZRANGEBYLEX', queue, '[' .. l.field .. '\0', '(' .. l.field .. '\1', 'LIMIT', 0, 1)[1]
end

-- follow gives the turn to the first that waits behind the holder, or ends the lane. Not before since: a lane that has had
-- its turn goes behind those that wait for theirs.
local function follow(l, class, since)
  local first = behind(l)
  if not first then
    redis.call('ZREM', l.ready[0], l.name)
    redis.call('ZREM', l.ready[1], l.name)
    redis.call('HDEL', lanes, l.field)
    return
  end
  redis.call('ZREM', queue, first)
  local id = string.sub(first, #l.field + 18)
  turn(l, { class = class, due = whole(math.max(tonumber(load(id).due), since or 0)), claimed = false, id = id })
end

-- push puts a delivery in its lane. While another is claimed nothing takes its place; the lane is as
-- urgent as the most urgent that entered since it was last empty.
local function push(l, id, d)
  local h = holder(l)
  if not h then return turn(l, { class = d.class, due = d.due, claimed = false, id = id }) end
  local class = math.min(h.class, d.class)
  local other = load(h.id)
  if not h.claimed and d.seq < other.seq then
    redis.call('ZADD', queue, 0, member(l, h.id, other))
    return turn(l, { class = class, due = d.due, claimed = false, id = id })
  end
  redis.call('ZADD', queue, 0, member(l, id, d))
  if class ~= h.class then
    h.class = class
    turn(l, h)
  end
end

-- back puts the holder back in its place: an earlier one that came while it was claimed goes first.
local function back(l, class, id, d)
  local own = member(l, id, d)
  redis.call('ZREM', queue, own) -- of layout 1
  local first = behind(l)
  if first and first < own then
    redis.call('ZADD', queue, 0, own)
    return follow(l, class, now)
  end
  turn(l, { class = class, due = d.due, claimed = false, id = id })
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

-- list puts a delivery among those of its state and destination, kept in the order they came in; before is the place of the
-- destination that it had with the old state. In layout 2 there was one list for all destinations, with ids as text.
local function list(id, old, before, d, at)
  local from, to = old and group(old), group(d.state)
  local list = at[to]
  if from and before[from] == list then return end
  local member = bytesOf(id)
  if from then
    if redis.call('ZREM', before[from], member) == 0 then
      redis.call('ZREM', lists[from], id)
      redis.call('ZREM', inner[from], id)
    end
  end
  gather('ZADD', list, d.since, member)
  redis.call('SADD', places, d.to)
end

-- number gives the next number of a delivery; expect says how many will be asked for.
local given, expected = 0, 0
local function expect(n)
  expected = redis.call('INCRBY', seq, n)
  given = expected - n
end
local function number()
  if given == expected then expect(1) end
  given = given + 1
  return given
end

-- enqueue keeps a new delivery; one that is known by its id is left as it is. With seq it takes the place of another.
local function enqueue(q)
  if redis.call('HEXISTS', live, q.id) == 1 then return end
  local d = cjson.decode(q.state)
  d.seq = q.seq or number()
  d.state, d.attempt, d.fence, d.ended = 'waiting', 0, 0, 0
  d.due, d.since = whole(now + d.due), whole(now) -- Go gave the wait
  gather('HSET', kept, q.id, q.record)
  save(q.id, d)
  list(q.id, nil, nil, d, q.at)
  gather('ZADD', q.bycase, d.since, bytesOf(q.id))
  push(lane(d, q.at), q.id, d)
end

-- change reads a change, as arguments() in change.go writes it.
-- ARGV: idem field, digest; applied; message id, message; case id, then for a case: version, token, record, time of change,
--   references, story; number of deliveries, then for each: id, record, state.
--   Lists begin with their length; a field of an absent part is empty.
-- KEYS: for a message the sorted set of messages by time they came in; for a case its story, then the sorted sets it is found in; for each delivery the list of its case
--   and those of its destination.
local function change()
  local c = { idem = arg(), digest = arg(), applied = arg(), message = arg(), text = arg(), case = arg(), named = {}, found = {},
    deliveries = {} }
  if c.message ~= '' then c.received = key() end
  if c.case ~= '' then
    c.version, c.token, c.record, c.time = tonumber(arg()), arg(), arg(), arg()
    for i = 1, tonumber(arg()) do c.named[i] = arg() end
    c.events = arg()
    c.story = key()
    for i = 1, tonumber(arg()) do c.found[i] = key() end
  end
  for i = 1, tonumber(arg()) do
    c.deliveries[i] = { id = arg(), record = arg(), state = arg(),
      bycase = key(), at = place() }
  end
  return c
end

-- admit tells why a change may not be applied: nothing when it may. A repeat comes with the first receipt or, where the slot
-- names its message, with that.
local function admit(c)
  local slot = c.idem ~= '' and redis.call('HGET', idems, c.idem)
  if slot then
    local digest, first = string.match(slot, '^(%S*) (.*)$') -- of layout 2, digest in hex
    if #slot == 33 and string.sub(slot, 1, 1) == 'b' then
      digest, first = (string.gsub(string.sub(slot, 2, 17), '.', function(c) return string.format('%02x', string.byte(c)) end)), textOf(string.sub(slot, 18))
    end
    if digest ~= c.digest then return { 'conflict' } end
    if string.sub(first, 1, 1) == '{' then return { 'repeat', first } end -- of layout 1
    return { 'repeat', '', redis.call('HGET', messages, first), first }
  end
  if c.applied ~= '' and redis.call('SISMEMBER', applied, c.applied) == 1 then return { 'applied' } end
  if c.case == '' then return end
  local version, token = string.match(redis.call('HGET', cases, c.case) or '0  ', '^(%d+) (%S*) ')
  version = tonumber(version)
  if version == c.version and token == c.token then return { 'applied' } end -- sent again by the client
  if version ~= c.version - 1 then return { 'stale' } end
end

-- name adds references to those that lead to a case: each the letter of its partition and its hash, 17 bytes, one after
-- another. What layout 1 knows of stands in the set refs:CASE.
local function name(case, more)
  local known = redis.call('HGET', named, case) or ''
  local all = { known }
  for _, r in ipairs(more) do
    local there = false
    for at = 1, #known, 17 do there = there or string.sub(known, at, at + 16) == r end
    if not there then all[#all + 1] = r end
  end
  if #all > 1 then redis.call('HSET', named, case, table.concat(all)) end
end

-- apply writes an admitted change.
local function apply(c)
  if c.message ~= '' then
    redis.call('HSET', messages, c.message, c.text)
    if not redis.call('ZSCORE', c.received, c.message) then redis.call('ZADD', c.received, 'NX', whole(now), bytesOf(c.message)) end
  end
  if c.idem ~= '' then
    redis.call('HSET', idems, c.idem, 'b' .. string.gsub(c.digest, '%x%x', function(h) return string.char(tonumber(h, 16)) end) .. bytesOf(c.message))
  end
  if c.applied ~= '' then redis.call('SADD', applied, c.applied) end
  if c.case ~= '' then
    redis.call('HSET', cases, c.case, c.version .. ' ' .. c.token .. ' ' .. c.record)
    local id = bytesOf(c.case)
    local function enter(k, ...)
      redis.call('ZREM', k, c.case) -- of layout 2
      redis.call('ZADD', k, ...)
    end
    enter(changed, c.time, id)
    for _, k in ipairs(c.found) do
      if string.find(k, ':patient:', 1, true) then -- few cases: they are put in order when they are read
        if not redis.call('ZSCORE', k, c.case) then redis.call('ZADD', k, 'NX', c.time, id) end
      else
        enter(k, c.time, id)
      end
    end
    name(c.case, c.named)
    if c.events ~= '' then redis.call('RPUSH', c.story, c.events) end
  end
  if #c.deliveries > 0 then expect(#c.deliveries) end
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
