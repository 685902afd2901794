-- Connections: what create_connection takes and refuses, who may do what, and
-- what goes when a connection goes.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();

create schema conn;
create table conn.person (name text primary key, user_id uuid, org_id uuid);
insert into conn.person select 'owner', (t).user_id, (t).org_id from (select tenants.found('owner') as t) f;
insert into conn.person select 'stranger', (t).user_id, (t).org_id from (select tenants.found('stranger') as t) f;
insert into conn.person
select r, tenants.join(r, o.org_id, r), o.org_id
  from conn.person o, unnest(array['admin', 'member', 'viewer']) as r where o.name = 'owner';

-- What a call answers somebody, or its SQLSTATE, message and faulty fields.
create function conn.call(person text, call text) returns text
language plpgsql as $$
declare
    answer text[] := (select string_to_array(tenants.answer(call.call, p.user_id, p.org_id), E'\n')
                        from conn.person p where p.name = call.person);
begin
    if answer[1] ~ '^[0-9A-Z]{5}$' and answer[3] ~ '^\[' then
        return answer[1] || ' ' || (select string_agg(e ->> 'field' || ': ' || (e ->> 'message'), '; ')
                                      from jsonb_array_elements(answer[3]::jsonb) e);
    end if;
    return array_to_string(answer, ' | ');
end
$$;
create function conn.create_call(kind text, config jsonb, secrets jsonb default '{}', name text default 'Some name',
                                 more text default '')
returns text
language sql as $$
    select format('saas_api.create_connection(%L, %L, %L, %L %s)', create_call.kind, create_call.name,
                  create_call.config, create_call.secrets, create_call.more)
$$;
create function conn.count() returns bigint
language sql as $$ select count(*) from saas.connection $$;

-- Bad input: each refused with every faulty field named, and nothing stored.

\set url '{"url": "https://metrics.example.com/metrics"}'
\set sf '{"org_id": "00D000000000062EAA", "instance_url": "https://acme.my.salesforce.com"}'
\set tokens '{"client_id": "id", "refresh_token": "token"}'
\set json '{"url": "https://api.example.com/", "metrics": [{"name": "up", "path": "$.up"}]}'

