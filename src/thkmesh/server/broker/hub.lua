local room, hub, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = room_key(room)
if redis.call('EXISTS', key) == 0 then
  redis.call('HSET', key, '.v', 0)
  redis.call('PEXPIRE', key, ttl)
end
redis.call('HSETNX', key, '.hub', hub)
return redis.call('HGET', key, '.hub')
