-- No organization sees, changes or senses rows of another: every attack that
-- test/lib/attacks.sql makes from the catalog, on every relation, foreign key
-- and function that there is.
\ir ../lib/tenants.sql
-- Each attack reads each row: a few common passwords stand for all.
delete from saas_private.common_password where ctid not in (select ctid from saas_private.common_password limit 5);
\ir ../lib/attacks.sql
-- The worker would take notes of late readings away.
alter system set saas.maintenance_enabled = off;
select pg_reload_conf();
-- Rights and policies alone must hold, whatever statements are refused besides.
set saas.restrict_sessions = off;

select no_plan();

create table attack.tenant (name text primary key, user_id uuid, org_id uuid);

-- Rows of one organization in every table.
create function attack.settle(name text) returns void
language plpgsql as $$
declare
    person record := tenants.found(name);
    connection_id uuid;
    api_key_id uuid := saas.uuidv7();
    invitation_id uuid := saas.uuidv7();
    layout_id uuid;
begin
    insert into attack.tenant values (name, person.user_id, person.org_id);
    perform saas_api.sign_in(name || '@example.com', 'correct horse ' || name);
    perform saas.open_ticket(person.org_id, 'to look at ' || name);
    insert into saas.role (org_id, name, is_builtin, permissions, rank)
    values (person.org_id, name || '_auditor', false, array['view_dashboard'], 15);
    insert into saas.outbox (org_id, recipient, template)
    values (person.org_id, name || '@example.com', 'invitation');
    insert into saas.invitation (org_id, id, email, role, invited_by, expires_at)
    values (person.org_id, invitation_id, name || '.guest@example.com', 'member', person.user_id, now() + interval '1 day');
    insert into saas_private.invitation_token (org_id, invitation_id, token_hash, mail_id)
    values (person.org_id, invitation_id, sha256(name::bytea), saas.uuidv7());
    insert into saas.api_key (org_id, id, name, prefix, permissions, created_by)
    values (person.org_id, api_key_id, name || ' key', 'saas_' || left(name || '0000000', 7), array['view_dashboard'], person.user_id);
    insert into saas_private.api_key_hash (org_id, api_key_id, key_hash)
    values (person.org_id, api_key_id, sha256(name::bytea));
    insert into saas.rate_limit (scope, org_id, max_requests, window_length)
    values ('organization', person.org_id, 1000, '15 minutes');
    insert into saas.rate_limit (scope, org_id, api_key_id, max_requests, window_length)
    values ('key', person.org_id, api_key_id, 500, '15 minutes');
    update saas.api_key k set max_requests = 400, window_length = '15 minutes' where k.id = api_key_id;
    perform saas_private.write_note('rate_limited', person.org_id, now(), '{}');
    insert into saas_private.api_key_signing (org_id, api_key_id, signing_secret)
    values (person.org_id, api_key_id, saas_private.seal_signing_secret(person.org_id, api_key_id, name || ' secret'));
    insert into saas.mail_template (org_id, name, subject, text_body, html_body)
    values (person.org_id, 'invitation', name, name, name);
    connection_id := tenants.connect(person.org_id, name || ' exporter', environment => 'production',
                                     secrets => jsonb_build_object('bearer_token', name || ' token'));
    insert into saas.poller_history (org_id, connection_id, hour_at, polls)
    values (person.org_id, connection_id, date_trunc('hour', now(), 'UTC'), 1);
    layout_id := tenants.lay_out(person.org_id, connection_id, jsonb_build_array(
        jsonb_build_object('metric', 'sample_metric', 'labels', jsonb_build_object('owner', name)),
        jsonb_build_object('metric', name || '_metric')));
    perform tenants.read(person.org_id, layout_id, now() - weeks * interval '1 week', weeks, 42)
       from generate_series(0, 2) as weeks;
    insert into saas_private.rollup_progress (org_id, connection_id) values (person.org_id, connection_id);
    perform saas_private.roll_level(level, array[person.org_id], array[connection_id], array[date_trunc('day', now() - interval '7 days', 'UTC')],
                                    array[date_trunc('day', now() - interval '6 days', 'UTC')])
       from unnest(array['5m', '1h', '1d']) with ordinality as u (level, n) order by n;
    insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
    values (person.org_id, connection_id, now() - interval '1 day', now());

    insert into saas_private.login_mapping (org_id, login_oid, login, user_id)
    values (person.org_id, 0, name, person.user_id);
    insert into saas_private.second_factor (user_id, secret)
    values (person.user_id, saas_private.seal_for_platform('MZXW6YTBOI', 'pg_saas:totp', person.user_id::text));
    insert into saas_private.recovery_code (user_id, code_hash)
    values (person.user_id, saas_private.recovery_code_hash(person.user_id, name));
    perform saas_private.start_challenge(person.user_id, false);
    insert into saas.organization_branding (org_id, product_name) values (person.org_id, name || ' brand');
    insert into saas.organization_profile (org_id, use_case) values (person.org_id, name || ' use');
    insert into saas.organization_settings (org_id, allowed_email_domains) values (person.org_id, array[name || '.example']);
    insert into saas.onboarding_step (org_id, step, completed_by) values (person.org_id, 'team', person.user_id);
    insert into saas.user_preference (user_id, completed_tours) values (person.user_id, array[name]);
    insert into saas.organization_configuration (org_id, field_mappings, risk_rules, priority_weights)
    values (person.org_id, jsonb_build_object('amount', name), saas.default_risk_rules(), saas.default_priority_weights());
    insert into saas.salesforce_default (org_id, instance_url, login_url, origin)
    values (person.org_id, 'https://' || name || '.example', 'https://login.example', 'https://login.example:443');
    insert into saas_private.salesforce_default_secret (org_id, name, value)
    select person.org_id, s.name, s.value
      from saas_private.seal_secrets(person.org_id, '00000000-0000-0000-0000-000000000000', 'https://login.example:443',
                                     jsonb_build_object('client_id', name || ' client')) s;
    insert into saas_private.email_change (user_id, new_email, token_hash, expires_at)
    values (person.user_id, name || '.new@example.com', sha256(name::bytea), now() + interval '1 day');
    insert into saas_private.destroyed_key (org_id) values (person.org_id);
    perform saas_private.audit('thing.made', 'thing', name, null, jsonb_build_object('name', name), person.org_id);
    insert into saas_private.blind_index_key (org_id, key)
    values (person.org_id, saas_private.seal_for_platform(name, 'pg_saas:test', ''));
    insert into saas.connection_group (org_id, name) values (person.org_id, name || ' group');
    insert into saas.metric_price (org_id, metric, valid_from, price, currency) values (person.org_id, name || '_metric', '2026-01-01', 1, 'EUR');
    insert into saas_private.saved_view (org_id, owner_id, name, selection) values (person.org_id, person.user_id, name || ' view', '{}');
    insert into saas.connection_token (org_id, kind, name, created_by, expires_at)
    values (person.org_id, 'prometheus', name || ' token', person.user_id, now() + interval '10 minutes');
    insert into saas_private.connection_token_hash (org_id, token_id, token_hash)
    select t.org_id, t.id, sha256(t.id::text::bytea) from saas.connection_token t where t.org_id = person.org_id;
