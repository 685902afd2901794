-- Tokens with which the other side connects its account: what they fix, that
-- they are good once and for ten minutes, and who makes and ends them.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();

create schema tok;
grant usage on schema tok to public;
create table tok.person (name text primary key, user_id uuid, org_id uuid);
insert into tok.person select 'owner', (t).user_id, (t).org_id from (select tenants.found('owner') as t) f;
insert into tok.person select 'stranger', (t).user_id, (t).org_id from (select tenants.found('stranger') as t) f;
insert into tok.person
select r, tenants.join(r, o.org_id, r), o.org_id
  from tok.person o, unnest(array['admin', 'viewer']) as r where o.name = 'owner';
create function tok.short(answer text) returns text
language plpgsql as $$
declare
    part text[] := string_to_array(answer, E'\n');
begin
    if part[1] ~ '^[0-9A-Z]{5}$' and part[3] ~ '^\[' then
        return part[1] || ' ' || (select string_agg(e ->> 'field' || ': ' || (e ->> 'message'), '; ')
                                    from jsonb_array_elements(part[3]::jsonb) e);
    end if;
    return array_to_string(part, ' | ');
end
$$;
create function tok.call(person text, call text) returns text
language sql as $$
    select tok.short(tenants.answer(call.call, p.user_id, p.org_id)) from tok.person p where p.name = call.person
$$;
-- What somebody without an account is answered.
create function tok.confirm(token text, more text default '') returns text
language plpgsql as $$
declare
    result text;
    message text;
    detail text;
begin
    set local session authorization saas_anon;
    execute format('select saas_api.confirm_connection_token(%L %s)', confirm.token, confirm.more) into result;
    reset session authorization;
    return result;
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail;
    return tok.short(concat_ws(E'\n', sqlstate, message, nullif(detail, '')));
end
$$;
create table tok.made (label text primary key, answer jsonb);
create function tok.make(label text, call text, person text default 'owner') returns text
language plpgsql as $$
declare
    answer text := tok.call(make.person, 'saas_api.create_connection_token(' || make.call || ')');
begin
    if answer !~ '^\{' then
        return answer;
    end if;
    insert into tok.made values (make.label, answer::jsonb);
    return 'made';
end
$$;
create function tok.token(label text) returns text language sql as $$ select answer ->> 'token' from tok.made m where m.label = token.label $$;
create function tok.id(label text) returns uuid language sql as $$ select (answer ->> 'id')::uuid from tok.made m where m.label = id.label $$;
\set invalid '\'22023 | invalid or expired token\''

-- Making them

select is(tok.make('a', $$'prometheus', 'Exporter', environment => 'production', tags => '{"team": "ops"}', poll_interval => '5 minutes'$$), 'made', 'the owner makes a token');
select is((select answer - array['org_id', 'id', 'created_by', 'created_at', 'expires_at', 'token'] from tok.made where label = 'a'),
    '{"kind": "prometheus", "name": "Exporter", "config": {}, "environment": "production", "tags": {"team": "ops"}, "poll_interval": "00:05:00",
      "status": "pending", "used_at": null, "revoked_at": null, "connection_id": null, "api_key_id": null}', 'and is told what it is for');
select ok(length(tok.token('a')) >= 43 and (answer ->> 'expires_at')::timestamptz between now() + interval '9 minutes' and now() + interval '10 minutes',
    'it is long and good for ten minutes') from tok.made where label = 'a';
select is((select count(*) from saas.connection_token t, saas_private.connection_token_hash h where t::text like '%' || tok.token('a') || '%' or h::text like '%' || tok.token('a') || '%'),
    0::bigint, 'only its hash is stored');
select is(tok.make('x', call), answer, 'no token: ' || call) from (values
    ($$'oracle'$$, '22023 kind: must be one of salesforce, prometheus, http_json, aws, postgresql'),
    ('null', '22023 kind: must be one of salesforce, prometheus, http_json, aws, postgresql'),
    ($$'prometheus', E'a\nb'$$, '22023 name: must not hold control characters'),
    ($$'prometheus', ' '$$, '22023 name: is required'),
    ($$'prometheus', config => '[]'$$, '22023 config: must be an object'),
    ($$'prometheus', environment => 'test'$$, '22023 environment: must be production, staging or development'),
    ($$'prometheus', tags => '[]'$$, '22023 tags: must be an object'),
    ($$'prometheus', poll_interval => '1 second'$$, '22023 poll_interval: must be between 00:01:00 and 31 days')) as b (call, answer);
select is(tok.make('x', $$'prometheus'$$, 'viewer'), 'PT403 | permission denied by the organization''s roles | manage_connections', 'a viewer makes none');
select is(tok.confirm(tok.token('a'), $$, config => '{"url": 1}'$$), '22023 url: must be a string', 'a config that is refused');

