-- Saved views: named selections of metrics.  Leans on metrics, audit.

create function saas_private.require_selection(selection jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong text;
begin
    if coalesce(jsonb_typeof(require_selection.selection), '') <> 'object' then
        perform saas_private.raise_fields('invalid input', 'selection', 'must be an object');
    elsif octet_length(require_selection.selection::text) > 65536 then
        perform saas_private.raise_fields('invalid input', 'selection', 'must have at most 65536 bytes');
    end if;
    select format('%s %s', e.key, k.problem) into wrong
      from jsonb_each(require_selection.selection) as e (key, value)
      left join (values ('metrics', 'array', 'must be an array of texts'), ('connection_ids', 'array', 'must be an array of ids'),
                        ('group_ids', 'array', 'must be an array of ids'), ('environments', 'array', 'must be an array of texts'),
                        ('group_by', 'array', 'must be an array of texts'), ('tags', 'object', 'must be an object'),
                        ('labels', 'object', 'must be an object'), ('fn', 'string', 'must be a text'), ('time_zone', 'string', 'must be a text'),
                        ('range', 'string', 'must be an interval above 0, such as 24 hours'), ('bucket', 'string', 'must be an interval above 0, such as 24 hours'),
                        ('since', 'string', 'must be a time'), ('until', 'string', 'must be a time')) as k (name, type, problem)
        on k.name = e.key
     where k.name is null or jsonb_typeof(e.value) <> k.type
        or k.type = 'array' and (jsonb_array_length(case when jsonb_typeof(e.value) = 'array' then e.value else '[]' end) > 1000
                                 or exists (select from jsonb_array_elements(case when jsonb_typeof(e.value) = 'array' then e.value else '[]' end) a
                                             where jsonb_typeof(a) <> 'string' or length(a #>> '{}') > 255
                                                or e.key ~ '_ids$' and a #>> '{}' !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'))
     order by e.key limit 1;
    if wrong is not null then
        perform saas_private.raise_fields('invalid input', 'selection.' || left(split_part(wrong, ' ', 1), 63),
                                          coalesce(nullif(substr(wrong, strpos(wrong, ' ') + 1), ''), 'is not a known key'));
    end if;
    for wrong in select w from unnest(array['range', 'bucket', 'since', 'until']) w where require_selection.selection ? w loop
        begin
            if wrong in ('range', 'bucket') then
                if not (require_selection.selection ->> wrong)::interval > interval '0' then
                    raise invalid_parameter_value;
                end if;
            elsif not isfinite((require_selection.selection ->> wrong)::timestamptz) then
                raise invalid_parameter_value;
            end if;
        exception when data_exception then
            perform saas_private.raise_fields('invalid input', 'selection.' || wrong,
                case when wrong in ('range', 'bucket') then 'must be an interval above 0, such as 24 hours' else 'must be a time' end);
        end;
    end loop;
    if require_selection.selection ? 'fn' then
        perform saas_private.require_metric_fn(require_selection.selection ->> 'fn');
    end if;
    if require_selection.selection ? 'time_zone' then
        perform saas_private.require_time_zone(require_selection.selection ->> 'time_zone');
    end if;
end
$$;
comment on function saas_private.require_selection(jsonb) is
'Raises 22023 with the field unless it is what a saved view selects. For the functions of saas_owner.';

create function saas_private.my_saved_views()
returns table (org_id uuid, id uuid, owner_id uuid, name text, selection jsonb, created_by uuid, created_at timestamptz, updated_at timestamptz)
language plpgsql stable security definer rows 20
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select v.org_id, v.id, v.owner_id, v.name, v.selection, v.created_by, v.created_at, v.updated_at
      from saas_private.saved_view v
     where v.org_id = saas.org_if('view_dashboard') and (v.owner_id is null or v.owner_id = saas.current_user_id());
end
$$;
alter function saas_private.my_saved_views() owner to saas_owner;
comment on function saas_private.my_saved_views() is
'What the view saas_api.saved_views shows.';

create function saas_api.save_view(name text, selection jsonb, shared boolean default false) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    given text;
    owner uuid;
    found_view record;
    new_id uuid := saas.uuidv7();
begin
    perform saas.require_permission('view_dashboard');
    if coalesce(save_view.shared, false) then
        perform saas.require_permission('manage_connections');
    else
        owner := saas.current_user_id();
    end if;
    org := saas.org_if('view_dashboard');
    given := saas_private.require_field('name', save_view.name, 255);
    perform saas_private.require_selection(save_view.selection);
    -- One at a time: two could make one name twice, or pass the limit together.
    perform saas_private.hold('saved views of ' || org);
    select v.* into found_view from saas_private.saved_view v
     where v.org_id = org and v.owner_id is not distinct from owner and lower(v.name) = lower(given);
    if found_view.id is not null then
        update saas_private.saved_view v set name = given, selection = save_view.selection, updated_at = now()
         where v.org_id = org and v.id = found_view.id;
        new_id := found_view.id;
    else
        if (select count(*) from saas_private.saved_view v where v.org_id = org and v.owner_id is not distinct from owner) >= 100 then
            perform saas_private.raise_fields('invalid input', 'name', 'there are at most 100 views of one''s own, and 100 shared ones');
        end if;
        insert into saas_private.saved_view (org_id, id, owner_id, name, selection, created_by)
        values (org, new_id, owner, given, save_view.selection, saas.current_user_id());
    end if;
    -- What is somebody's own is nobody else's business.
    if owner is null then
        perform saas_private.audit(case when found_view.id is null then 'saved_view.created' else 'saved_view.updated' end, 'saved_view', new_id::text,
            case when found_view.id is not null then jsonb_build_object('name', found_view.name, 'selection', found_view.selection) end,
            jsonb_build_object('name', given, 'selection', save_view.selection));
    end if;
    return (select to_jsonb(v) from saas_api.saved_views v where v.id = new_id);
end
$$;
alter function saas_api.save_view(text, jsonb, boolean) owner to saas_owner;
comment on function saas_api.save_view(text, jsonb, boolean) is
'Saves a selection under a name, one''s own or shared in the organization; what has the name already, in upper or lower case, is replaced. selection: metrics, connection_ids, group_ids, environments, tags, labels, range (such as "24 hours") or since and until, bucket, fn, group_by, time_zone. Answers its row of saas_api.saved_views. Ids are not looked up: what one may not see gives no rows. Errors: PT401, PT403, 22023 with fields, also beyond 100 of one''s own or 100 shared ones. For saas_user with view_dashboard; with manage_connections for shared ones.';

create function saas_api.delete_saved_view(view_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
begin
    perform saas.require_permission('view_dashboard');
    select v.* into target from saas_private.saved_view v
     where v.org_id = saas.org_if('view_dashboard') and v.id = delete_saved_view.view_id
       and (v.owner_id is null or v.owner_id = saas.current_user_id());
    if target.id is null then
        perform saas_private.raise_error('PT404', 'view not found');
    elsif target.owner_id is null then
        perform saas.require_permission('manage_connections');
    end if;
    delete from saas_private.saved_view v where v.org_id = target.org_id and v.id = target.id;
    if target.owner_id is null then
        perform saas_private.audit('saved_view.deleted', 'saved_view', target.id::text,
            jsonb_build_object('name', target.name, 'selection', target.selection));
    end if;
    return jsonb_build_object('id', target.id, 'name', target.name);
end
$$;
alter function saas_api.delete_saved_view(uuid) owner to saas_owner;
comment on function saas_api.delete_saved_view(uuid) is
'Deletes a saved view. Errors: PT401, PT403, PT404. For saas_user with view_dashboard; with manage_connections for shared ones.';
