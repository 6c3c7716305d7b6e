local room, listed, ttl = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3])
local key = room_key(room)
if redis.call('EXISTS', key) == 1 then return 0 end
redis.call('HSET', key, '.v', 0)
redis.call('PEXPIRE', key, ttl)
if listed then
  redis.call('HSET', key, '.listed', 1)
  redis.call('SADD', LISTED, room)
end
return 1
