-- What somebody would try with connections who may do a little: polls out of
-- turn, another's own token, tokens past their time, secrets where they are
-- shown or lead elsewhere.
select no_plan();
\ir ../lib/refusals.sql
\ir ../lib/tenants.sql
call tenants.hold_poller();

select user_id as ada, org_id as works from tenants.found('ada') \gset
select user_id as bob, org_id as other from tenants.found('bob') \gset
select tenants.join('adm', :'works', 'admin') as adm, tenants.join('sec', :'works', 'admin') as sec \gset
create table pg_temp.person (who text primary key, user_id uuid, org_id uuid);
insert into pg_temp.person values ('ada', :'ada', :'works'), ('adm', :'adm', :'works'), ('sec', :'sec', :'works'), ('bob', :'bob', :'other');
create function pg_temp.call(who text, call text) returns text language plpgsql as $$
declare
    answer text[] := (select string_to_array(tenants.answer(call.call, p.user_id, p.org_id), E'\n') from pg_temp.person p where p.who = call.who);
begin
    if answer[1] ~ '^[0-9A-Z]{5}$' and answer[3] ~ '^\[' then
        return answer[1] || ' ' || (select string_agg(e ->> 'field' || ': ' || (e ->> 'message'), '; ') from jsonb_array_elements(answer[3]::jsonb) e);
    end if;
    return array_to_string(answer, ' | ');
end
$$;
create function pg_temp.made(who text, kind text, name text, config text, secrets text default '{}', more text default '') returns uuid language sql as $$
    select (pg_temp.call(made.who, format('saas_api.create_connection(%L, %L, %L, %L %s)->>''id''', made.kind, made.name, made.config, made.secrets, made.more)))::uuid
$$;
create function pg_temp.named(id uuid) returns text language sql as $$
    select coalesce(string_agg(s.name, '+' order by s.name), 'none') from saas_private.connection_secret s where s.connection_id = named.id
$$;
\set theirs '''PT403 | the connection is another member''''s own'''

-- Polls out of turn: neither the interval nor a pause is got around by turning
-- a connection off and on.

select pg_temp.made('ada', 'prometheus', 'Web', '{"url": "https://web.example.com/"}', more => ', poll_interval => ''1 hour''') as web \gset
create function pg_temp.next(id uuid, active boolean) returns interval language plpgsql as $$
begin
    perform pg_temp.call('ada', format('saas_api.set_connection_active(%L, %L)', id, active));
    return (select date_trunc('minute', s.next_poll_at - now() + interval '30 seconds') from saas.connection_status s where s.connection_id = id);
end
$$;
update saas.connection_status set status = 'active', next_poll_at = now() + interval '40 minutes', last_polled_at = now() - interval '20 minutes' where connection_id = :'web';
select is(pg_temp.next(:'web', true), '40 minutes', 'turning on what is on makes nothing due');
select is((select count(*) from saas.audit_event where action = 'connection.activated'), 0::bigint, 'and is no change to be audited');
select is(pg_temp.next(:'web', false), '40 minutes', 'nor does turning it off');
select is(pg_temp.next(:'web', true), '40 minutes', 'on again it is due at its interval');
update saas.connection_status set status = 'error', consecutive_failures = 7, next_poll_at = now() + interval '90 minutes' where connection_id = :'web';
select is(pg_temp.next(:'web', false) + pg_temp.next(:'web', true), '180 minutes', 'a pause after failures goes on');
update saas.connection_status set status = 'reauth_required', consecutive_failures = 1, next_poll_at = 'infinity' where connection_id = :'web';
select is(pg_temp.call('ada', format('saas_api.set_connection_active(%L, false)->>''status''', :'web')), 'inactive', 'one whose credentials were refused, turned off');
select is(pg_temp.call('ada', format('(select s->>''status'' || '' '' || (s->>''next_poll_at'') from saas_api.set_connection_active(%L, true) s)', :'web')), 'reauth_required infinity', 'and on, still waits for others');
update saas.connection_status set status = 'active', consecutive_failures = 0, next_poll_at = now(), last_polled_at = now() - interval '2 days' where connection_id = :'web';
select is(pg_temp.next(:'web', false) + pg_temp.next(:'web', true), '0', 'one that was off for long is due at once');