-- Confirming

select is(tok.confirm(tok.token('a'), $$, account_id => '1', config => '{"url": "https://e.example.com/m"}'$$), '22023 account_id: is not used by this kind', 'a kind without accounts takes none');
select is(tok.confirm(tok.token('a'), $$, region => 'eu-west-1', config => '{"url": "https://e.example.com/m"}'$$), '22023 region: is not used by this kind', 'nor a region');
select is(tok.confirm(tok.token('a'), $$, environment => 'staging', config => '{"url": "https://e.example.com/m"}'$$), '22023 environment: is fixed by the token', 'what the token fixes stays');
select is(tok.confirm(tok.token('a'), $$, config => '"x"'$$), '22023 config: must be an object', 'a config that is no object');
select is((select count(*) from saas.connection), 0::bigint, 'nothing was connected by all that');
select is(tok.confirm(tok.token('a'), $$, config => '{"url": "https://e.example.com/m"}', secrets => '{"bearer_token": "the other side''s"}'$$)::jsonb - 'id',
    '{"kind": "prometheus", "name": "Exporter", "environment": "production", "external_account_id": null, "organization": "Owner Works", "message": "Connected."}',
    'what was refused left the token good: the account is connected');
select is(to_jsonb(c), jsonb_build_object('name', 'Exporter', 'environment', 'production', 'tags', '{"team": "ops"}'::jsonb, 'poll_interval', '00:05:00',
    'config', '{"url": "https://e.example.com/m"}'::jsonb, 'created_by', p.user_id, 'org_id', p.org_id, 'status', 'pending'), 'for the organization, in its maker''s name')
  from (select c.name, c.environment, c.tags, c.poll_interval, c.config, c.created_by, c.org_id, s.status
          from saas.connection c join saas.connection_status s on s.connection_id = c.id) c, tok.person p where p.name = 'owner';
select bag_eq('select name from saas_private.connection_secret', array['bearer_token'], 'with its secret, sealed');
select is(tok.confirm(tok.token('a'), $$, config => '{"url": "https://f.example.com/m"}'$$), :invalid, 'a second time it is not good');
select is(tok.call('owner', $$(select status || ' ' || (connection_id = (select id from saas_api.connections)) from saas_api.connection_tokens)$$), 'used true', 'the list tells what came of it');
select is(tok.call('viewer', '(select count(*) from saas_api.connection_tokens)'), '0', 'to those who manage connections');
select is(tok.call('stranger', '(select count(*) from saas_api.connection_tokens)'), '0', 'and to no other organization');
select bag_eq($$select action from saas.audit_event where action ~ '^connection' and org_id = (select org_id from tok.person where name = 'owner')$$,
    array['connection_token.created', 'connection.created', 'connection_token.used'], 'all of it is audited, with the organization');
select is((select count(*) from saas.audit_event where coalesce(before, '{}')::text || coalesce(after, '{}')::text ~ 'other side'), 0::bigint, 'without the secret');

-- Rolled back by whoever sees the answer.
select is(tok.make('b', $$'prometheus', config => '{"url": "https://b.example.com/m"}'$$), 'made', 'a token with the address fixed');
select is(tok.confirm(tok.token('b')), '22023 alias: is required', 'a name has to come from somewhere');
select is(tok.confirm(tok.token('b'), $$, alias => 'B', config => '{"url": "https://evil.example.com/m"}'$$), '22023 config.url: is fixed by the token', 'another address is refused');
begin;
select is(tok.confirm(tok.token('b'), $$, alias => 'B'$$)::jsonb ->> 'name', 'B', 'the alias names it');
rollback;
select is((select count(*) from saas.connection where name = 'B'), 0::bigint, 'who rolls back has connected nothing');
select is(tok.confirm(tok.token('b'), $$, alias => 'B'$$), :invalid, 'and used the token up');

