local found = {}
for _, room in ipairs(redis.call('SMEMBERS', LISTED)) do
  local key = room_key(room)
  if redis.call('HEXISTS', key, '.listed') == 1 then
    local _, count = members_of(key)
    found[#found + 1] = room
    found[#found + 1] = count
  else
    redis.call('SREM', LISTED, room)
  end
end
return found
