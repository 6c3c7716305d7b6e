local node, room, id, sid, words = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local maximum, claim, away = tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8] == '1'
local more, ttl, may_create = tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11] == '1'
local key, now = room_key(room), now_ms()
if not claim and not may_create and redis.call('EXISTS', key) == 0 then
  return {'missing', 0, now, {}, {}}
end
local members, count = members_of(key)
count = count - purge(room, key, members, now, more, ttl)
local old = members[id]
local verdict = 'new'
if old and sid_of(old) == sid then verdict = 'resumed' end
local refused = nil
if claim and old and node_of(old) ~= node and not is_dead(node_of(old), now, 0) then
  refused = 'elsewhere'
elseif not old and not claim and count >= maximum then
  refused = 'full'
end
if refused then
  local version = tonumber(redis.call('HGET', key, '.v') or '0')
  return {refused, version, now, flat_of(members), {}}
end

local since, state = now, 'c'
if verdict == 'resumed' then since = since_of(old) end
if away then state = 'a' end
local value = value_of(sid, node, state, since, words)
members[id] = value
redis.call('HSET', key, id, value)
redis.call('PERSIST', key)
redis.call('SADD', of_key(node), room)
if old and node_of(old) ~= node then forget(room, members, node_of(old)) end
local version
if verdict == 'new' or node_of(old) ~= node or words_of(old) ~= words then
  version = redis.call('HINCRBY', key, '.v', 1)
  local payload = 'C\n' .. room .. '\n' .. version .. '\n' .. now .. '\n' .. id .. '\n' .. value
  announce(members, old and node_of(old), node, payload)
else
  version = tonumber(redis.call('HGET', key, '.v') or '0')
end
local waiting = {}
if not away then
  local wait = wait_key(room, id, sid)
  waiting = redis.call('LRANGE', wait, 0, -1)
  if #waiting > 0 then redis.call('DEL', wait, wait .. ':b') end
end
return {verdict, version, now, flat_of(members), waiting}
