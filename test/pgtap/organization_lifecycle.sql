-- Organizations that are suspended, deleted, restored and removed for good.
select no_plan();
\ir ../lib/refusals.sql
\ir ../lib/tenants.sql
call tenants.hold_poller();

set saas.bcrypt_cost = 10;
select user_id as ada, org_id as works from tenants.found('ada') \gset
select user_id as bob, org_id as other from tenants.found('bob') \gset
select tenants.join('mia', :'works', 'admin') as mia \gset
select saas_api.sign_in('ada@example.com', 'correct horse ada') as signed \gset
select :'signed'::jsonb ->> 'access_token' as token, :'signed'::jsonb ->> 'refresh_token' as refresh \gset
begin;
select saas.authenticate(:'token') as ok \gset
select saas_api.create_api_key('k', '{view_dashboard,delete_organization}') ->> 'key' as key \gset
commit;
create function pg_temp.status(org uuid) returns text language sql as $$ select status from saas.organization where id = org $$;
create function pg_temp.last_event(org uuid) returns text language sql as $$
    select action || ' ' || coalesce(before::text, '') || ' ' || coalesce(after::text, '')
      from saas.audit_event where org_id = org order by id desc limit 1
$$;

--
-- Suspension
--
select is(pg_temp.refusal(format('select saas.suspend_organization(%L, %L)', :'works', reason)), '22023 invalid input (reason)',
          format('a reason of %s is none', coalesce(to_json(left(reason, 5))::text, 'NULL')))
  from unnest(array[null, '', '  ', repeat('x', 501), E'a\nb']) reason;
select is(pg_temp.refusal(format('select saas.suspend_organization(%L, ''x'')', saas.uuidv7())), 'PT404 organization not found', 'an organization that is none is not suspended');
select is(pg_temp.refusal(format('select saas.activate_organization(%L)', saas.uuidv7())), 'PT404 organization not found', 'nor activated');
select is(pg_temp.refusal(format('select saas.activate_organization(%L)', :'works')), 'PT409 the organization is active', 'one that is active cannot become it');
select is(pg_temp.verdict(:'token'), 'accepted', 'before, its requests are answered');
set role saas_operator;
select is(pg_temp.refusal(format('select saas.suspend_organization(%L, ''Invoice 7 is unpaid'')', :'works')), 'accepted', 'an operator suspends it');
reset role;
select is(pg_temp.verdict(:'token'), 'PT403 Organization is suspended', 'a session is refused at once');
select is(pg_temp.verdict(:'key'), 'PT403 Organization is suspended', 'so is an API key');
select throws_ok(format('select saas.assume_identity(%L, %L)', :'ada', :'works'), 'PT403', 'Organization is suspended', 'so is an operator in a member''s name');
create function pg_temp.detail_of(token text) returns text language plpgsql as $$
declare
    detail text;
begin
    perform saas.authenticate(token);
    return null;
exception when others then
    get stacked diagnostics detail = pg_exception_detail;
    return detail;