-- Whoever is refused is told the same.
select is(tok.confirm('no such token', $$, config => '{"url": "https://e.example.com/m"}'$$), :invalid, 'a token that never was');
select is(tok.confirm(null), :invalid, 'none');
select is(tok.make('c', $$'prometheus', 'C', '{"url": "https://c.example.com/m"}'$$), 'made', 'a token that will expire');
update saas.connection_token set expires_at = now() where id = tok.id('c');
select is(tok.confirm(tok.token('c')), :invalid, 'expired');
select is(tok.call('owner', format('(select status from saas_api.connection_tokens where id = %L)', tok.id('c'))), 'expired', 'which the list says');
select is(tok.make('d', $$'prometheus', 'D', '{"url": "https://d.example.com/m"}'$$, 'admin'), 'made', 'an admin''s token');
select is(tok.call('stranger', format('saas_api.revoke_connection_token(%L)', tok.id('d'))), 'PT404 | connection token not found', 'is not a stranger''s to revoke');
select is(tok.call('viewer', format('saas_api.revoke_connection_token(%L)', tok.id('d'))), 'PT403 | permission denied by the organization''s roles | manage_connections', 'nor a viewer''s');
select is(tok.call('owner', format('saas_api.revoke_connection_token(%L)->>''status''', tok.id('d'))), 'revoked', 'but the owner''s');
select is(tok.confirm(tok.token('d')), :invalid, 'revoked');
select is(tok.call('owner', format('saas_api.revoke_connection_token(%L)->>''status''', tok.id('d'))), 'revoked', 'again is no error');
select is(tok.call('owner', format('saas_api.revoke_connection_token(%L)', tok.id('a'))), 'PT409 | the token was used already', 'a used one cannot be');
select is(tok.make('e', $$'prometheus', 'E', '{"url": "https://ee.example.com/m"}'$$, 'admin'), 'made', 'another of the admin''s');
update saas.membership set role = 'viewer' where user_id = (select user_id from tok.person where name = 'admin');
select is(tok.confirm(tok.token('e')), :invalid, 'whose maker may no longer manage connections');
update saas.membership set role = 'admin' where user_id = (select user_id from tok.person where name = 'admin');
update saas.organization set status = 'suspended' where id = (select org_id from tok.person where name = 'owner');
select is(tok.confirm(tok.token('e')), :invalid, 'of an organization that is suspended');
update saas.organization set status = 'active' where id = (select org_id from tok.person where name = 'owner');
select is(tok.confirm(tok.token('e'))::jsonb ->> 'name', 'E', 'the token''s name is used without an alias');
select is(tok.make('f', $$'prometheus', 'F', '{"url": "https://ee.example.com/m"}'$$), 'made', 'a token for what is connected');
select is(tok.confirm(tok.token('f')), '23505 | already connected', 'connects nothing twice');
select saas.set_plan(org_id, 'starter') from tok.person where name = 'owner';
select is(left(tok.confirm(tok.token('f')), 5), 'PT402', 'nor beyond the plan');
select saas.set_plan(org_id, 'enterprise') from tok.person where name = 'owner';

-- Made with an API key, they end with it.

create function tok.make_key(label text) returns void language sql as $$
    insert into tok.made
    select make_key.label, tok.call('admin', format('saas_api.create_api_key(%L, ''{manage_connections}'')', make_key.label))::jsonb
$$;
-- A token of the key's, for a connection of its own.
create function tok.make_with(key_label text, label text) returns text
language plpgsql as $$
declare
    answer jsonb;
begin
    perform saas.authenticate((select m.answer ->> 'key' from tok.made m where m.label = make_with.key_label));
    set local session authorization saas_user;
    answer := saas_api.create_connection_token('prometheus', make_with.label,
        jsonb_build_object('url', format('https://%s.example.com/m', make_with.label)));
    reset session authorization;
    insert into tok.made values (make_with.label, answer);
    return 'made';
end
$$;
select tok.make_key(key) from unnest(array['revoked', 'expired', 'rotated', 'good']) as key;
select is(tok.make_with('revoked', 'k1'), 'made', 'a token made with an API key');
select is(tok.make_with('expired', 'k2'), 'made', 'one with another');
select is(tok.make_with('rotated', 'k3'), 'made', 'and so on');
select is(tok.make_with('rotated', 'k4'), 'made', 'and so on');
select is(tok.make_with('good', 'k5'), 'made', 'and so on');
select is(tok.make_with('good', 'k6'), 'made', 'and so on');
select is(tok.make('k7', $$'prometheus', 'k7', '{"url": "https://k7.example.com/m"}'$$), 'made', 'one of a session');
select is((select answer ->> 'api_key_id' from tok.made where label = 'k1'), tok.id('revoked')::text, 'it tells the key');
select is((select answer ->> 'api_key_id' from tok.made where label = 'k7'), null, 'that of a session has none');
select is(tok.call('owner', format('saas_api.revoke_api_key(%L) ->> ''id''', tok.id('revoked'))), tok.id('revoked')::text, 'a key is revoked');
select is(tok.confirm(tok.token('k1')), :invalid, 'and its token with it');
update saas.api_key set expires_at = now() where id = tok.id('expired');
select is(tok.confirm(tok.token('k2')), :invalid, 'that of an expired key');
create function tok.rotate(label text, new_label text) returns text
language plpgsql as $$
declare
    answer text := tok.call('admin', format('saas_api.rotate_api_key(%L, ''1 hour'')', tok.id(rotate.label)));