update saas.connection_status set last_polled_at = now() where connection_id = :'web';
select is(pg_temp.call('ada', format('saas_api.set_connection_active(%L, false)->>''status''', :'web')), 'inactive', 'one that is off');
select is(pg_temp.call('ada', format('saas_api.set_connection_secrets(%L, ''{"bearer_token": "x"}'')->>''status''', :'web')), 'inactive', 'and is given secrets');
select is(pg_temp.next(:'web', true), '0', 'is due as soon as it is on');

-- A member's own connection and the others

select pg_temp.made('adm', 'prometheus', 'Own', '{"url": "https://own.example.com/"}', '{"bearer_token": "adm''s"}') as own \gset
-- As the member has made it with a session.
update saas.connection set owner_id = created_by where id = :'own';
select is(pg_temp.call('ada', format('saas_api.set_connection_active(%L, false)->>''status''', :'own')), 'inactive', 'others may turn a member''s own connection off');
select is(pg_temp.call('ada', format('saas_api.set_connection_active(%L, true)', :'own')), :theirs, 'but not on');
select is(pg_temp.call('ada', format('saas_api.test_connection(%L)', :'own')), :theirs, 'nor ask the upstream with it then');
select is(pg_temp.call('ada', format('saas_api.refresh_connections(array[%L]::uuid[])->0->>''error''', :'own')), 'connection is inactive', 'nor refresh it');
select is(pg_temp.call('ada', format('saas_api.update_connection(%L, ''{"features": {}}'')', :'own')), :theirs, 'nor switch features on');
select is(pg_temp.call('ada', format('saas_api.update_connection(%L, ''{"name": "Theirs", "environment": "staging"}'')->>''name''', :'own')), 'Theirs', 'they may name it');
select is(pg_temp.named(:'own'), 'bearer_token', 'the member''s token stays sealed');

-- Who turns the account off takes the token along, as who leaves.
select pg_temp.made('sec', 'prometheus', 'Sec', '{"url": "https://sec.example.com/"}', '{"bearer_token": "sec''s"}') as sec_own \gset
update saas.connection set owner_id = created_by where id = :'sec_own';
select saas.deactivate_user(:'sec') as ok \gset
select is(pg_temp.named(:'sec_own') || ' ' || is_active || ' ' || (owner_id is null), 'none false true', 'the secrets of an account that is turned off are destroyed')
  from saas.connection where id = :'sec_own';
select is(pg_temp.named(:'own'), 'bearer_token', 'no other member''s');
select saas.activate_user(:'sec') as ok \gset
select is(pg_temp.named(:'sec_own'), 'none', 'nor do they come back with it');

-- Where somebody is a member still, theirs stay; and what a poll under way
-- brings does not count once the secrets or the config are others.
insert into saas.membership (org_id, user_id, role) values (:'other', :'adm', 'admin');
insert into pg_temp.person values ('adm there', :'adm', :'other');
select pg_temp.made('adm there', 'prometheus', 'There', '{"url": "https://own.example.com/"}', '{"bearer_token": "adm''s"}') as there \gset
update saas.connection set owner_id = created_by where id = :'there';
select is(pg_temp.call('ada', format('saas_api.remove_member(%L)->>''message''', :'adm')), 'Member removed.', 'a member of two organizations is removed from one');
select is(pg_temp.named(:'own') || ' ' || pg_temp.named(:'there'), 'none bearer_token', 'and keeps what is the other''s');
create function pg_temp.leased(call text) returns text language plpgsql as $$
declare
    answer text;