end
$$;
select is(pg_temp.detail_of(:'token'), 'Invoice 7 is unpaid', 'with the reason');
select is(pg_temp.detail_of(:'key'), 'Invoice 7 is unpaid', 'to the API key too');
select is(saas_api.sign_in('ada@example.com', 'correct horse ada') -> 'organization', 'null', 'a sign-in ends outside it');
select saas_api.sign_in('ada@example.com', 'correct horse ada') ->> 'access_token' as outside \gset
begin;
select saas.authenticate(:'outside') as ok \gset
set local role saas_user;
select is(pg_temp.refusal('select saas_api.switch_organization(''ada-works'')'), 'PT403 organization is suspended', 'nobody switches to it');
select is(pg_temp.refusal(format('select saas_api.restore_organization(%L)', :'works')), 'PT409 the organization is not being deleted', 'nor does its owner restore it');
commit;
select is(pg_temp.refusal(format('select saas.suspend_organization(%L, ''Two invoices'')', :'works')), 'accepted', 'suspended again it has another reason');
select is(pg_temp.detail_of(:'token'), 'Two invoices', 'which is told');
select is(pg_temp.last_event(:'works'), 'organization.suspended {"status": "suspended"} {"reason": "Two invoices", "status": "suspended"}', 'the audit knows it');
select is(pg_temp.refusal(format('select saas.activate_organization(%L)', :'works')), 'accepted', 'it is activated');
select is(pg_temp.verdict(:'token'), 'accepted', 'and the same token works again');
select is(pg_temp.verdict(:'key'), 'accepted', 'and the same API key');
select results_eq(format('select status, status_reason, suspended_at from saas.organization where id = %L', :'works'), $$values ('active', null::text, null::timestamptz)$$, 'nothing of it is left');
select is(pg_temp.last_event(:'works'), 'organization.activated {"status": "suspended"} {"status": "active"}', 'but in the audit');
select ok(not has_function_privilege(r, f, 'execute'), format('%s does not call %s', r, f))
  from unnest(array['saas_user', 'saas_anon']) r,
       unnest(array['saas.suspend_organization(uuid, text)', 'saas.activate_organization(uuid)', 'saas.purge_organizations(integer)']) f;

--
-- Deletion
--
select is(tenants.answer('saas_api.delete_organization(''Ada Works'')'), E'PT401\nAccess token required', 'nobody deletes an organization');
select saas_api.sign_in('bob@example.com', 'correct horse bob') ->> 'access_token' as bob_token \gset
create function pg_temp.as_session(token text, statement text) returns text language plpgsql as $$
declare
    answer text;
    state text;
    message text;
    detail text;
begin
    perform saas.authenticate(token);
    set local role saas_user;
    execute format('select (%s)::text', statement) into answer;
    reset role;
    return answer;
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail;
    return concat_ws(' ', state, message, nullif(detail, ''));
end
$$;
insert into saas_private.password (user_id, hash) values (:'mia', saas_private.hash_password('correct horse mia'));
select saas_api.sign_in('mia@example.com', 'correct horse mia') as mias \gset
select :'mias'::jsonb ->> 'access_token' as mia_token \gset
select is(pg_temp.as_session(:'mia_token', 'saas_api.delete_organization(''Ada Works'')'),
          'PT403 permission denied by the organization''s roles delete_organization', 'an admin does not');
select is(pg_temp.as_session(:'key', 'saas_api.delete_organization(''Ada Works'')'), 'PT403 not possible with an API key', 'nor does a key');
select is(tenants.answer('saas_api.delete_organization(''Ada Works'')', :'ada', :'works'), E'PT403\nnot possible without a session', 'nor an operator');
select matches(pg_temp.as_session(:'token', format('saas_api.delete_organization(%L)', wrong)), '22023 invalid input .*confirm_name', format('%s is not its name', coalesce(wrong, 'NULL')))
  from unnest(array[null, '', 'ada works', 'Ada Works ', 'Bob Works']) wrong;
