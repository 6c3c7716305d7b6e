local node, epoch, lease, more = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
redis.call('SET', 'thkmesh:epoch', epoch, 'NX')
local known = redis.call('ZSCORE', NODES, node) and 1 or 0
redis.call('ZADD', NODES, now + lease, node)
local dead = redis.call('ZRANGEBYSCORE', NODES, '-inf', now - more, 'LIMIT', 0, 16)
redis.call('PUBLISH', channel(node), 'L') -- so that it knows that it hears
return {redis.call('GET', 'thkmesh:epoch'), known, dead}
