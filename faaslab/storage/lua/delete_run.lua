-- Remove every key of a run. ARGV: run.
delete_run(ARGV[1])
return 1
