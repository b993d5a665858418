\set n :n + 1
\set client :first + :client_id
SELECT bench.append_retried(:first, :client, :n);
