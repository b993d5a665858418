-- Schedules, by pg_cron.

CREATE FUNCTION ets.schedule(
  seal text DEFAULT '* * * * *', rebuild text DEFAULT '*/15 * * * *', verify text DEFAULT '0 2 * * *',
  replay text DEFAULT '0 3 * * *'
) RETURNS TABLE (job text, scheduled boolean, command text)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  place constant text := current_setting('cron.database_name', true);
  timing text;
BEGIN
  IF seal IS NULL OR rebuild IS NULL OR verify IS NULL OR replay IS NULL THEN
    RAISE EXCEPTION 'a schedule must not be null' USING ERRCODE = '22004';
  END IF;
  scheduled := EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron');
  IF NOT scheduled AND place IS NULL THEN
    RAISE EXCEPTION 'pg_cron is not there' USING ERRCODE = '55000',
      DETAIL = json_build_object('missing', 'pg_cron')::text,
      HINT = format('install pg_cron (Debian: postgresql-%1$s-cron), set shared_preload_libraries = ''pg_cron'' and cron.database_name = %2$L, '
        'restart, CREATE EXTENSION pg_cron. Or use systemd, a service and a timer for each: '
        'OnCalendar=minutely ExecStart=psql -d %2$s -c "SELECT ets.seal()"; '
        'OnCalendar=*:0/15 ExecStart=psql -d %2$s -c "CALL ets.run_rebuild()"; '
        'OnCalendar=02:00 ExecStart=psql -d %2$s -c "CALL ets.run_verification()"; '
        'OnCalendar=03:00 ExecStart=psql -d %2$s -c "SELECT ets.verify_replay()"',
        current_setting('server_version_num')::integer / 10000, current_database());
  ELSIF NOT scheduled AND place = current_database() THEN
    RAISE EXCEPTION 'pg_cron is loaded, but not created in this database' USING ERRCODE = '55000',
      DETAIL = json_build_object('missing', 'extension pg_cron')::text, HINT = 'CREATE EXTENSION pg_cron';
  END IF;
  FOR job, timing, command IN VALUES
    ('seal', seal, 'SELECT ets.seal()'), ('rebuild', rebuild, 'CALL ets.run_rebuild()'),
    ('verify', verify, 'CALL ets.run_verification()'), ('replay', replay, 'SELECT ets.verify_replay()')
  LOOP
    job := format('ets_%s@%s', job, current_database());
    IF scheduled THEN
      EXECUTE format('SELECT cron.schedule(%L, %L, %L)', job, timing, command);
    ELSE
      command := format('SELECT cron.schedule_in_database(%L, %L, %L, %L)', job, timing, command, current_database());
    END IF;
    RETURN NEXT;
  END LOOP;
  IF NOT scheduled THEN
    RAISE NOTICE 'nothing is scheduled yet: pg_cron lives in the database %', place
      USING HINT = 'run the commands there, as the role that the jobs shall have';
  END IF;
END
$$;
COMMENT ON FUNCTION ets.schedule(text, text, text, text) IS 'Schedules the seal and the verifications with pg_cron, as the calling role; where pg_cron lives in another database, answers the commands to run there';

CREATE FUNCTION ets.unschedule() RETURNS TABLE (job text, unscheduled boolean, command text)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  what text;
BEGIN
  unscheduled := EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron');
  FOREACH what IN ARRAY ARRAY['seal', 'rebuild', 'verify', 'replay'] LOOP
    job := format('ets_%s@%s', what, current_database());
    command := format('SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = %L', job);
    IF unscheduled THEN
      EXECUTE command;
    END IF;
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION ets.unschedule() IS 'Ends what ets.schedule has scheduled; where pg_cron lives in another database, answers the commands to run there';