create table conn.bad (what text, call text, answer text);
insert into conn.bad values
('an unknown kind', conn.create_call('oracle', :'url'), '22023 kind: must be one of salesforce, prometheus, http_json, aws, postgresql'),
('no kind', conn.create_call(null, :'url'), '22023 kind: must be one of salesforce, prometheus, http_json, aws, postgresql'),
('a kind in capitals', conn.create_call('Prometheus', :'url'), '22023 kind: must be one of salesforce, prometheus, http_json, aws, postgresql'),
('no name', conn.create_call('prometheus', :'url', name => null), '22023 name: is required'),
('a blank name', conn.create_call('prometheus', :'url', name => E'  '), '22023 name: is required'),
('a long name', conn.create_call('prometheus', :'url', name => repeat('n', 256)), '22023 name: must have at most 255 characters'),
('a name in two lines', conn.create_call('prometheus', :'url', name => E'a\nb'), '22023 name: must not hold control characters'),
('no config', conn.create_call('prometheus', null), '22023 config: is required'),
('a config that is no object', conn.create_call('prometheus', '[]'), '22023 config: must be a JSON object'),
('a config of JSON null', conn.create_call('prometheus', 'null'), '22023 config: must be a JSON object'),
('no url', conn.create_call('prometheus', '{}'), '22023 url: is required'),
('a url that is no string', conn.create_call('prometheus', '{"url": 1}'), '22023 url: must be a string'),
('an unknown key', conn.create_call('prometheus', '{"url": "https://a.example.com", "labels": {}}'), '22023 labels: is not a known key'),
('an unknown environment', conn.create_call('prometheus', :'url', more => ', environment => ''test'''), '22023 environment: must be production, staging or development'),
('tags that are no object', conn.create_call('prometheus', :'url', more => ', tags => ''["a"]'''), '22023 tags: must be an object'),
('tags of JSON null', conn.create_call('prometheus', :'url', more => ', tags => ''null'''), '22023 tags: must be an object'),
('an interval that is too short', conn.create_call('prometheus', :'url', more => ', poll_interval => ''59 seconds'''), '22023 poll_interval: must be between 00:01:00 and 31 days'),
('a negative interval', conn.create_call('prometheus', :'url', more => ', poll_interval => ''-1 hour'''), '22023 poll_interval: must be between 00:01:00 and 31 days'),
('a negative interval that equals a minute', conn.create_call('prometheus', :'url', more => ', poll_interval => ''-10000 months 300000 days 1 minute'''), '22023 poll_interval: must be between 00:01:00 and 31 days'),
('an interval that is too long', conn.create_call('prometheus', :'url', more => ', poll_interval => ''32 days'''), '22023 poll_interval: must be between 00:01:00 and 31 days'),
('secrets that are no object', conn.create_call('prometheus', :'url', '"token"'), '22023 secrets: must be a JSON object'),
('a secret of another kind', conn.create_call('prometheus', :'url', '{"refresh_token": "x"}'), '22023 secrets: has a name that is none of bearer_token, username, password, ca_certificate, client_certificate, client_key'),
('a secret that is no string', conn.create_call('prometheus', :'url', '{"bearer_token": 7}'), '22023 secrets.bearer_token: must be a string'),
('an empty secret', conn.create_call('prometheus', :'url', '{"bearer_token": ""}'), '22023 secrets.bearer_token: must not be empty'),
('a secret in two lines', conn.create_call('prometheus', :'url', '{"bearer_token": "a\r\nb"}'), '22023 secrets.bearer_token: must not hold control characters'),
('a long secret', conn.create_call('prometheus', :'url', jsonb_build_object('bearer_token', repeat('x', 8193))), '22023 secrets.bearer_token: is too long'),
('a user without a password', conn.create_call('prometheus', :'url', '{"username": "u"}'), '22023 secrets.password: is required with username'),
('a token and a password', conn.create_call('prometheus', :'url', '{"bearer_token": "t", "username": "u", "password": "p"}'),
    '22023 secrets.username: is not used together with bearer_token; secrets.password: is not used together with bearer_token'),
('several faults at once', conn.create_call('prometheus', '{"url": "ftp://a", "x": 1}', '{"y": "z"}'),
    '22023 secrets: has a name that is none of bearer_token, username, password, ca_certificate, client_certificate, client_key; url: is not a usable URL. It does not begin with http:// or https://.; x: is not a known key'),
('an empty Salesforce config', conn.create_call('salesforce', '{}', :'tokens'), '22023 org_id: is required; instance_url: is required'),
('a Salesforce id that is none', conn.create_call('salesforce', '{"org_id": "00D00000000006", "instance_url": "https://a.example.com"}', :'tokens'),
    '22023 org_id: must be a Salesforce id of 15 or 18 characters'),
('a Salesforce id whose checksum is wrong', conn.create_call('salesforce', '{"org_id": "00D000000000062AAA", "instance_url": "https://a.example.com"}', :'tokens'),
    '22023 org_id: must be a Salesforce id of 15 or 18 characters'),
('an instance with a path', conn.create_call('salesforce', '{"org_id": "00D000000000062EAA", "instance_url": "https://a.example.com/x"}', :'tokens'),
    '22023 instance_url: must not have a path or a query'),
('no Salesforce tokens', conn.create_call('salesforce', :'sf'), '22023 secrets.refresh_token: is required without access_token'),
('a refresh token without a client', conn.create_call('salesforce', :'sf', '{"refresh_token": "t"}'), '22023 secrets.client_id: is required with refresh_token'),
('an old API version', conn.create_call('salesforce', :'sf'::jsonb || '{"api_version": "28.0"}', :'tokens'), '22023 api_version: must be 29.0 or later'),
('no metrics', conn.create_call('http_json', '{"url": "https://api.example.com/"}'), '22023 metrics: is required: an array of 1 to 200 metrics'),
('a metric''s name that is none', conn.create_call('http_json', '{"url": "https://api.example.com/", "metrics": [{"name": "a b", "path": "$.a"}]}'),
    '22023 metrics[0].name: must match [a-zA-Z_:][a-zA-Z0-9_:]*'),