begin
    update saas.connection_status set lease_id = gen_random_uuid(), lease_until = now() + interval '1 minute' where connection_id = (select id from saas.connection where name = 'Web');
    answer := left(pg_temp.call('ada', call), 5);
    return answer || ' ' || (select s.lease_id is not null from saas.connection_status s join saas.connection c on c.id = s.connection_id where c.name = 'Web');
end
$$;
select is(pg_temp.leased(format('saas_api.update_connection(%L, ''{"tags": {}}'')->>''name''', :'web')), 'Web true', 'a poll under way goes on when tags change');
select is(pg_temp.leased(format('saas_api.update_connection(%L, ''{"config": {"url": "https://web.example.com/other"}}'')->>''name''', :'web')), 'Web false', 'and is lost with another config');
select is(pg_temp.leased(format('saas_api.set_connection_secrets(%L, ''{"bearer_token": "new"}'')->>''name''', :'web')), 'Web false', 'and with other secrets');

-- Tokens: the clock that counts does not stand still in a transaction.

create function pg_temp.confirm(token text, more text default '') returns text language plpgsql as $$
declare
    result text;
    message text;
    detail text;
    hint text;
begin
    set local role saas_anon;
    execute format('select saas_api.confirm_connection_token(%L %s)', confirm.token, confirm.more) into result;
    reset role;
    return result;
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    return concat_ws(' | ', sqlstate, message, nullif(detail, ''), nullif(hint, ''));
end
$$;
create function pg_temp.token(name text, more text default '') returns text language sql as $$
    select pg_temp.call('ada', format('saas_api.create_connection_token(''prometheus'', %L %s)->>''token''', token.name, token.more))
$$;
\set ended '''22023 | invalid or expired token | Ask whoever gave you the token for a new one.'''
select pg_temp.token('Late') as token \gset
begin;
select now() as begun \gset
update saas.connection_token set expires_at = clock_timestamp() where name = 'Late';
select cmp_ok((select expires_at from saas.connection_token where name = 'Late'), '>', now(), 'a token that expires while a transaction is open');
select is(pg_temp.confirm(:'token', ', config => ''{"url": "https://late.example.com/"}'''), :ended, 'has expired there too');
rollback;

-- A secret in the config would be shown until the other side confirms.
select is(pg_temp.call('ada', format('saas_api.create_connection_token(%L, ''X'', %L)', kind, config)),
          '22023 config: holds a secret: the other side gives it in secrets', format('a token keeps no secret of %s in its config', kind))
  from (values ('prometheus', '{"bearer_token": "hush"}'), ('http_json', '{"url": "https://a.example.com/", "api_key": "hush"}'),
               ('salesforce', '{"client_secret": "hush"}'), ('postgresql', '{"password": "hush"}'), ('aws', '{"secret_access_key": "hush"}')) as v (kind, config);
select is((select count(*) from saas.audit_event e, saas.connection_token t where e::text ~ 'hush' or t::text ~ 'hush'), 0::bigint, 'nor does the audit');

-- Who holds a token learns no figures of the organization.
select pg_temp.token('Full') as token \gset
select saas.set_plan(:'works', 'free') as ok \gset
select is(pg_temp.confirm(:'token', ', config => ''{"url": "https://full.example.com/"}'''), 'PT402 | the plan allows no more connections | Ask whoever gave you the token.', 'beyond the plan nothing more is told');
select is(pg_temp.call('ada', 'saas_api.create_connection(''prometheus'', ''X'', ''{"url": "https://x.example.com/"}'')'),
          'PT402 | the plan allows no more connections | {"limit": "connections", "allowed": 1, "connections": 3}', 'than to those who manage them');
select saas.set_plan(:'works', 'enterprise') as ok \gset

