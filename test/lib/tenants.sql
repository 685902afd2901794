-- Organizations with rows, for tests in SQL.  Run it as a superuser in a
-- database where saas.install() has run; everything is in schema tenants.

create schema tenants;
grant usage on schema tenants to public;

-- Makes the database look like a copy, which is never polled, and returns when
-- its poller has seen that: what connections look like is then the test's.
create procedure tenants.hold_poller()
language plpgsql as $$
declare
    give_up_at timestamptz := clock_timestamp() + interval '1 minute';
begin
    update saas_private.installation set database_oid = 0;
    perform saas_private.wake_poller();
    commit;
    while exists (select from saas.poller_status() s
                   where s.database = current_database() and s.pid is not null and s.state <> 'copy') loop
        if clock_timestamp() > give_up_at then
            raise exception 'the poller does not see that its database is a copy';
        end if;
    end loop;
end
$$;

-- A verified user with an organization of which they are the owner.
create function tenants.found(name text, out user_id uuid, out org_id uuid)
language plpgsql as $$
begin
    perform saas_api.sign_up(name || '@example.com', 'correct horse ' || name, initcap(name), 'Example',
                             initcap(name) || ' Works');
    select u.id, m.org_id into user_id, org_id
      from saas.app_user u join saas.membership m on m.user_id = u.id
     where u.email = name || '@example.com';
    perform saas.confirm_user(user_id);
end
$$;

-- One more verified user in an organization that exists.
create function tenants.join(name text, org_id uuid, role text) returns uuid
language plpgsql as $$
declare
    new_id uuid := saas.uuidv7();
begin
    insert into saas.app_user (id, email, first_name, last_name, email_verified_at)
    values (new_id, name || '@example.com', initcap(name), 'Example', now());
    insert into saas.membership (org_id, user_id, role) values ("join".org_id, new_id, "join".role);
    return new_id;
end
$$;

-- A connection as create_connection stores one, but inactive: no poller touches
-- its rows.
create function tenants.connect(org_id uuid, name text, kind text default 'prometheus',
                                environment text default null, tags jsonb default '{}',
                                secrets jsonb default '{}')
returns uuid
language plpgsql as $$
declare
    new_id uuid := saas.uuidv7();
    origin text := format('https://%s.example.com:443', new_id);
begin
    insert into saas.connection (org_id, id, kind, name, account_key, config, origin, environment, tags,
                                 poll_interval, is_active)
    values (connect.org_id, new_id, connect.kind, connect.name, origin || '/metrics',
            jsonb_build_object('url', origin || '/metrics'), origin, connect.environment, connect.tags,
            interval '5 minutes', false);
    insert into saas.connection_status (org_id, connection_id) values (connect.org_id, new_id);
    insert into saas_private.connection_secret (org_id, connection_id, name, value)
    select connect.org_id, new_id, s.name, s.value
      from saas_private.seal_secrets(connect.org_id, new_id, origin, connect.secrets) s;
    return new_id;
end
$$;

-- A layout of new or known series: [{"metric", "labels"}, ...].
create function tenants.lay_out(org_id uuid, connection_id uuid, series jsonb) returns uuid
language plpgsql as $$
declare
    new_id uuid := saas.uuidv7();
begin
    insert into saas.series (org_id, connection_id, metric, labels)
    select lay_out.org_id, lay_out.connection_id, s ->> 'metric', coalesce(s -> 'labels', '{}')
      from jsonb_array_elements(lay_out.series) as s
    on conflict do nothing;
    insert into saas.layout (org_id, id, connection_id, fingerprint, series_ids)
    select lay_out.org_id, new_id, lay_out.connection_id, sha256(convert_to(lay_out.series::text, 'UTF8')),
           array_agg(k.id order by e.n)
      from jsonb_array_elements(lay_out.series) with ordinality as e (s, n)
      join saas.series k on k.org_id = lay_out.org_id and k.connection_id = lay_out.connection_id
                        and k.metric = e.s ->> 'metric' and k.labels = coalesce(e.s -> 'labels', '{}');
    return new_id;
end
$$;

create function tenants.read(org_id uuid, layout_id uuid, at timestamptz, variadic sample double precision[])
returns void
language plpgsql as $$
begin
    perform saas_private.ensure_reading_partition(read.at);
    insert into saas.reading (org_id, connection_id, at, layout_id, "values")
    select l.org_id, l.connection_id, read.at, l.id, read.sample
      from saas.layout l where l.org_id = read.org_id and l.id = read.layout_id;
end
$$;

-- The SQLSTATE, message and DETAIL of a statement, one a line; its result as
-- text when it succeeds.  With a user it runs as saas_user in their name.
create function tenants.answer(statement text, user_id uuid default null, org_id uuid default null) returns text
language plpgsql as $$
declare
    result text;
    state text;
    message text;
    detail text;
begin
    begin
        if user_id is not null then
            perform saas.assume_identity(user_id, org_id);
            set local session authorization saas_user;
        end if;
        execute format('select (%s)::text', statement) into result;
        reset session authorization;
        return result;
    exception when others then
        get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail;
        return concat_ws(E'\n', state, message, nullif(detail, ''));
    end;
end
$$;
