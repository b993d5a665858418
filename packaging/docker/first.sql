-- Run once, by the image's own start, in the database that POSTGRES_DB names.
CREATE EXTENSION pg_cron;
CREATE EXTENSION pg_ets;
SELECT ets.init('ledger.example/first');
SELECT ets.schedule();
-- The role of the HTTP server, which comes by the socket.
CREATE ROLE ets_http LOGIN;
SELECT ets.grant_access('ets_http', 'reader');
SELECT ets.grant_access('ets_http', 'writer');