-- Somebody of another organization who confirms while signed in leaves no rows
-- there and sees none here.
begin;
select saas.assume_identity(:'bob', :'other') as ok \gset
set local role saas_user;
select is(saas_api.confirm_connection_token(:'token', config => '{"url": "https://bobs.example.com/"}') ->> 'organization', 'Ada Works', 'a token is good for who is signed in elsewhere too');
select is((select string_agg(name, ',') from saas_api.connections), 'There', 'who then sees no other connection');
reset role;
commit;
select is((select string_agg(c.org_id::text, ',') from saas.connection c where c.config ->> 'url' ~ 'bobs'), :'works', 'it is the organization''s that made the token');
select is((select count(*) from saas.audit_event e where e.org_id = :'other' and e.action ~ '^connection' and e.after ->> 'name' is distinct from 'There'), 0::bigint, 'and nothing is written down in the other''s audit');

-- Where secrets go when the config changes

select pg_temp.made('ada', 'postgresql', 'Db', '{"host": "db.example.com", "dbname": "d", "user": "u"}', '{"password": "p"}') as db \gset
create function pg_temp.update(id uuid, patch text) returns text language sql as $$
    select pg_temp.call('ada', format('saas_api.update_connection(%L, %L)->>''name''', update.id, update.patch))
$$;
select is(pg_temp.update(:'db', '{"config": {"host": "other.example.com"}}'), '22023 secrets.password: is required to sign in', 'another host needs the password again');
select is(pg_temp.update(:'db', '{"config": {"port": 6432}}'), '22023 secrets.password: is required to sign in', 'so does another port');
select is(pg_temp.update(:'db', '{"config": {"dbname": "e"}}') || ' ' || pg_temp.named(:'db'), 'Db password', 'another database of the server does not');

select pg_temp.made('ada', 'http_json', 'Api', '{"url": "https://api.example.com/", "auth": "client_credentials", "token_url": "https://id.example.com/token", "metrics": [{"name": "m", "path": "$.m"}]}',
                    '{"client_id": "c", "client_secret": "s"}') as api \gset
-- As the poller stores what it has bought.
create procedure pg_temp.buy(id uuid) language sql as $$
    insert into saas_private.connection_secret (org_id, connection_id, name, value)
    select c.org_id, c.id, s.name, s.value from saas.connection c, saas_private.seal_secrets(c.org_id, c.id, c.origin, '{"access_token": "bought"}') s where c.id = buy.id
    on conflict do nothing
$$;
call pg_temp.buy(:'api');
select is(pg_temp.update(:'api', '{"config": {"token_url": "https://evil.example.com/token"}}'),
          '22023 secrets.client_id: is required with auth client_credentials; secrets.client_secret: is required with auth client_credentials', 'another token endpoint needs the client''s secret again');
select is(pg_temp.update(:'api', '{"name": "Api", "tags": {"a": "b"}}') || ' ' || pg_temp.named(:'api'), 'Api access_token+client_id+client_secret', 'a bought token outlives a new name');
select is(pg_temp.update(:'api', '{"config": {"scope": "less"}}') || ' ' || pg_temp.named(:'api'), 'Api client_id+client_secret', 'but not another scope');
select is(pg_temp.update(:'api', '{"config": {"url": "https://else.example.com/"}, "secrets": {"client_id": "c", "client_secret": "t"}}') || ' ' || pg_temp.named(:'api'), 'Api client_id+client_secret', 'or another host');
select pg_temp.made('ada', 'salesforce', 'Sf', '{"org_id": "00D000000000062", "instance_url": "https://a.my.salesforce.com"}', '{"client_id": "c", "refresh_token": "r", "access_token": "a"}') as sf \gset
select is(pg_temp.update(:'sf', '{"config": {"api_version": "60.0"}}') || ' ' || pg_temp.named(:'sf'), 'Sf access_token+client_id+refresh_token', 'tokens that the owner gave stay');
begin;
-- As a connection with a key has them: what its assertion bought is another user's.
insert into saas_private.connection_secret (org_id, connection_id, name, value)
select c.org_id, c.id, s.name, s.value from saas.connection c, saas_private.seal_secrets(c.org_id, c.id, c.origin, '{"private_key": "k"}') s where c.id = :'sf';
update saas.connection set config = config || '{"auth": "jwt_bearer", "username": "one@example.com"}' where id = :'sf';
select is(pg_temp.update(:'sf', '{"config": {"username": "other@example.com"}}') || ' ' || pg_temp.named(:'sf'), 'Sf client_id+private_key+refresh_token', 'a token bought for one user is not another''s');
rollback;
select is(left(pg_temp.update(:'sf', format('{"config": {%s}}', part)), 29), '22023 secrets.refresh_token: ', format('elsewhere with %s nothing goes', part))
  from unnest(array['"login_url": "https://evil.example.com"', '"instance_url": "https://evil.example.com"']) part;