select is(pg_temp.status(:'works'), 'active', 'it is still there');
-- Owners only, whatever a role of their making holds.
select tenants.answer('saas_api.create_role(''deputy'', ''{view_dashboard,manage_members,manage_settings,delete_organization}'', 35)', :'ada', :'works') is not null as ok \gset
update saas.membership set role = 'deputy' where user_id = :'mia' and org_id = :'works';
select is(pg_temp.as_session(:'mia_token', 'saas_api.delete_organization(''Ada Works'')'), 'PT403 Requires owner role or higher', 'nor does a deputy who holds the permission');
select is(pg_temp.as_session(:'mia_token', 'saas_api.update_organization_settings(''{"role_changes_by_owners": true}'')'), 'PT403 Requires owner role or higher', 'nor turn role_changes_by_owners on');
select tenants.answer('saas_api.update_organization_settings(''{"role_changes_by_owners": true}'')', :'ada', :'works') is not null as ok \gset
select is(pg_temp.as_session(:'mia_token', 'saas_api.update_organization_settings(''{"role_changes_by_owners": false}'')'), 'PT403 Requires owner role or higher', 'or off, to change roles then');
select is(pg_temp.as_session(:'mia_token', 'saas_api.update_organization_settings(''{"role_changes_by_owners": true, "notifications": {"digest": true}}'') ->> ''notifications'''), '{"digest": true}', 'but the rest of the settings');
select is(tenants.answer('saas_api.update_organization_settings(''{"role_changes_by_owners": false}'') ->> ''role_changes_by_owners''', :'ada', :'works'), 'false', 'an owner takes it away');
update saas.membership set role = 'admin' where user_id = :'mia' and org_id = :'works';
select pg_temp.as_session(:'token', 'saas_api.delete_organization(''Ada Works'')')::jsonb as deleted \gset
select is(:'deleted'::jsonb - 'purge_after', jsonb_build_object('id', :'works', 'name', 'Ada Works', 'status', 'deleting'), 'its owner deletes it by its name');
select is((:'deleted'::jsonb ->> 'purge_after')::timestamptz, (select deleted_at + interval '30 days' from saas.organization where id = :'works'), 'and has 30 days');
select is(pg_temp.verdict(:'token'), 'PT403 Organization is deleting', 'sessions are refused at once');
select is(pg_temp.verdict(:'mia_token'), 'PT403 Organization is deleting', 'those of members too');
select is(pg_temp.verdict(:'key'), 'PT403 Organization is deleting', 'and keys');
select is(pg_temp.refusal(format('select saas.suspend_organization(%L, ''x'')', :'works')), 'PT409 the organization is being deleted', 'it is not suspended now');
select is(saas.purge_organizations(), 0, 'nothing is removed before the time is over');
select saas_api.refresh_session(:'refresh') as refreshed \gset
select is(:'refreshed'::jsonb -> 'organization', 'null', 'the owner''s session goes on without an organization');
select :'refreshed'::jsonb ->> 'access_token' as without \gset
select :'mias'::jsonb ->> 'refresh_token' as mia_refresh \gset
select saas_api.refresh_session(:'mia_refresh') ->> 'access_token' as mia_without \gset
select is(pg_temp.as_session(:'without', 'saas_api.delete_organization(''Ada Works'')'), 'PT403 No organization access found delete_organization', 'which deletes nothing more');
select is(pg_temp.as_session(:'mia_without', format('saas_api.restore_organization(%L)', :'works')), 'PT403 Requires owner role or higher', 'an admin does not restore it');
select is(pg_temp.as_session(:'bob_token', format('saas_api.restore_organization(%L)', :'works')), 'PT404 organization not found', 'for others it is not there');
select is(pg_temp.as_session(:'without', format('saas_api.restore_organization(%L)', id)), 'PT404 organization not found', 'nor is one that is none')
  from unnest(array[:'other', saas.uuidv7(), null]::uuid[]) id;
select is(tenants.answer(format('saas_api.restore_organization(%L)', :'works')), E'PT401\nAccess token required', 'nobody restores it');
select is(pg_temp.as_session(:'without', format('saas_api.restore_organization(%L)', :'works'))::jsonb,
          jsonb_build_object('id', :'works', 'name', 'Ada Works', 'slug', 'ada-works', 'status', 'active'), 'an owner does');
select is(pg_temp.last_event(:'works'), 'organization.restored {"status": "deleting"} {"status": "active"}', 'the audit knows it');
select is(pg_temp.verdict(:'key'), 'accepted', 'all is as it was');
select results_eq(format('select deleted_at, purge_after, status_reason from saas.organization where id = %L', :'works'),
                  $$values (null::timestamptz, null::timestamptz, null::text)$$, 'without a date to end');
