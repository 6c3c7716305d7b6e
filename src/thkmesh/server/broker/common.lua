-- What the scripts have in common; it stands before each of them (see registry.py).
--
-- thkmesh:epoch            names the life of all this
-- thkmesh:nodes            sorted set: node -> when its lease ends, in ms
-- thkmesh:of:<node>        set: rooms in which the node has members
-- thkmesh:room:<name>      hash: id -> sid (16) node (16) c or a (1) since in ms (13) words;
--                          and .v (version), .listed, .hub
-- thkmesh:listed           set: rooms that want to be found
-- thkmesh:wait:<room>:<id>:<sid>      list of signals, and their bytes in ...:b
-- thkmesh:ticket:<jti>     exists: the ticket has been used
-- thkmesh:secret           signs tickets, where the processes were given no secret
-- thkmesh:n:<node>         the channel of a node

-- What has been forgotten since must not be answered from: a Redis that was restarted in
-- between has another epoch, or none yet.
local epoch = table.remove(ARGV, 1)
if epoch ~= '' and redis.call('GET', 'thkmesh:epoch') ~= epoch then
  return redis.error_reply('STALE another epoch')
end

local NODES = 'thkmesh:nodes'
local LISTED = 'thkmesh:listed'

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function room_key(room) return 'thkmesh:room:' .. room end
local function of_key(node) return 'thkmesh:of:' .. node end
local function channel(node) return 'thkmesh:n:' .. node end
local function wait_key(room, id, sid)
  return 'thkmesh:wait:' .. room .. ':' .. id .. ':' .. sid
end

local function sid_of(value) return string.sub(value, 1, 16) end
local function node_of(value) return string.sub(value, 17, 32) end
local function since_of(value) return string.sub(value, 34, 46) end
local function words_of(value) return string.sub(value, 47) end
local function value_of(sid, node, state, since, words)
  return sid .. node .. state .. string.format('%013.0f', tonumber(since)) .. words
end

-- Returns a room's members, id -> value, and how many.
local function members_of(key)
  local flat = redis.call('HGETALL', key)
  local members, count = {}, 0
  for index = 1, #flat, 2 do
    if string.byte(flat[index]) ~= 46 then
      members[flat[index]] = flat[index + 1]
      count = count + 1
    end
  end
  return members, count
end

local function flat_of(members)
  local flat = {}
  for id, value in pairs(members) do
    flat[#flat + 1] = id
    flat[#flat + 1] = value
  end
  return flat
end

-- Tells whether the time of a node's members is over: `more` ms after its lease.
local function is_dead(node, now, more)
  local score = redis.call('ZSCORE', NODES, node)
  return not score or tonumber(score) + more < now
end

-- Tells every node that has members, and one more, but not the one that caused it.
local function announce(members, more, but, payload)
  local told = {[but] = true}
  local function tell(node)
    if not told[node] then
      told[node] = true
      redis.call('PUBLISH', channel(node), payload)
    end
  end
  for _, value in pairs(members) do tell(node_of(value)) end
  if more then tell(more) end
end

-- Forgets that a node has members in a room, if it has none.
local function forget(room, members, node)
  for _, other in pairs(members) do
    if node_of(other) == node then return end
  end
  redis.call('SREM', of_key(node), room)
end

-- Takes a member out and tells of it; `members` is what remains.
local function vacate(room, key, members, id, reason, but, ttl)
  local value = members[id]
  members[id] = nil
  redis.call('HDEL', key, id)
  local wait = wait_key(room, id, sid_of(value))
  redis.call('DEL', wait, wait .. ':b')
  local version = redis.call('HINCRBY', key, '.v', 1)
  local payload = 'W\n' .. room .. '\n' .. version .. '\n' .. id .. '\n' .. sid_of(value) .. '\n' .. reason
  announce(members, nil, but, payload)
  forget(room, members, node_of(value))
  if next(members) == nil then redis.call('PEXPIRE', key, ttl) end
end

-- Takes the members of dead nodes out.
local function purge(room, key, members, now, more, ttl)
  local dead, gone = {}, {}
  for id, value in pairs(members) do
    local node = node_of(value)
    if dead[node] == nil then dead[node] = is_dead(node, now, more) end
    if dead[node] then gone[#gone + 1] = id end
  end
  for _, id in ipairs(gone) do vacate(room, key, members, id, 'timeout', '', ttl) end
  return #gone
end
