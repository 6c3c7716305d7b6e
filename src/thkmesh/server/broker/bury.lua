-- Takes the members of a dead node out, of some rooms at once; returns 1 if there are more.
local node, more, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms()
if not is_dead(node, now, more) then return 0 end
for _, room in ipairs(redis.call('SPOP', of_key(node), 50)) do
  local key = room_key(room)
  local members = members_of(key)
  local gone = {}
  for id, value in pairs(members) do
    if node_of(value) == node then gone[#gone + 1] = id end
  end
  for _, id in ipairs(gone) do vacate(room, key, members, id, 'timeout', '', ttl) end
end
if redis.call('EXISTS', of_key(node)) == 1 then return 1 end
redis.call('ZREM', NODES, node)
return 0