select is(pg_temp.as_session(:'without', 'saas_api.switch_organization(''ada-works'') #>> ''{organization,id}'''), :'works', 'and the session enters it again');
select saas_api.sign_in('ada@example.com', 'correct horse ada') ->> 'access_token' as token \gset
select is(pg_temp.as_session(:'token', 'saas_api.delete_organization(''Ada Works'') ->> ''status'''), 'deleting', 'it is deleted again');
select is(pg_temp.refusal(format('select saas.activate_organization(%L)', :'works')), 'accepted', 'an operator can take that back too');
select is(pg_temp.as_session(:'token', 'saas_api.delete_organization(''Ada Works'') ->> ''status'''), 'deleting', 'and the owner delete it');

--
-- Removal: rows of ours and of the application's tables
--
create role org_app nologin;
create schema app authorization org_app;
grant usage on schema saas to org_app;
grant execute on function saas.org_if(text), saas.current_org_id(), saas.current_user_id() to org_app;
create table app.invoice (org_id uuid not null, id integer not null, refers_to integer, primary key (org_id, id),
                          foreign key (org_id, refers_to) references app.invoice (org_id, id));
create table app."Line item" (org_id uuid not null, id integer not null, invoice_id integer, primary key (org_id, id),
                              foreign key (org_id, invoice_id) references app.invoice (org_id, id));
create table app.event (org_id uuid not null, at date not null, primary key (org_id, at)) partition by range (at);
create table app.event_old partition of app.event for values from (minvalue) to ('2026-01-01');
create table app.event_new partition of app.event for values from ('2026-01-01') to (maxvalue);
create table app.unprotected (org_id uuid not null);
create table app.log (org_id uuid, who text, role text);
create function app.note() returns trigger language plpgsql as $$
begin
    insert into app.log values (old.org_id, saas.current_org_id()::text, current_user);
    return old;
end
$$;
create trigger noted before delete on app.invoice for each row execute function app.note();
-- A trigger that reaches for others gets what its owner may see: nothing of theirs.
create function app.reach() returns trigger language plpgsql as $$
begin
    delete from app.event where org_id <> old.org_id;
    return null;
end
$$;
create trigger reaching after delete on app.event for each row execute function app.reach();
select format('alter table app.%I owner to org_app', t), format('alter table app.%I enable row level security', t),
       format('alter table app.%I force row level security', t),
       format('create policy own on app.%I using (org_id = saas.org_if(''delete_data'')) with check (true)', t)
  from unnest(array['invoice', 'Line item', 'event']) t