('the same metric twice', conn.create_call('http_json', '{"url": "https://api.example.com/", "metrics": [{"name": "a", "path": "$.a"}, {"name": "a", "path": "$.b"}]}'),
    '22023 metrics[1]: has the name and labels of metrics[0]'),
('a secret among the headers', conn.create_call('http_json', :'json'::jsonb || '{"headers": {"Authorization": "Bearer x"}}'),
    '22023 headers.Authorization: looks like a secret: use auth and secrets instead'),
('a header that breaks out', conn.create_call('http_json', :'json'::jsonb || '{"headers": {"X-A": "a\r\nHost: b"}}'),
    '22023 headers.X-A: must not hold control characters'),
('auth without its secret', conn.create_call('http_json', :'json'::jsonb || '{"auth": "bearer"}'), '22023 secrets.bearer_token: is required with auth bearer'),
('a method that writes', conn.create_call('http_json', :'json'::jsonb || '{"method": "DELETE"}'), '22023 method: must be GET or POST');
insert into conn.bad
select format('the URL %s', url), conn.create_call('prometheus', jsonb_build_object('url', url)), '22023 url: ' || why
  from (values
    ('', 'must not be empty'),
    ('metrics.example.com', 'is not a usable URL. It does not begin with http:// or https://.'),
    ('file:///etc/passwd', 'is not a usable URL. It does not begin with http:// or https://.'),
    ('gopher://a.example.com/', 'is not a usable URL. It does not begin with http:// or https://.'),
    ('https://', 'is not a usable URL. The host is neither a name in ASCII nor a plain IP address.'),
    ('https:///metrics', 'is not a usable URL. The host is neither a name in ASCII nor a plain IP address.'),
    ('https://[::1/', 'is not a usable URL. The host is malformed.'),
    ('https://user:pw@a.example.com/', 'is not a usable URL. It has user information before the host.'),
    ('https://a.example.com/#part', 'is not a usable URL. It has a fragment.'),
    ('https://a.example.com/a b', 'is not a usable URL. The path or query has a character that must be percent-encoded.'),
    ('https://a.example.com:0/', 'is not a usable URL. The port is not a number from 1 to 65535.'),
    ('https://a.example.com:65536/', 'is not a usable URL. The port is not a number from 1 to 65535.'),
    ('https://a.example.com:x/', 'is not a usable URL. The port is not a number from 1 to 65535.'),
    ('https://0x7f000001/', 'is not a usable URL. The host is neither a name in ASCII nor a plain IP address.'),
    ('https://127.1/', 'is not a usable URL. The host is neither a name in ASCII nor a plain IP address.'),
    ('https://b' || chr(252) || 'cher.example/', 'is not a usable URL. The host is neither a name in ASCII nor a plain IP address.'),
    (E'https://a.example.com/\tx', 'must not hold control characters'),
    ('http://a.example.com/metrics', 'must begin with https://')) as u (url, why);
select is(conn.call('owner', b.call), b.answer, format('%s is refused', b.what)) from conn.bad b;
select is(conn.count(), 0::bigint, 'nothing of all that was stored');

-- Good input

