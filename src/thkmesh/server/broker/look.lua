local key = room_key(ARGV[1])
if redis.call('EXISTS', key) == 0 then return {0, 0, now_ms(), {}, 0} end
local version = tonumber(redis.call('HGET', key, '.v') or '0')
local listed = redis.call('HEXISTS', key, '.listed')
return {1, version, now_ms(), flat_of((members_of(key))), listed}
