local node, room, text = ARGV[1], ARGV[2], ARGV[3]
announce((members_of(room_key(room))), nil, node, 'T\n' .. room .. '\n' .. text)