select is(conn.call('owner', conn.create_call('prometheus', :'url', name => '  Web  ') || '->>''name'''), 'Web', 'a name is trimmed');
select id as web from saas.connection where name = 'Web' \gset
select is(to_jsonb(c) - array['org_id', 'id', 'created_by', 'created_at', 'updated_at', 'next_poll_at'],
          jsonb_build_object('kind', 'prometheus', 'name', 'Web', 'external_account_id', null,
              'config', '{"url": "https://metrics.example.com/metrics"}'::jsonb, 'environment', null, 'tags', '{}'::jsonb,
              'status', 'pending', 'health', 'unknown', 'health_reason', null, 'is_active', true,
              'poll_interval', '00:01:00', 'last_polled_at', null, 'last_success_at', null, 'last_tested_at', null,
              'last_error', null, 'last_error_code', null, 'consecutive_failures', 0, 'token_expires_at', null,
              'environment_color', null, 'group_id', null, 'group_name', null, 'owner_id', null, 'is_personal', false,
              'features', '{}'::jsonb),
          'a new connection waits for its first poll, with every default')
  from saas_api.connections c where c.id = :'web';
select ok(c.created_by = p.user_id and c.org_id = p.org_id, 'it belongs to its creator''s organization')
  from saas.connection c, conn.person p where c.id = :'web' and p.name = 'owner';
select is(conn.call('owner', format('(%s)->>''id'' is not null', conn.create_call('salesforce', :'sf', :'tokens', 'Acme',
              ', environment => ''production'', tags => ''{"team": "crm"}'', poll_interval => ''1 hour'''))), 'true',
          'a Salesforce org is connected');
select is(to_jsonb(c), jsonb_build_object('external_account_id', '00D000000000062EAA', 'environment', 'production',
              'tags', '{"team": "crm"}'::jsonb, 'poll_interval', '01:00:00',
              'origin', 'https://acme.my.salesforce.com:443 https://login.salesforce.com:443',
              'config', '{"auth": "refresh_token", "org_id": "00D000000000062EAA", "login_url": "https://login.salesforce.com",
                          "api_version": "66.0", "instance_url": "https://acme.my.salesforce.com"}'::jsonb),
          'with what it was given, and defaults for the rest')
  from (select external_account_id, environment, tags, poll_interval, origin, config from saas.connection where name = 'Acme') c;
select bag_eq($$select s.name from saas_private.connection_secret s join saas.connection c on c.id = s.connection_id where c.name = 'Acme'$$,
              array['client_id', 'refresh_token'], 'its secrets are stored by name');
select is(conn.call('owner', 'saas_api.create_connection(''http_json'', ''API'', ' || quote_literal(:'json')
                            || ', null, null, null, null) ->> ''poll_interval'''), '00:01:00', 'NULL stands for every default');
select is(conn.call('owner', conn.create_call('salesforce', :'sf', :'tokens', 'Acme again',
              ', poll_interval => null') || '->>''id'''),
          '23505 | already connected', 'the same upstream account twice is a duplicate');
select is(conn.call('owner', conn.create_call('salesforce', :'sf'::jsonb || '{"org_id": "00D000000000062"}', :'tokens', 'Acme again')),
          '23505 | already connected', 'the short form of its id is the same account');
select is(conn.call('owner', conn.create_call('prometheus', '{"url": "HTTPS://Metrics.Example.com:443/metrics"}')),
          '23505 | already connected', 'another spelling of its URL is the same account');
select is(conn.call('owner', conn.create_call('prometheus', '{"url": "https://metrics.example.com/other"}', name => 'Web') || '->>''name'''),
          'Web', 'two connections may have one name');
select is(conn.call('stranger', conn.create_call('prometheus', :'url') || '->>''name'''), 'Some name',
          'another organization may connect the same account');
select id as foreign from saas.connection where name = 'Some name' \gset

-- Who may do what

-- Each in a transaction of its own: a transaction has one identity.
select format('select is(conn.call(%L, %L), %L, %L);', role.name,
              conn.create_call('prometheus', jsonb_build_object('url', format('https://%s.example.com/', role.name)),
                               name => role.name) || '->>''name''',
              role.answer, format('%s %s create a connection', role.name, role.may))
  from (values ('owner', 'may', 'owner'), ('admin', 'may', 'admin'),
               ('member', 'may not', 'PT403 | permission denied by the organization''s roles | manage_connections'),
               ('viewer', 'may not', 'PT403 | permission denied by the organization''s roles | manage_connections')) as role (name, may, answer)