end
$$;
select attack.settle('attacker');
create table attack.known_before as select * from attack.ids() as id;
select attack.settle('victim');
-- The victim knows of the lock-out already: no mail about the attacks on it.
select saas_private.use_once('sign_in_lockout', saas_private.email_subject('victim@example.com'), '1 day');
call saas.poll();
call saas.seal_audit();
insert into attack.scene
select a.user_id, a.org_id, v.org_id,
       (select '[Vv]ictim|' || string_agg(id, '|')
          from (select attack.ids() except select id from attack.known_before) as new (id))
  from attack.tenant a, attack.tenant v
 where a.name = 'attacker' and v.name = 'victim';
insert into attack.finding select * from attack.findings();

-- Without rows of both there would be nothing to find.
select ok(attack.count_rows(r.relation, s.mark, true) > 0 and attack.count_rows(r.relation, s.mark, false) > 0,
          format('%s holds rows of both organizations', r.relation))
  from attack.relation r, attack.scene s
 where r.kind in ('r', 'p')
   -- The platform's own: no organization has a row in them.
   and r.relation::text not in ('saas.schema_migration', 'saas_private.installation', 'saas_private.jwt_key',
                                    'saas_private.hash_key', 'saas_private.common_password', 'saas.plan', 'saas.plan_limit', 'saas.permission',
                                    'saas.guarded_schema', 'saas_private.unguarded_table', 'saas_private.hardening',
                                    'saas_private.audit_key', 'saas_private.audit_sealing',
                                    'saas_private.deleted_organization', 'saas_private.key_rotation',
                                    'saas_private.sealed_column', 'saas_private.maintenance')
   -- Made ahead of time: of days that are still to come.
   and not exists (select from pg_class c
                    where c.oid = r.relation and r.is_partition
                      and substring(pg_get_expr(c.relpartbound, c.oid) from $$FROM \('([^']+)'\)$$)::timestamptz > now() + interval '1 day')
 order by r.relation::text;

select cmp_ok((select count(*) from attack.relation where is_partition), '>=', 3::bigint,
              'there are partitions to read directly');
select cmp_ok((select count(*) from attack.relation where kind = 'v'), '>=', 8::bigint, 'there are views');

-- Each in a transaction of its own: a transaction has one identity.
create view attack.persona as
select * from (values
    ('saas_user', true, 'a member of another organization'),
    ('saas_user', false, 'saas_user without an identity'),
    ('saas_anon', false, 'saas_anon'),
    ('saas_anon', true, 'saas_anon with another organization''s identity'),
    ('saas_test_nobody', false, 'a role without grants'),
    ('saas_operator', false, 'an operator without a ticket'),
    ('saas_owner', true, 'a definer function for another organization'),
    ('saas_owner', false, 'a definer function for nobody')) as p (role, signed_in, title);

select format('select is(attack.holes(%L, %L, %L), '''', %L);', r.relation, p.role, p.signed_in,
              format('%s gets nothing out of or into %s', p.title, r.relation))
  from attack.persona p, attack.relation r
 order by p.title, r.relation::text
\gexec

select format('select is(h.holes, '''', %L) from attack.reference_holes(%s, %L) h;',
              format('as %s the foreign key %s of %s does not tell which rows exist', role.name, k.conname,
                     k.conrelid::regclass), k.oid, role.name)
  from pg_constraint k, unnest(array['saas_user', 'saas_owner']) as role (name)
 where k.contype = 'f' and k.conparentid = 0
   and k.conrelid in (select relation from attack.relation)
   -- The platform's own tells nothing of an organization.
   and k.confrelid <> 'saas.plan'::regclass
 order by role.name, k.conrelid::regclass::text, k.conname
\gexec

select ok(bool_or(h.reached), 'a reference got as far as the foreign key and was refused there')
  from pg_constraint k, attack.reference_holes(k.oid, 'saas_owner') h
 where k.contype = 'f' and k.conrelid in (select relation from attack.relation);

select format('select is(attack.function_holes(%L, %L, %L), '''', %L);', p.oid::regprocedure, role.name, role.signed_in,
              format('%s answers %s the same for what another organization has and for what nobody has',
                     p.oid::regprocedure, role.title))
  from (values ('saas_user', true, 'a member'), ('saas_user', false, 'a request without a token'),
               ('saas_anon', false, 'saas_anon')) as role (name, signed_in, title)
  join pg_proc p on has_function_privilege(role.name, p.oid, 'execute')
                and p.pronamespace in ('saas'::regnamespace, 'saas_api'::regnamespace, 'saas_private'::regnamespace)
                and p.prokind = 'f'
                -- Types' own functions: nobody can call them with such arguments.
                and not p.proargtypes::oid[] && array['internal'::regtype, 'cstring'::regtype]::oid[]
 where exists (select from attack.calls(p.oid))
   -- A slug is unique among all organizations by nature, and a keyed hash of the
   -- argument differs with the argument.
   and p.oid not in ('saas.blind_index(text, text)'::regprocedure,
                     'saas_api.create_organization(text, text)'::regprocedure,
                     'saas_api.resolve_organization(text)'::regprocedure)
 order by role.title, p.oid::regprocedure::text
\gexec

select is(attack.call_answer('saas_api.create_organization(text, text)', 'name => ''Other'', slug => ''victim-works''',
                             'saas_user', true, 'victim-works'),
          '23505 slug is already taken', 'a slug that another organization has is taken, and that is all it says');