-- Input at the edge

select is(pg_temp.call('ada', format('saas_api.create_connection(''prometheus'', ''X'', ''{"url": "https://x.example.com/"}'', poll_interval => %L)', every)),
          '22023 poll_interval: must be between 00:01:00 and 31 days', format('an interval of %s is refused', every))
  from unnest(array['178000000 years', '-178000000 years', '100000000 days', '-1 microsecond', '0', '31 days 1 microsecond']) every;
select is(pg_temp.update(:'web', format('{"%s": %s}', field, value)), answer, format('%s: %s is refused', field, value))
  from (values ('name', '5', '22023 name: must be a text or null'), ('name', '["Web"]', '22023 name: must be a text or null'), ('name', 'null', '22023 name: is required'),
               ('poll_interval', '{}', '22023 poll_interval: must be an interval'), ('poll_interval', '"178000000 years"', '22023 poll_interval: must be between 00:01:00 and 31 days'),
               ('group_id', '5', '22023 group_id: must be a text or null'), ('features', '{"x": true}', '22023 features.x: is not a feature of this kind'),
               ('environment', '["staging"]', '22023 environment: must be a text or null')) as v (field, value, answer);
select is(pg_temp.call('ada', format('saas_api.create_connection(''prometheus'', ''X'', %L)', '{"url": "https://x.example.com/", "x": ' || repeat('[', 6000) || repeat(']', 6000) || '}')),
          '22023 config: the text is not JSON: line 1, column 2054: nested too deeply', 'a config that is too deep is refused');
select is(left(pg_temp.call('ada', call), 50), '22023 ' || what, format('%s is refused', what))
  from (values ('config: must have at most 64 kB', format('saas_api.create_connection(''prometheus'', ''X'', %L)', jsonb_build_object('url', 'https://x.example.com/', 'x', repeat('x', 70000)))),
               ('secrets: must have at most 64 kB', format('saas_api.create_connection(''prometheus'', ''X'', ''{"url": "https://x.example.com/"}'', %L)', jsonb_build_object('bearer_token', repeat('x', 70000)))),
               ('secrets: must not be longer than 65536 bytes', format('saas_api.set_connection_secrets(%L, %L)', :'web', jsonb_build_object('bearer_token', repeat('x', 70000)))),
               ('patch: must have at most 64 kB', format('saas_api.update_connection(%L, %L)', :'web', jsonb_build_object('name', repeat('x', 70000)))),
               ('tags: must have at most 8 kB', format('saas_api.create_connection(''prometheus'', ''X'', ''{"url": "https://x.example.com/"}'', tags => %L)', jsonb_build_object('t', repeat('x', 8200)))),
               ('url: must not be longer than 255 bytes', format('saas_api.create_connection(''prometheus'', ''X'', %L)', jsonb_build_object('url', 'https://x.example.com/' || repeat('x', 240))))) as v (what, call);