\gexec
select format('select is(conn.call(%L, %L), %L, %L);', person, call,
              'PT403 | permission denied by the organization''s roles | manage_connections',
              format('%s may not call %s', person, regexp_replace(call, '\(.*', '')))
  from unnest(array['member', 'viewer']) as person,
       unnest(array[format('saas_api.set_connection_active(%L, false)', :'web'),
                    format('saas_api.set_connection_secrets(%L, ''{}'')', :'web'),
                    format('saas_api.delete_connection(%L, ''Web'')', :'web'),
                    format('saas_api.test_connection(%L)', :'web'),
                    'saas_api.refresh_connections()']) as call
\gexec
select format('select is(conn.call(%L, ''(select count(*) from saas_api.connections)''), ''6'', %L);', person,
              format('%s sees the connections', person))
  from unnest(array['owner', 'admin', 'member', 'viewer']) as person
\gexec
select is(tenants.answer(call), 'PT401' || E'\n' || 'Access token required', format('%s needs an identity', regexp_replace(call, '\(.*', '')))
  from unnest(array[conn.create_call('prometheus', :'url'),
                    format('saas_api.set_connection_active(%L, false)', :'web'),
                    format('saas_api.set_connection_secrets(%L, ''{}'')', :'web'),
                    format('saas_api.delete_connection(%L, ''Web'')', :'web'),
                    format('saas_api.test_connection(%L)', :'web'),
                    'saas_api.refresh_connections()', 'saas_api.limits_overview()']) as call;
select is(conn.call('admin', call), 'PT404 | connection not found',
          format('%s does not find %s', regexp_replace(call, '\(.*', ''), what))
  from (values ('another organization''s connection', :'foreign'), ('one that never was', gen_random_uuid()::text),
               ('NULL', null)) as target (what, id),
       unnest(array[format('saas_api.set_connection_active(%L, false)', id),
                    format('saas_api.set_connection_secrets(%L, ''{"bearer_token": "x"}'')', id),
                    format('saas_api.delete_connection(%L, ''Some name'')', id),
                    format('saas_api.test_connection(%L)', id)]) as call;
select ok(c.is_active and not exists (select from saas_private.connection_secret s where s.connection_id = c.id),
          'the other organization''s connection is as it was')
  from saas.connection c where c.id = :'foreign';

-- On and off

select is(conn.call('admin', format('saas_api.set_connection_active(%L, null)', :'web')), '22023 active: is required', 'active has no default');
update saas.connection_status set next_poll_at = 'infinity', status = 'active' where connection_id = :'web';
select is(conn.call('admin', format('saas_api.set_connection_active(%L, false) ->> ''status''', :'web')), 'inactive', 'polling is turned off');
select is(health || ', ' || health_reason, 'unknown, polling is turned off', 'and says so') from saas_api.connections where id = :'web';
select is(next_poll_at, 'infinity', 'which makes nothing due') from saas.connection_status where connection_id = :'web';
select is(conn.call('admin', format('saas_api.set_connection_active(%L, true) ->> ''status''', :'web')), 'active', 'and on again');
select cmp_ok(next_poll_at, '<=', now(), 'which makes it due') from saas.connection_status where connection_id = :'web';

-- Secrets

select id as acme from saas.connection where name = 'Acme' \gset
update saas.connection_status
   set status = 'reauth_required', last_error = 'sign in again', last_error_code = '28000', consecutive_failures = 7,
       next_poll_at = 'infinity', token_expires_at = now()
 where connection_id = :'acme';
create table conn.before as select * from saas_private.connection_secret where connection_id = :'acme';
select is(conn.call('admin', format('saas_api.set_connection_secrets(%L, %L)', :'acme', secrets)), answer, format('%s are refused', what))
  from (values ('no secrets', null, '22023 secrets.refresh_token: is required without access_token'),
               ('too few secrets', '{"refresh_token": "x"}', '22023 secrets.client_id: is required with refresh_token'),
               ('unknown secrets', '{"access_token": "x", "bearer_token": "y"}', '22023 secrets: has a name that is none of client_id, client_secret, access_token, refresh_token, private_key')) as v (what, secrets, answer);