\gexec
alter table app.unprotected owner to org_app;
alter table app.log owner to org_app;
insert into app.invoice select o, n, n - 1 + (n = 1)::integer from unnest(array[:'works', :'other']::uuid[]) o, generate_series(1, 30) n;
insert into app."Line item" select o, n, n from unnest(array[:'works', :'other']::uuid[]) o, generate_series(1, 30) n;
insert into app.event select o, '2025-12-25'::date + n from unnest(array[:'works', :'other']::uuid[]) o, generate_series(1, 20) n;
insert into app.unprotected values (:'works');
select tenants.connect(:'works', 'exporter', secrets => '{"bearer_token": "x"}') as connection \gset
select tenants.lay_out(:'works', :'connection', '[{"metric": "m"}]') as layout \gset
select count(tenants.read(:'works', :'layout', now() - n * interval '1 minute', n)::text) as ok from generate_series(1, 25) n \gset
insert into saas.user_preference (user_id, completed_tours) values (:'ada', '{first}');
insert into saas.organization_profile (org_id, website) values (:'works', 'https://example.com');
insert into saas.onboarding_step (org_id, step) values (:'works', 'team');
insert into saas.salesforce_default values (:'works', 'https://a.example', 'https://b.example', 'https://b.example:443');
insert into saas_private.salesforce_default_secret (org_id, name, value)
select :'works', s.name, s.value from saas_private.seal_secrets(:'works', '00000000-0000-0000-0000-000000000000', 'https://b.example:443', '{"client_id": "x"}') s;
select is(saas.purge_organizations(), 0, 'still nothing is due');
update saas.organization set deleted_at = now() - interval '31 days', purge_after = now() - interval '1 day' where id = :'works';
select saas_api.sign_in('ada@example.com', 'correct horse ada') ->> 'access_token' as without \gset
select is(pg_temp.as_session(:'without', format('saas_api.restore_organization(%L)', :'works')), 'PT409 the time to restore the organization is over', 'after 30 days nobody restores it');
select is(pg_temp.refusal(format('select saas.activate_organization(%L)', :'works')), 'PT409 the time to restore the organization is over', 'nor does an operator');
select is(pg_temp.refusal(format('select saas.purge_organizations(%s)', bad)), '22023 invalid input (max_rows)', format('not %s rows at once', bad)) from unnest(array[0, -1, 1000001]) bad;
begin;
select saas.assume_identity(:'bob', :'other') as ok \gset
select is(pg_temp.refusal('select saas.purge_organizations()'), '25001 this transaction already acts for another identity', 'a transaction that acts for others removes nothing');
rollback;
select xmin as before from saas.organization where id = :'works' \gset
set role saas_operator;
select is(saas.purge_organizations(10), 10, 'an operator removes ten rows');
reset role;
select isnt(xmin::text, :'before', 'which changes its row, so that who began to restore it under an older snapshot gets 40001') from saas.organization where id = :'works';
select is((select count(*) from saas_private.deleted_organization where id = :'works' and purged_at is null), 1::bigint, 'its removal has begun');
update saas.organization set purge_after = now() + interval '1 day' where id = :'works';
select is(pg_temp.refusal(format('select saas.activate_organization(%L)', :'works')), 'PT409 the time to restore the organization is over', 'and does not stop');
select is(saas.is_authenticated(), false, 'the identity that it took is gone');
create table public.step (n serial, deleted integer);
create procedure public.purge_all(batch integer) language plpgsql as $$
declare
    done integer;
begin
    loop
        done := saas.purge_organizations(batch);
        insert into public.step (deleted) values (done);
        commit;
        exit when done = 0 or (select count(*) > 200 from public.step);
    end loop;
end
$$;
-- What a batch reads does not grow with what is left.
create function pg_temp.fetched() returns bigint language sql volatile as $$
    select sum(pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid))::bigint
      from pg_class c where c.relname like 'event\_%' or c.relname like 'reading\_20%'
$$;
begin;
alter table app.event disable trigger reaching;
insert into app.event select :'works', '2025-01-01'::date - n from generate_series(1, 3000) n;
insert into app.event select :'works', '2026-02-01'::date + n from generate_series(1, 3000) n;
analyze app.event;
delete from app."Line item" where org_id = :'works';
delete from app.invoice where org_id = :'works';
select pg_temp.fetched() as before, saas.purge_organizations(50) as went \gset
select is(:went::integer, 50, 'a batch of a partitioned table');
select ok(pg_temp.fetched() - :before < 500, 'reads no more than a few rows for each that it removes');
delete from app.event where org_id = :'works';
insert into saas.reading (org_id, connection_id, at, layout_id, "values")
select :'works', :'connection', now() - n * interval '1 second', :'layout', '{1}' from generate_series(100, 4000) n;
analyze saas.reading;
select pg_temp.fetched() as before, saas.purge_organizations(50) as went \gset
select is(:went::integer, 50, 'a batch of readings');
select ok(pg_temp.fetched() - :before < 500, 'does too');
rollback;
call public.purge_all(10);
select is((select count(*) filter (where deleted > 30) from public.step), 0::bigint, 'no step takes more than a batch, but where rows hold each other');
select is((select count(*) from app.invoice where org_id = :'works') + (select count(*) from app."Line item" where org_id = :'works')
          + (select count(*) from app.event where org_id = :'works'), 0::bigint, 'the application''s protected tables hold none of its rows');
