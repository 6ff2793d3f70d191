-- What a container must do now. ARGV: container. Answers the invocation, {} when idle, {'unknown'} when removed.
return next_of(ARGV[1], {})