select set_eq(format($$select name, value::text from saas_private.connection_secret where connection_id = %L$$, :'acme'),
              'select name, value::text from conn.before', 'the old ones are still there');
select is(conn.call('admin', format('saas_api.set_connection_secrets(%L, %L) ->> ''status''', :'acme',
                                    '{"access_token": "new", "client_id": "id"}')), 'pending', 'new secrets are taken');
select set_eq(format($$select name from saas_private.connection_secret where connection_id = %L$$, :'acme'),
              array['access_token', 'client_id'], 'they replace all the old ones');
select is_empty('select from conn.before b join saas_private.connection_secret s using (connection_id, name) where s.value::text = b.value::text',
                'under fresh nonces');
select is(to_jsonb(s), '{"status": "pending", "last_error": null, "last_error_code": null, "consecutive_failures": 0, "token_expires_at": null}',
          'the connection starts afresh')
  from (select status, last_error, last_error_code, consecutive_failures, token_expires_at
          from saas.connection_status where connection_id = :'acme' and next_poll_at <= now()) s;

-- Changes: a secret stays with the destination it was given for

create function conn.update(id text, patch text, person text default 'admin') returns text
language sql as $$ select conn.call(update.person, format('saas_api.update_connection(%L, %L)', update.id, update.patch)) $$;
create function conn.state(id text) returns text
language sql as $$
    select concat_ws(' ', c.origin, s.status, coalesce((select string_agg(k.name, '+' order by k.name)
                                                        from saas_private.connection_secret k where k.connection_id = c.id), 'none'))
      from saas.connection c join saas.connection_status s on s.connection_id = c.id where c.id = state.id::uuid
$$;
create procedure conn.settle(id text) language sql as $$
    update saas.connection_status set status = 'active', next_poll_at = 'infinity' where connection_id = settle.id::uuid
$$;
select is(conn.call('admin', conn.create_call('http_json',
              '{"url": "https://api.example.com/v1", "auth": "bearer", "metrics": [{"name": "m", "path": "$.n"}]}',
              '{"bearer_token": "first"}', 'Json') || ' ->> ''name'''), 'Json', 'a connection with a token');
select id as json from saas.connection where name = 'Json' \gset
call conn.settle(:'json');
select conn.update(:'json', '{"name": "Renamed", "environment": "staging", "tags": {"team": "core"}, "poll_interval": "5 minutes"}') \g /dev/null
select is(to_jsonb(c), '{"name": "Renamed", "environment": "staging", "tags": {"team": "core"}, "poll_interval": "00:05:00"}',
          'name, environment, tags and interval change')
  from (select name, environment, tags, poll_interval from saas.connection where id = :'json') c;
select is(conn.state(:'json'), 'https://api.example.com:443 active bearer_token', 'which neither takes the secrets nor polls anew');
select conn.update(:'json', '{"environment": null, "tags": null, "poll_interval": null}') \g /dev/null
select is(to_jsonb(c), '{"environment": null, "tags": {}, "poll_interval": "00:01:00"}', 'null empties, or brings the default back')
  from (select environment, tags, poll_interval from saas.connection where id = :'json') c;
select conn.update(:'json', '{"config": {"url": "https://api.example.com/v2"}}') \g /dev/null
select is(config ->> 'url' || ' ' || (config -> 'metrics' -> 0 ->> 'name'), 'https://api.example.com/v2 m', 'a key of the config changes, the others stay')
  from saas.connection where id = :'json';
select is(conn.state(:'json'), 'https://api.example.com:443 pending bearer_token', 'on the same host the secrets stay, and it is polled soon');
call conn.settle(:'json');
select is(conn.update(:'json', '{"config": {"url": "https://other.example.com/v2"}}'),
          '22023 secrets.bearer_token: is required with auth bearer', 'another host needs the secrets again');