-- Numbers that are short as they are sent and long as they are written: these
-- make more than a gigabyte.
select format('[%s]', string_agg('1e131071', ',')) as bomb from generate_series(1, 8300) \gset
select is(pg_temp.call('ada', call), said, 'not written down: ' || left(call, 50)) from (values
    (format('saas_api.create_connection(''prometheus'', ''X'', ''{"url": %s}'')', :'bomb'), '22023 config: must have at most 64 kB'),
    (format('saas_api.create_connection(''prometheus'', ''X'', ''{"url": "https://x.example.com/"}'', ''{"x": %s}'')', :'bomb'), '22023 secrets: must have at most 64 kB'),
    (format('saas_api.create_connection(''prometheus'', ''X'', ''{"url": "https://x.example.com/"}'', tags => ''{"x": %s}'')', :'bomb'), '22023 tags: must have at most 8 kB'),
    (format('saas_api.update_connection(%L, ''{"config": {"x": %s}}'')', :'web', :'bomb'), '22023 patch: must have at most 64 kB'),
    (format('saas_api.set_connection_secrets(%L, ''{"x": %s}'')', :'web', :'bomb'), '22023 secrets: must not be longer than 65536 bytes'),
    (format('saas_api.create_connection_token(''prometheus'', ''X'', ''{"url": %s}'')', :'bomb'), '22023 config: must have at most 64 kB'),
    (format('saas_api.set_preferences(''{"x": %s}'')', :'bomb'), '22023 patch: must leave at most 16 kB'),
    (format('saas_api.set_member_attributes(%L, ''{"x": %s}'')', :'ada', :'bomb'), '22023 attributes: must have at most 16384 bytes'),
    (format('saas_api.update_organization(''{"metadata": {"x": %s}}'')', :'bomb'), '22023 patch: must have at most 64 kB')) as v (call, said);
select pg_temp.token('Bomb') as token \gset
select is(pg_temp.confirm(:'token', format(', config => ''{"url": %s}''', :'bomb')), '22023 | invalid input | [{"field": "config", "message": "must have at most 64 kB"}]', 'by who holds a token neither');
-- The bound is that of the text, to the byte.
select is((select string_agg(concat(saas_private.json_is_longer(j, length - 1), saas_private.json_is_longer(j, length), saas_private.json_is_longer(j, length + 1)), ' ')
             from (select j, octet_length(j::text) as length
                     from unnest(array['{}', '[]', '{"a": 1}', '[[], {}, [[[]]], {"a": {"b": []}}]', '{"a": [1, "x", true, false, null, -1.50, 1e20, 1e-20], "b\n\"": "\u0001\t\\é€"}']::jsonb[]) j) v),
          'tff tff tff tff tff', 'a JSON value is as long as its text');

-- More connections than one call may ask for.
begin;
insert into saas.connection (org_id, kind, name, account_key, config, origin, poll_interval)
select :'works', 'prometheus', 'many', 'many ' || n, '{}', 'https://many.example.com:443', '1 hour' from generate_series(1, 10001) n;
select saas.assume_identity(:'ada', :'works') as ok \gset
set local role saas_user;
select is(pg_temp.refusal('select saas_api.refresh_connections()'), '22023 invalid input (connection_ids)', 'all of them are asked for in parts');
rollback;

-- What is made is audited with all that was given but the secrets.
select pg_temp.made('ada', 'prometheus', 'Seen', '{"url": "https://seen.example.com/"}', '{"bearer_token": "unseen"}', ', tags => ''{"team": "crm"}'', environment => ''staging''') as seen \gset
select is((select after from saas.audit_event where action = 'connection.created' and object_id = :'seen'),
          '{"name": "Seen", "kind": "prometheus", "tags": {"team": "crm"}, "config": {"url": "https://seen.example.com/"}, "features": {}, "group_id": null, "environment": "staging",
            "poll_interval": "00:01:00", "sealed_names": ["bearer_token"]}', 'the audit tells what was connected');
select is((select count(*) from saas.audit_event e where e::text ~ 'unseen|adm''s|sec''s|bought'), 0::bigint, 'and no secret');

select * from finish();
