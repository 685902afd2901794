-- Polls everything of the person's organization now and waits for the answers.
\set entrance `echo "$DEMO_DIR/as-"` :person
\i :entrance
\pset footer off
\pset linestyle :style
\pset null -
\echo '-- select saas_api.refresh_connections()'
select a ->> 'name' as connection, (a ->> 'samples')::integer as samples, (a ->> 'duration_ms')::integer as ms,
       coalesce(a ->> 'error', 'ok') as answer
  from jsonb_array_elements(saas_api.refresh_connections()) a;
commit;