select is(conn.state(:'json'), 'https://api.example.com:443 active bearer_token', 'and without them nothing changes');
select is((conn.update(:'json', '{"config": {"url": "https://other.example.com/v2", "auth": "none"}}')::jsonb) ->> 'name', 'Renamed',
          'unless the other host needs none');
select is(conn.state(:'json'), 'https://other.example.com:443 pending none', 'then they are gone');
select conn.update(:'json', '{"config": {"url": "https://third.example.com/", "auth": "bearer"}, "secrets": {"bearer_token": "second"}}') \g /dev/null
select is(conn.state(:'json'), 'https://third.example.com:443 pending bearer_token', 'or they come in the same call');
select conn.update(:'json', '{"config": {"url": "https://third.example.com:8443/"}, "secrets": {"bearer_token": "third"}}') \g /dev/null
select is(conn.state(:'json'), 'https://third.example.com:8443 pending bearer_token', 'another port is another destination');
select is(conn.update(:'json', patch), answer, format('the patch %s is refused', patch))
  from (values ('[]', '22023 patch: must be an object'), ('{"kind": "prometheus"}', '22023 kind: is not a known key'),
               ('{"config": []}', '22023 config: must be an object'), ('{"secrets": "x"}', '22023 secrets: must be an object'),
               ('{"secrets": null}', '22023 secrets: must be an object'),
               ('{"name": ""}', '22023 name: is required'), ('{"environment": "moon"}', '22023 environment: must be production, staging or development'),
               ('{"tags": []}', '22023 tags: must be an object'), ('{"poll_interval": "soon"}', '22023 poll_interval: must be an interval'),
               ('{"poll_interval": "1 second"}', '22023 poll_interval: must be between 00:01:00 and 31 days'),
               ('{"config": {"url": "ftp://x"}}', '22023 url: is not a usable URL. It does not begin with http:// or https://.'),
               ('{"secrets": {"password": "p"}}', '22023 secrets.bearer_token: is required with auth bearer; secrets.password: is not used with auth bearer')) as v (patch, answer);
select is(conn.update(:'foreign', '{"name": "mine"}'), 'PT404 | connection not found', 'another organization''s connection is not found');
select is(conn.update(:'json', '{"name": "mine"}', 'member'), 'PT403 | permission denied by the organization''s roles | manage_connections',
          'a member changes none');
select is((select e.before ->> 'name' || ' ' || (e.after -> 'sealed_names')::text from saas.audit_event e
            where e.action = 'connection.updated' and e.object_id = :'json' order by e.id desc limit 1), 'Renamed ["bearer_token"]',
          'what changed is audited, and which secrets');
select is_empty($$select from saas.audit_event e where e::text ~ '"(first|second|third)"'$$, 'never their values');
select is(conn.call('admin', conn.create_call('http_json',
              '{"url": "https://taken.example.com/", "metrics": [{"name": "m", "path": "$.n"}]}', '{}', 'Taken') || ' ->> ''name'''),
          'Taken', 'another connection');
select is(conn.update(:'json', '{"config": {"url": "https://taken.example.com/", "auth": "none"}}'),
          '23505 | already connected', 'the account of another connection is refused');
select conn.call('admin', format('saas_api.delete_connection(%L, %L)', c.id, c.name)) from saas.connection c where c.name in ('Renamed', 'Taken') \g /dev/null

-- Health, from the state of the polls

update saas.connection_status
   set (status, consecutive_failures, last_success_at, last_error) = row(v.status, v.failures, now() - v.age, v.error)
  from (values ('active', 0, interval '1 minute', null)) as v (status, failures, age, error)
 where connection_id = :'acme';
select is(health, 'ok', 'a connection that was just polled is ok') from saas_api.connections where id = :'acme';
create function conn.health(state text, failures integer, age interval, error text) returns text
language plpgsql as $$
begin
    update saas.connection_status s
       set status = state, consecutive_failures = failures, last_success_at = now() - age, last_error = error
      from saas.connection c where c.id = s.connection_id and c.name = 'Acme';
    return (select concat_ws(', ', c.status, c.health, c.health_reason) from saas_api.connections c where c.name = 'Acme');
