local node, room, id, sid = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key = room_key(room)
local value = redis.call('HGET', key, id)
if value and sid_of(value) == sid and node_of(value) == node then
  redis.call('HSET', key, id, value_of(sid, node, 'a', since_of(value), words_of(value)))
end
