-- First steps of organizations, preferences of people.  Leans on
-- organization_settings.

create function saas_api.complete_onboarding_step(step text, completed boolean default true) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
begin
    perform saas.require_permission('manage_connections');
    org := saas.org_if('manage_connections');
    if complete_onboarding_step.step is null
       or complete_onboarding_step.step not in ('organization_info', 'team', 'first_connection') then
        perform saas_private.raise_fields('invalid input', 'step', 'must be organization_info, team or first_connection');
    end if;
    if coalesce(complete_onboarding_step.completed, true) then
        insert into saas.onboarding_step (org_id, step, completed_by)
        values (org, complete_onboarding_step.step, saas.current_user_id())
        on conflict on constraint onboarding_step_pkey do nothing;
    else
        delete from saas.onboarding_step s where s.org_id = org and s.step = complete_onboarding_step.step;
    end if;
    return (select to_jsonb(o) from saas_api.onboarding o where o.org_id = org);
end
$$;
alter function saas_api.complete_onboarding_step(text, boolean) owner to saas_owner;
comment on function saas_api.complete_onboarding_step(text, boolean) is
'Marks a first step of the current organization (organization_info, team, first_connection) as done or skipped; completed false opens it again. Answers the row of saas_api.onboarding. Errors: PT401, PT403, 22023. For saas_user with manage_connections.';

create function saas_private.my_preferences()
returns table (user_id uuid, completed_tours text[], preferences jsonb, updated_at timestamptz)
language plpgsql stable security definer rows 1
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select u.id, coalesce(p.completed_tours, '{}'), coalesce(p.preferences, '{}'), p.updated_at
      from saas.app_user u left join saas.user_preference p on p.user_id = u.id
     where u.id = saas.current_user_id() and saas.current_api_key_id() is null;
end
$$;
alter function saas_private.my_preferences() owner to saas_service;
comment on function saas_private.my_preferences() is
'What the view saas_api.preferences shows.';

create function saas_private.preferences_json() returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select jsonb_build_object('completed_tours', p.completed_tours, 'preferences', p.preferences)
              from saas_private.my_preferences() p);
end
$$;
comment on function saas_private.preferences_json() is
'My preferences as their functions answer.';

create function saas_api.set_preferences(patch jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    removed text[];
    merged jsonb;
begin
    perform saas_private.require_identity();
    perform saas_private.refuse_api_key();
    if jsonb_typeof(coalesce(set_preferences.patch, 'null')) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'patch', 'must be an object');
    end if;
    removed := array(select e.key from jsonb_each(set_preferences.patch) e where e.value = 'null');
    insert into saas.user_preference as p (user_id, preferences)
    values (saas.current_user_id(), set_preferences.patch - removed)
    on conflict on constraint user_preference_pkey
    do update set preferences = (p.preferences || set_preferences.patch) - removed, updated_at = now()
    returning p.preferences into merged;
    if saas_private.json_is_longer(merged, 16384) then
        perform saas_private.raise_fields('invalid input', 'patch', 'must leave at most 16 kB');
    end if;
    return saas_private.preferences_json();
end
$$;
alter function saas_api.set_preferences(jsonb) owner to saas_service;
comment on function saas_api.set_preferences(jsonb) is
'Lays a patch over my preferences; null removes a key, and all together have at most 16 kB. Answers {completed_tours, preferences}. Errors: PT401, PT403 with an API key, 22023. For saas_user.';

create function saas_api.complete_tour(tour text, completed boolean default true) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    name constant text := complete_tour.tour;
    is_done constant boolean := coalesce(complete_tour.completed, true);
begin
    perform saas_private.require_identity();
    perform saas_private.refuse_api_key();
    if name is null or name !~ '^[a-z0-9][a-z0-9_.-]{0,62}$' then
        perform saas_private.raise_fields('invalid input', 'tour',
            'must have 1 to 63 lower-case letters, digits, dots, hyphens and underscores');
    end if;
    insert into saas.user_preference (user_id) values (saas.current_user_id())
    on conflict on constraint user_preference_pkey do nothing;
    update saas.user_preference p
       set completed_tours = array_remove(p.completed_tours, name) || case when is_done then array[name] else '{}' end,
           updated_at = now()
     where p.user_id = saas.current_user_id()
       and (cardinality(p.completed_tours) < 200 or name = any (p.completed_tours));
    if not found then
        perform saas_private.raise_fields('invalid input', 'tour', 'would be one too many: 200 are kept');
    end if;
    return saas_private.preferences_json();
end
$$;
alter function saas_api.complete_tour(text, boolean) owner to saas_service;
comment on function saas_api.complete_tour(text, boolean) is
'Remembers that I have seen a tour; completed false forgets it. At most 200 are kept. Answers {completed_tours, preferences}. Errors: PT401, PT403 with an API key, 22023. For saas_user.';
