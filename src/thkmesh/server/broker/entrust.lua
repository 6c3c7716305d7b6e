local node, room, id, sid, text = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local most, most_bytes, life = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local value = redis.call('HGET', room_key(room), id)
if not value or sid_of(value) ~= sid then return 'unknown-session' end
if node_of(value) ~= node then
  local payload = 'S\n' .. room .. '\n' .. id .. '\n' .. sid .. '\n' .. text
  if redis.call('PUBLISH', channel(node_of(value)), payload) > 0 then return 'passed' end
end
local wait = wait_key(room, id, sid)
local bytes = tonumber(redis.call('GET', wait .. ':b') or '0') + #text
if redis.call('LLEN', wait) >= most or bytes > most_bytes then return 'queue-full' end
redis.call('RPUSH', wait, text)
redis.call('PEXPIRE', wait, life)
redis.call('SET', wait .. ':b', bytes, 'PX', life)
return 'kept'
