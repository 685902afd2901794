-- A person tries to reach the other organization, knowing the ids of what it has.
\set entrance `echo "$DEMO_DIR/as-"` :person
\set VERBOSITY terse
\set ON_ERROR_STOP off
\set ON_ERROR_ROLLBACK on
\i :entrance
\pset footer off
\pset linestyle :style

select count(*) as connections from saas_api.connections where org_id = :'their_org' \gset
select count(*) as samples from saas_api.latest_samples where connection_id = :'their_connection' \gset
select count(*) as readings from saas.reading where org_id = :'their_org' \gset
select count(*) as organizations from saas_api.organization where id = :'their_org' \gset
select saas_api.limits_overview(:'their_connection') as limits \gset
select count(*) as buckets
  from saas_api.query_metric('salesforce_limit_used', connection_ids => array[:'their_connection'::uuid]) \gset
select saas_api.refresh_connections(array[:'their_connection'::uuid]) -> 0 ->> 'error' as refresh \gset
select saas_api.test_connection(:'their_connection') as test \gset
\set test :LAST_ERROR_SQLSTATE ' ' :LAST_ERROR_MESSAGE
select saas_api.set_connection_active(:'their_connection', false) as change \gset
\set change :LAST_ERROR_SQLSTATE ' ' :LAST_ERROR_MESSAGE
select saas_api.switch_organization(:'their_org') as switch \gset
\set switch :LAST_ERROR_SQLSTATE ' ' :LAST_ERROR_MESSAGE
insert into saas.connection (org_id, kind, name, account_key, config, origin, poll_interval)
values (:'their_org', 'prometheus', 'x', 'x', '{}', 'x', '1 minute');
\set write :LAST_ERROR_SQLSTATE ' ' :LAST_ERROR_MESSAGE
set local saas.identity = 'x';
\set forge :LAST_ERROR_SQLSTATE ' ' :LAST_ERROR_MESSAGE
select count(*) as secrets from saas_private.connection_secret \gset
\set secrets :LAST_ERROR_SQLSTATE ' ' :LAST_ERROR_MESSAGE
rollback;

\set ON_ERROR_STOP on
begin;
set local role saas_user;
select count(*) as nobody from saas_api.connections \gset
rollback;

select * from (values
    ('connections of ' || :'other' || '''s organization', :'connections' || ' rows'),
    ('latest samples of ' || :'other' || '''s connection', :'samples' || ' rows'),
    ('readings, straight from the table', :'readings' || ' rows'),
    ('the organization itself', :'organizations' || ' rows'),
    ('limits_overview(''' || left(:'their_connection', 8) || '...'')', :'limits'),
    ('query_metric(connection_ids => ...)', :'buckets' || ' rows'),
    ('refresh_connections(...)', :'refresh'),
    ('test_connection(...)', :'test'),
    ('set_connection_active(..., false)', :'change'),
    ('switch_organization(...)', :'switch'),
    ('insert into saas.connection', :'write'),
    ('set local saas.identity = ...', :'forge'),
    ('saas_private.connection_secret', :'secrets'),
    ('the next transaction, without a token', :'nobody' || ' rows')) as t (attempt, answer);

\pset tuples_only on
\pset format unaligned
select case when (:'connections', :'samples', :'readings', :'organizations', :'buckets', :'nobody') = ('0', '0', '0', '0', '0', '0')
             and (:'limits', :'refresh') = ('[]', 'connection not found')
             and (:'test', :'change', :'switch') = ('PT404 connection not found', 'PT404 connection not found',
                                                    'PT404 organization not found')
             and (left(:'write', 5), left(:'forge', 5), left(:'secrets', 5)) = ('42501', '42501', '42501')
            then 'all attempts failed' else 'an attempt did not fail as it should' end;
