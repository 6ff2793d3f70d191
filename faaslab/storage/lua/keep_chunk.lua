-- Called in the transaction that has just written a chunk of a blob: it stays only if its run still exists.
-- ARGV: run, key.
if status(ARGV[1]) then return call('SADD', R(ARGV[1], 'blobs'), ARGV[2]) end
return call('UNLINK', ARGV[2])
