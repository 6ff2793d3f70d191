-- End a running run. ARGV: run, status, reason, error. Answers 1 if it was running.
if status(ARGV[1]) ~= 'running' then return 0 end
end_run(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
publish(ARGV[1])
return 1