-- The attacks find holes where there are some.  Each is undone at once.
begin;
alter table saas.connection no force row level security;
select attack.holes('saas.connection', 'saas_owner', true) as holes \gset
rollback;
select matches(:'holes'::text, E'(^|\n)select: 1 rows', 'a table without FORCE shows its owner the other organization''s rows');
select matches(:'holes'::text, E'\ndelete: 1 rows, changed', 'and lets it delete them');
select matches(:'holes'::text, E'\ncopy in: 0 rows', 'and takes COPY');

begin;
create policy hole on saas.series using (true);
select attack.holes('saas.series', 'saas_user', true) as holes,
       attack.holes('saas.series', 'saas_owner', true) as owner_holes \gset
rollback;
select matches(:'holes'::text, '^select: 2 rows', 'a policy using (true) is found');
select matches(:'owner_holes'::text, E'\ninsert: 23505', 'and that it lets its owner insert');

begin;
create policy hole on saas.series using (true);
create policy hole on saas.layout using (true);
create policy hole on saas.reading using (true);
select attack.holes('saas_api.samples', 'saas_user', true) as holes \gset
rollback;
select matches(:'holes'::text, '^select: 6 rows', 'and in the views over the tables');

begin;
create view saas_api.hole as select c.id, c.name from saas.connection c;
grant select on saas_api.hole to saas_user;
select attack.holes('saas_api.hole', 'saas_user', true) as holes \gset
rollback;
select matches(:'holes'::text, '^select: 1 rows', 'a view with its owner''s rights is found');

