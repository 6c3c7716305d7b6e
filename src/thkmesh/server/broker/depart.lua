local node, room, id, sid, reason, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local key = room_key(room)
local value = redis.call('HGET', key, id)
if value and sid_of(value) == sid and node_of(value) == node then
  vacate(room, key, members_of(key), id, reason, node, tonumber(ttl))
end