select is((select count(*) from app.invoice) + (select count(*) from app."Line item") + (select count(*) from app.event), 80::bigint, 'others keep all of theirs');
select is((select count(*) from app.unprotected), 1::bigint, 'a table that is not protected is the application''s');
select results_eq('select distinct who, role from app.log', format('values (%L, ''org_app'')', :'works'), 'triggers ran as the table''s owner, for that organization');
create function pg_temp.rows_with(needle text) returns text language plpgsql as $$
declare
    relation regclass;
    has boolean;
    found text := '';
begin
    for relation in select c.oid from pg_class c
                     where c.relnamespace in ('saas'::regnamespace, 'saas_private'::regnamespace) and c.relkind in ('r', 'p')
                       and not c.relispartition order by c.oid::regclass::text loop
        execute format('select exists (select from %s t where strpos(t::text, %L) > 0)', relation, needle) into has;
        found := found || case when has then relation || ' ' else '' end;
    end loop;
    return found;
end
$$;
select is(pg_temp.rows_with(:'works'), 'saas.audit_event saas_private.deleted_organization saas_private.destroyed_key ', 'and of ours none but the audit and tombstones');
select is((select count(*) from saas_private.data_key where org_id = :'works'), 0::bigint, 'its data keys are destroyed');
select is((select count(*) from saas_private.data_key where org_id = :'other'), 1::bigint, 'others'' are not');
select results_eq(format('select reason, purged_at is not null, problem from saas_private.deleted_organization where id = %L', :'works'),
                  $$values ('owner', true, null::text)$$, 'the tombstone says when and why, and names nobody');
select is(saas_api.sign_in('ada@example.com', 'correct horse ada') -> 'organization', 'null', 'people stay');
select is((select completed_tours from saas.user_preference where user_id = :'ada'), '{first}', 'with what is theirs');

--
-- What will not go is told, and holds up nobody
--
select user_id as eve, org_id as stuck from tenants.found('eve') \gset
select user_id as fay, org_id as next from tenants.found('fay') \gset
insert into app.invoice values (:'stuck', 1, null);
create table app.keeper (org_id uuid not null, invoice_id integer, foreign key (org_id, invoice_id) references app.invoice (org_id, id));
insert into app.keeper values (:'stuck', 1);
update saas.organization set status = 'deleting', purge_after = now() - interval '2 days' where id = :'stuck';
update saas.organization set status = 'deleting', purge_after = now() - interval '1 day' where id = :'next';
call public.purge_all(100);
select results_eq(format('select problem, purged_at is null, retry_at > now() from saas_private.deleted_organization where id = %L', :'stuck'),
                  $$values ('23503 app.invoice', true, true)$$, 'a row that something else refers to is named by its table');
select is(pg_temp.status(:'stuck'), 'deleting', 'the organization waits');
select is(pg_temp.status(:'next'), null, 'and others do not wait for it');
drop table app.keeper;
call public.purge_all(100);
select is(pg_temp.status(:'stuck'), 'deleting', 'it is tried again later');
update saas_private.deleted_organization set retry_at = now() where id = :'stuck';
call public.purge_all(100);
select is(pg_temp.status(:'stuck'), null, 'and goes then');
select results_eq(format('select problem, reason from saas_private.deleted_organization where id = %L', :'stuck'), $$values (null::text, 'no_members')$$, 'without the problem');

