-- Everything in the catalog that the extension, ets.init and ets.arm make, a line
-- an object: the same after an update as after a new CREATE EXTENSION.
SELECT pg_catalog.format('extension %s %s', extname, extversion) AS line FROM pg_catalog.pg_extension WHERE extname = 'pg_ets'
UNION ALL
SELECT pg_catalog.format('function %s -> %s | %s | %s | %s %s %s %s %s | %s | %s | %s',
         p.oid::regprocedure, pg_catalog.pg_get_function_result(p.oid), pg_catalog.pg_get_function_arguments(p.oid), p.prosrc,
         p.prokind, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proconfig, p.proacl,
         pg_catalog.obj_description(p.oid, 'pg_proc'))
  FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'ets'::regnamespace
UNION ALL
SELECT pg_catalog.format('relation %s %s | %s | %s', c.relkind, c.oid::regclass, c.relacl, pg_catalog.obj_description(c.oid, 'pg_class'))
  FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'ets'::regnamespace
UNION ALL
SELECT pg_catalog.format('column %s.%s %s | %s %s | %s | %s', c.oid::regclass, a.attname, a.attnum,
         pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid),
         pg_catalog.col_description(c.oid, a.attnum))
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'ets'::regnamespace
UNION ALL
SELECT pg_catalog.format('view %s %s', c.oid::regclass, pg_catalog.pg_get_viewdef(c.oid))
  FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'ets'::regnamespace AND c.relkind = 'v'
UNION ALL
SELECT pg_catalog.format('index %s', pg_catalog.pg_get_indexdef(c.oid))
  FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'ets'::regnamespace AND c.relkind = 'i'
UNION ALL
SELECT pg_catalog.format('constraint %s %s %s', conname, conrelid::regclass, pg_catalog.pg_get_constraintdef(oid))
  FROM pg_catalog.pg_constraint WHERE connamespace = 'ets'::regnamespace
UNION ALL
SELECT pg_catalog.format('trigger %s %s', tgenabled, pg_catalog.pg_get_triggerdef(t.oid))
  FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
 WHERE c.relnamespace = 'ets'::regnamespace AND NOT tgisinternal
UNION ALL
SELECT pg_catalog.format('event trigger %s %s %s %s %s', evtname, evtevent, evtenabled, evttags, pg_catalog.obj_description(oid, 'pg_event_trigger'))
  FROM pg_catalog.pg_event_trigger
UNION ALL
SELECT pg_catalog.format('schema %s %s', nspname, nspacl) FROM pg_catalog.pg_namespace WHERE nspname = 'ets'
UNION ALL
SELECT pg_catalog.format('member %s', pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid))
  FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pg_ets'
 WHERE d.deptype = 'e'
ORDER BY 1
