-- RFC 8785, and the ledger's number rule above it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_ets;
SELECT ets.canonicalize('{"b": 1.10, "a": [1e2, "ö\u000a", null, true], "": {}}');
SELECT ets.canonicalize('-0');
SELECT ets.canonicalize('1e21');
SELECT ets.canonicalize('333333333.3333333');
-- By UTF-16 code units, as RFC 8785 sorts: U+1F600 comes before U+FB33.
SELECT ets.canonicalize('{"דּ": 1, "😀": 2}');
SELECT ets.canonicalize_text(' [ 1.0 , "\u0041" ] ');
\set VERBOSITY verbose
\set SHOW_CONTEXT never
-- Numbers that a double cannot hold.
SELECT ets.canonicalize('9007199254740993');
SELECT ets.canonicalize('1e400');
SELECT ets.canonicalize('0.10000000000000000001');
-- What jsonb would have dropped in silence.
SELECT ets.canonicalize_text('{"a": 1, "a": 2}');
SELECT ets.canonicalize_text('"\ud800"');
SELECT ets.canonicalize(NULL);
