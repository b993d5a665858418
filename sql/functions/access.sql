-- Who may call and read what: five kinds of access, each a list of privileges.

CREATE FUNCTION ets.access_privileges() RETURNS TABLE (access text, privilege text, object text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS $$
  SELECT list.access, list.privilege, list.kind OPERATOR(pg_catalog.||) ' ets' OPERATOR(pg_catalog.||) list.suffix
    FROM (
      SELECT given.access, given.privilege, given.kind, name.suffix
        FROM (VALUES
          ('reader', 'USAGE', 'SCHEMA', '{""}'),
          ('reader', 'EXECUTE', 'FUNCTION', '{.read_stream, .read_domain, .require_page, .event_document, .state, .canonicalize, .canonicalize_text,
             .event_hash, .genesis_hash, .key_id, .verify_signature, .leaf_hash, .meta_root, .verify_inclusion, .verify_consistency,
             .verify_event, .verify_document, .verify_bundle, .verify_checkpoint, .merkle_proof, .consistency_proof, .proof_bundle,
             .stream_bundle, .checkpoint_note, .verifier_key, .tlog_proof, .tile, .entry_bundle, .trust_root, .authority_at, .validate,
             .schema_diff}'),
          ('reader', 'SELECT', 'TABLE', '{.streams, .domain, .schema_version, .checkpoint, .domain_root}'),
          ('writer', 'USAGE', 'SCHEMA', '{""}'),
          ('writer', 'EXECUTE', 'FUNCTION', '{.append, .append_batch, .append_signed, .head, .prepare, .uuid_v7, .generate_key, .sign,
             .canonicalize, .canonicalize_text, .event_hash, .genesis_hash, .key_id, .verify_signature, .trust_root, .validate}'),
          ('writer', 'INSERT', 'TABLE', '{.ledger_event}'),
          ('auditor', 'USAGE', 'SCHEMA', '{""}'),
          ('auditor', 'EXECUTE', 'FUNCTION', '{.verify_ledger, .verify_replay, .verify_chain, .rebuild_merkle, .replay, .state_root, .export,
             .compare_roots, .event_document, .verify_event, .verify_document, .verify_bundle, .verify_checkpoint, .merkle_proof,
             .consistency_proof, .verify_inclusion, .verify_consistency, .proof_bundle, .stream_bundle, .checkpoint_note, .verifier_key,
             .tlog_proof, .tile, .entry_bundle, .verify_anchor, .trust_root, .authority_at, .state, .leaf_hash, .meta_root, .canonicalize,
             .canonicalize_text, .event_hash, .genesis_hash, .key_id, .verify_signature, .validate, .schema_diff}'),
          ('auditor', 'SELECT', 'TABLE', '{.ledger, .ledger_event, .stream_head, .domain, .schema_version, .signing_key, .authority_grant,
             .merkle_leaf, .merkle_tile, .checkpoint, .domain_root, .seal_position, .verification_run, .finding, .receiver, .anchor, .streams,
             .open_findings, .status, .authority, .registry_history, .signatures}'),
          ('importer', 'USAGE', 'SCHEMA', '{""}'),
          ('importer', 'EXECUTE', 'FUNCTION', '{.import}'),
          ('importer', 'INSERT', 'TABLE', '{.import_lines}'),
          ('admin', 'USAGE', 'SCHEMA', '{""}'),
          ('admin', 'EXECUTE', 'FUNCTION', '{.create_domain, .register_schema, .retire_schema, .register_key, .rotate_key, .revoke_key,
             .grant_authority, .revoke_authority, .seal, .record_anchor, .verify_anchor, .schedule, .unschedule, .run_batch, .authority_at, .trust_root, .validate,
             .schema_diff, .access_privileges}'),
          ('admin', 'EXECUTE', 'PROCEDURE', '{.run_verification, .run_rebuild}'),
          ('admin', 'SELECT', 'TABLE', '{.ledger, .domain, .schema_version, .signing_key, .authority_grant, .local_key, .checkpoint, .domain_root,
             .verification_run, .finding, .receiver, .anchor, .streams, .open_findings, .status, .authority, .registry_history, .signatures}')
        ) AS given (access, privilege, kind, names)
       CROSS JOIN LATERAL pg_catalog.unnest(given.names::pg_catalog.text[]) AS name (suffix)
    ) AS list
$$;
COMMENT ON FUNCTION ets.access_privileges() IS 'What ets.grant_access gives for each kind of access, a privilege a row';

CREATE FUNCTION ets.grant_access(role regrole, access text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  given record;
BEGIN
  PERFORM ets.require_access(role, access, 'ets.grant_access');
  FOR given IN SELECT * FROM ets.access_privileges() AS privileges WHERE privileges.access = grant_access.access LOOP
    EXECUTE format('GRANT %s ON %s TO %s', given.privilege, given.object, role);
  END LOOP;
END
$$;
COMMENT ON FUNCTION ets.grant_access(regrole, text) IS 'Lets a role use the ledger as reader, writer, auditor, importer or admin; superuser';

CREATE FUNCTION ets.revoke_access(role regrole, access text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  given record;
  kept text;
BEGIN
  PERFORM ets.require_access(role, access, 'ets.revoke_access');
  FOR given IN SELECT * FROM ets.access_privileges() AS privileges WHERE privileges.access = revoke_access.access LOOP
    EXECUTE format('REVOKE %s ON %s FROM %s', given.privilege, given.object, role);
  END LOOP;
  -- Kinds of access share functions: what the role holds besides stays whole. It
  -- holds a kind if it has a function that this kind alone gives.
  FOR kept IN
    SELECT DISTINCT own.access
      FROM (SELECT min(privileges.access) AS access, privileges.object FROM ets.access_privileges() AS privileges
             WHERE privileges.object LIKE 'FUNCTION %' GROUP BY privileges.object HAVING count(*) = 1) AS own
      JOIN pg_proc AS function ON 'FUNCTION ets.' || function.proname = own.object
       AND function.pronamespace = 'ets'::regnamespace
     CROSS JOIN LATERAL aclexplode(function.proacl) AS acl
     WHERE acl.grantee = role AND own.access <> revoke_access.access
  LOOP
    PERFORM ets.grant_access(role, kept);
  END LOOP;
END
$$;
COMMENT ON FUNCTION ets.revoke_access(regrole, text) IS 'Takes back what ets.grant_access gave, but for what another kind of access of the role gives too; superuser';

CREATE FUNCTION ets.require_access(role regrole, access text, function text) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  IF role IS NULL OR access IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = CASE WHEN role IS NULL THEN 'role' ELSE 'access' END || ' must not be null',
      DETAIL = jsonb_build_object('argument', CASE WHEN role IS NULL THEN 'role' ELSE 'access' END);
  END IF;
  IF NOT (SELECT current.rolsuper FROM pg_roles AS current WHERE current.rolname = current_user) THEN
    RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = function || ' is for superusers',
      DETAIL = jsonb_build_object('function', function), HINT = 'ask the database''s administrator';
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles AS known WHERE known.oid = role) THEN
    RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'role is not a role', DETAIL = '{"argument": "role"}',
      HINT = 'CREATE ROLE makes one';
  END IF;
  IF NOT EXISTS (SELECT FROM ets.access_privileges() AS privileges WHERE privileges.access = require_access.access) THEN
    RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'access must be reader, writer, auditor, importer or admin',
      DETAIL = '{"argument": "access"}', HINT = 'docs/access.md says what each may do';
  END IF;
  IF to_regclass('ets.ledger') IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'ET013', MESSAGE = 'the ledger is not initialised', DETAIL = '{"state": "not initialised"}',
      HINT = 'SELECT ets.init(''your.example/name'')';
  END IF;
END
$$;
COMMENT ON FUNCTION ets.require_access(regrole, text, text) IS 'Refuses what ets.grant_access and ets.revoke_access cannot do';
