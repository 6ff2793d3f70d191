-- Remove a dead container. ARGV: container, reason.
lapse(ARGV[1], ARGV[2])
return 1