select relation as partition from attack.relation where is_partition and relation::text ~ 'reading_20' order by relation::text limit 1 \gset
begin;
grant select on :partition to saas_user;
select attack.holes(:'partition', 'saas_user', true) as holes \gset
rollback;
select is(:'holes'::text, '', 'a grant on a partition shows nothing while row-level security is on');
begin;
grant select on :partition to saas_user;
alter table :partition disable row level security;
select attack.holes(:'partition', 'saas_user', true) as holes \gset
rollback;
select matches(:'holes'::text, E'^select: 1 rows.*\ncopy out: 2 rows',
               'a grant on a partition without row-level security is found');

begin;
grant truncate, update on saas.layout to saas_user;
create policy hole on saas.layout for update using (true);
select attack.holes('saas.layout', 'saas_user', true) as holes \gset
rollback;
select matches(:'holes'::text, E'(^|\n)truncate: ', 'TRUNCATE for tenants is found');
select matches(:'holes'::text, E'\nlock: ', 'and LOCK TABLE');
select matches(:'holes'::text, '^update of all: \d rows, changed', 'and an update that names no row');

begin;
create policy hole on saas.connection for update to saas_owner
    using (org_id = saas.org_if('manage_connections')) with check (true);
select attack.holes('saas.connection', 'saas_owner', true) as holes \gset
rollback;
select matches(:'holes'::text, '^move of own rows into the other organization: ',
               'a policy that checks nothing on the way in is found');

begin;
create table saas.hole (org_id uuid not null, id uuid primary key, code text unique);
alter table saas.hole owner to saas_owner;
insert into saas.hole select org_id, gen_random_uuid(), name from attack.tenant;
grant select, insert on saas.hole to saas_user;
select attack.holes('saas.hole', 'saas_user', true) as open_holes \gset
alter table saas.hole enable row level security;
alter table saas.hole force row level security;
create policy own on saas.hole using (org_id = saas.org_if('view_dashboard'));
select attack.holes('saas.hole', 'saas_user', true) as holes \gset
rollback;
select matches(:'open_holes'::text, E'^select: 1 rows', 'a table without row-level security is found');
select matches(:'holes'::text, E'upsert by saas.hole_code_key, nothing: ', 'a key that spans organizations is found');

begin;
create table saas.hole (org_id uuid not null, id uuid primary key, connection_id uuid);
alter table saas.hole owner to saas_owner;
alter table saas.connection add constraint hole_key unique (id);
alter table saas.hole add constraint hole_connection foreign key (connection_id) references saas.connection (id);
insert into saas.hole select c.org_id, gen_random_uuid(), c.id from saas.connection c;
alter table saas.hole enable row level security;
alter table saas.hole force row level security;
create policy own on saas.hole using (org_id = saas.org_if('view_dashboard'));
select h.holes from pg_constraint k, attack.reference_holes(k.oid, 'saas_owner') h
 where k.conname = 'hole_connection' \gset
rollback;
select matches(:'holes'::text, E'^insert: done.* against 23503.*\nupdate: done', 'a foreign key without the organization is found');

begin;
create function saas_api.hole(connection_id uuid) returns boolean
language sql stable security definer
as $$ select exists (select from saas.connection c where c.id = hole.connection_id) $$;
grant execute on function saas_api.hole to saas_user;
select attack.function_holes('saas_api.hole(uuid)', 'saas_user', true) as holes \gset
rollback;
select matches(:'holes'::text, 'connection_id saas.connection.id: \[true\] against \[false\]',
               'a definer function that looks across organizations is found');

begin;
create materialized view saas_api.hole as select * from saas.connection;
grant select on saas_api.hole to public;
select attack.holes('saas_api.hole', 'saas_anon', false) as holes \gset
rollback;
select matches(:'holes'::text, '^select: 1 rows', 'a materialized view is found');

alter system reset saas.maintenance_enabled;
select pg_reload_conf();
select * from finish();
