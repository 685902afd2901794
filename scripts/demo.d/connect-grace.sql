-- Grace connects hers.
\i `echo "$DEMO_DIR/as-grace"`
\set org `cat "$DEMO_DIR/grace.org"`
select saas_api.create_connection('salesforce', 'CRM',
           jsonb_build_object('org_id', o ->> 'org_id', 'instance_url', o ->> 'instance_url',
                              'login_url', o ->> 'login_url', 'username', o ->> 'username'),
           jsonb_build_object('client_id', o ->> 'client_id', 'client_secret', o ->> 'client_secret',
                              'access_token', o ->> 'access_token', 'refresh_token', o ->> 'refresh_token'),
           environment => 'production', poll_interval => '1 second')
  from (select :'org'::jsonb as o) given;
commit;