end
$$;
select is(conn.health(state, failures, age, error), answer, format('%s: %s', state, answer))
  from (values ('pending', 0, null, null, 'pending, unknown'),
               ('active', 0, interval '2 hours', null, 'active, ok'),
               ('active', 0, interval '4 hours', null, 'active, degraded, no poll for a while'),
               ('error', 1, interval '1 minute', 'timeout', 'error, degraded, timeout'),
               ('error', 4, interval '1 minute', 'timeout', 'error, degraded, timeout'),
               ('error', 5, interval '1 minute', 'timeout', 'error, error, timeout'),
               ('reauth_required', 1, interval '1 minute', 'sign in again', 'reauth_required, error, sign in again')) as v (state, failures, age, error, answer);

-- What waits for a poller says what it is given

select is(conn.call('admin', format('saas_api.test_connection(%L, %s)', :'web', ms)), '22023 timeout_ms: must be between 100 and 60000',
          format('a timeout of %s ms is refused', ms)) from unnest(array[99, 60001, -1]) as ms;
select is(conn.call('admin', 'saas_api.refresh_connections(null, 60001)'), '22023 timeout_ms: must be between 100 and 60000', 'by refresh too');
select is(conn.call('admin', 'saas_api.refresh_connections((select array_agg(gen_random_uuid()) from generate_series(1, 10001)))'),
          '22023 connection_ids: must have at most 10000 elements', 'and so many connections');
select is(conn.call('admin', format('saas_api.refresh_connections(array[%L, %L]::uuid[])', :'foreign', :'foreign')),
          format('[{"ok": false, "name": null, "error": "connection not found", "samples": 0, "from_store": false, "duration_ms": 0, "connection_id": "%s"}]', :'foreign'),
          'another organization''s connection answers for itself that it is not found, once');
select is(conn.call('admin', 'saas_api.refresh_connections(''{}'')'), '[]', 'none answers for none');

-- Deleting

select tenants.read(c.org_id, tenants.lay_out(c.org_id, c.id, '[{"metric": "m"}]'), now(), 1)
  from saas.connection c where c.id in (:'web', :'acme');
create function conn.rows_of(id uuid) returns text
language sql as $$
    select concat_ws(' ', (select count(*) from saas.connection where id = $1), (select count(*) from saas.connection_status where connection_id = $1),
                     (select count(*) from saas_private.connection_secret where connection_id = $1), (select count(*) from saas.series where connection_id = $1),
                     (select count(*) from saas.layout where connection_id = $1), (select count(*) from saas.reading where connection_id = $1))
$$;
select is(conn.rows_of(:'acme'), '1 1 2 1 1 1', 'a connection has rows in many tables');
select is(conn.call('admin', format('saas_api.delete_connection(%L, %L)', :'acme', confirm)), '22023 confirm_name: must be the name of the connection',
          format('delete is not confirmed by %s', coalesce(confirm, 'NULL'))) from unnest(array['acme', '', null, 'Acme ']) as confirm;
select is(conn.rows_of(:'acme'), '1 1 2 1 1 1', 'and deletes nothing');
select is(conn.call('admin', format('saas_api.delete_connection(%L, ''Acme'')', :'acme')), format('{"id": "%s", "name": "Acme"}', :'acme'), 'its name does');
select is(conn.rows_of(:'acme'), '0 0 0 0 0 0', 'and every row goes');
select is(conn.rows_of(:'web'), '1 1 0 1 1 1', 'but no row of another connection');
select is(conn.call('admin', format('saas_api.delete_connection(%L, ''Acme'')', :'acme')), 'PT404 | connection not found', 'once');
select is(conn.call('admin', conn.create_call('salesforce', :'sf', :'tokens', 'Acme') || '->>''name'''), 'Acme', 'the account can be connected again');

select * from finish();