begin
    if answer !~ '^\{' then
        return answer;
    end if;
    insert into tok.made values (rotate.new_label, answer::jsonb);
    return 'rotated';
end
$$;
create function tok.status(label text) returns text language sql as $$
    select tok.call('owner', format('(select status from saas_api.connection_tokens where id = %L)', tok.id(status.label)))
$$;
select is(tok.rotate('rotated', 'rotated anew'), 'rotated', 'a key is rotated');
select is(tok.confirm(tok.token('k3'))::jsonb ->> 'name', 'k3', 'within the overlap its tokens are good');
select is(tok.make_with('rotated', 'k8'), 'made', 'the key of before makes one within the overlap');
select is(tok.make_with('rotated anew', 'k9'), 'made', 'the new key another');
select is(tok.status('k8') || ' ' || tok.status('k9'), 'pending pending', 'both are listed as good');
update saas.api_key set overlap_until = now() where id = tok.id('rotated');
update saas_private.api_key_hash set valid_until = now() where api_key_id = tok.id('rotated') and valid_until is not null;
select is(tok.confirm(tok.token('k4')), :invalid, 'and not after it');
select is(tok.confirm(tok.token('k8')), :invalid, 'nor is what the key of before made after the rotation');
select is(tok.status('k4') || ' ' || tok.status('k8') || ' ' || tok.status('k9'), 'key_ended key_ended pending', 'which the list says');
select is(tok.rotate('rotated', 'rotated twice'), 'rotated', 'the key is rotated again');
select is(tok.make_with('rotated anew', 'k10'), 'made', 'its key of before makes one');
select is(tok.confirm(tok.token('k9'))::jsonb ->> 'name', 'k9', 'that of before is good within the overlap');
select is(tok.rotate('rotated', 'rotated thrice'), 'rotated', 'and again, within the overlap');
select is(tok.confirm(tok.token('k10')), :invalid, 'what ends with that takes its tokens along at once');
select is(tok.status('k1') || ' ' || tok.status('k2'), 'key_ended key_ended', 'the list knows of the others too');
select is(tok.call('stranger', '(select count(*) from saas_private.connection_tokens_without_key())'),
    '42501 | permission denied for schema saas_private', 'nobody asks by himself');
select is(tok.confirm(tok.token('k5'))::jsonb ->> 'name', 'k5', 'that of a key that is good');
select saas_private.end_api_keys_of((select user_id from tok.person where name = 'admin'));
select is(tok.confirm(tok.token('k6')), :invalid, 'until it ends with all of its maker''s');
select is(tok.confirm(tok.token('k7'))::jsonb ->> 'name', 'k7', 'a session''s token needs no key');

-- Accounts

select is(tok.make('s', $$'salesforce', config => '{"instance_url": "https://acme.my.salesforce.com"}'$$), 'made', 'a Salesforce token');
select is((tok.confirm(tok.token('s'), $$, account_id => '00D000000000062', alias => 'Acme', secrets => '{"client_id": "c", "refresh_token": "r"}'$$)::jsonb) - 'id',
    '{"kind": "salesforce", "name": "Acme", "environment": null, "external_account_id": "00D000000000062EAA", "organization": "Owner Works", "message": "Connected."}',
    'takes the org''s id as the account');
select is(saas_private.token_config('aws', '{"stack_name": "s"}', '{"role_arn": "r"}', '123456789012', 'eu-west-1'),
    '{"account_id": "123456789012", "regions": ["eu-west-1"], "role_arn": "r", "stack_name": "s"}', 'AWS an account and a region');
select throws_ok($$select saas_private.token_config('aws', '{"account_id": "1"}', '{}', '2', null)$$, '22023', 'invalid input', 'unless the token fixes another');
select throws_ok(format('select saas_private.token_config(%L, %L, %L, null, %L)', 'aws', '{}', '{}', repeat('r', 51)), '22023', 'invalid input', 'a region has at most 50 characters');

-- Throttled: tries with one token, whatever becomes of them.
select is(tok.make('g', $$'prometheus', 'G', '{"url": "https://g.example.com/m"}'$$), 'made', 'a token to try out');
do $$ begin for n in 1..11 loop perform tok.confirm(tok.token('g'), ', account_id => ''1'''); end loop; end $$;
select is(left(tok.confirm(tok.token('g')), 5), 'PT429', 'too many tries with one token have to wait');

-- What has ended is kept for 30 days.
update saas.connection_token set expires_at = now() - interval '31 days' where id = tok.id('c');
select is(tok.make('h', $$'prometheus'$$), 'made', 'a new token');
select is((select count(*) from saas.connection_token where id = tok.id('c')), 0::bigint, 'takes the old ones away');

select * from finish();