-- A table of the application that refers to ours keeps its organization alone.
select user_id as gil, org_id as held from tenants.found('gil') \gset
select user_id as hal, org_id as free from tenants.found('hal') \gset
create table app.plain (org_id uuid not null references saas.organization (id));
insert into app.plain values (:'held');
create temp table draft (org_id uuid);
alter table draft enable row level security;
create policy own on draft using (org_id = saas.current_org_id());
insert into draft values (:'free');
update saas.organization set status = 'deleting', purge_after = now() - interval '2 days' where id = :'held';
update saas.organization set status = 'deleting', purge_after = now() - interval '1 day' where id = :'free';
call public.purge_all(100);
select is(pg_temp.status(:'free'), null, 'what a table refers to holds up no other organization');
select is((select count(*) from draft), 1::bigint, 'temporary tables are their sessions'', whose work others cannot even see');
drop table draft;
select results_eq(format('select problem, purged_at is null, retry_at > now() from saas_private.deleted_organization where id = %L', :'held'),
                  $$values ('23503 plain', true, true)$$, 'the table is named');
select is((select count(*) from saas_private.data_key where org_id = :'held'), 1::bigint, 'and nothing of it is half gone');
drop table app.plain;
-- Rows that an application's policies hide from the table's owner are not forgotten.
create table app.secret (org_id uuid not null, owner_id uuid);
alter table app.secret owner to org_app;
alter table app.secret enable row level security;
alter table app.secret force row level security;
create policy own on app.secret using (org_id = saas.current_org_id() and owner_id = saas.current_user_id());
insert into app.secret values (:'held', :'gil');
update saas_private.deleted_organization set retry_at = now() where id = :'held';
call public.purge_all(100);
select results_eq(format('select problem, purged_at is null from saas_private.deleted_organization where id = %L', :'held'),
                  $$values ('42501 app.secret', true)$$, 'rows that policies hide from a table''s owner are told');
select is(pg_temp.status(:'held'), 'deleting', 'and the organization waits for them');
drop policy own on app.secret;
create policy own on app.secret using (org_id = saas.current_org_id());
update saas_private.deleted_organization set retry_at = now() where id = :'held';
call public.purge_all(100);
select is(pg_temp.status(:'held'), null, 'once they show, it goes');
select is((select count(*) from app.secret), 0::bigint, 'with them');

-- A personal organization that went with its account leaves its application rows to the worker.
update saas.organization set is_personal = true where id = :'other';
select saas.delete_user(:'bob') as ok \gset
select is(pg_temp.status(:'other'), null, 'a personal organization goes with its account at once');
select is((select count(*) from app.invoice where org_id = :'other'), 30::bigint, 'what the application has of it not yet');
call public.purge_all(1000);
select is((select count(*) from app.invoice) + (select count(*) from app."Line item") + (select count(*) from app.event), 0::bigint, 'but in the worker''s time');
select results_eq(format('select reason, purged_at is not null from saas_private.deleted_organization where id = %L', :'other'), $$values ('account', true)$$, 'and the tombstone says so');
select is((select count(*) from saas.audit_event where action = 'organization.deleted' and object_id = :'other'), 1::bigint, 'the platform''s audit once');

-- Rows that refer to a personal organization keep no account.
select user_id as ida, org_id as own from tenants.found('ida') \gset
update saas.organization set is_personal = true where id = :'own';
create table app.owned (org_id uuid not null references saas.organization (id));
alter table app.owned owner to org_app;
alter table app.owned enable row level security;
create policy own on app.owned using (org_id = saas.current_org_id());
insert into app.owned values (:'own');
select is(pg_temp.refusal(format('select saas.delete_user(%L)', :'ida')), 'accepted', 'an account goes though rows of the application refer to its organization');
select is(pg_temp.status(:'own'), 'deleting', 'which waits for the worker');
call public.purge_all(1000);
select is(pg_temp.status(:'own'), null, 'and goes after its rows');
select is((select count(*) from app.owned), 0::bigint, 'which go with it');

drop schema app cascade;
revoke all on schema saas from org_app;
revoke all on all functions in schema saas from org_app;
drop role org_app;
drop procedure public.purge_all;
drop table public.step;
select * from finish();
