-- The audit of committed changes, and the chain that seals it.  Leans on
-- identity, requests, vault.

create function saas_private.audit(action text, object_type text, object_id text, before jsonb default null,
                                   after jsonb default null, org_id uuid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into saas.audit_event (org_id, actor_id, source, api_key_id, session_id, login, action, object_type,
                                  object_id, before, after, ip)
    values (coalesce(audit.org_id, saas.current_org_id(), '00000000-0000-0000-0000-000000000000'),
            saas.current_user_id(), coalesce(saas_private.identity_source(), 'database'),
            saas.current_api_key_id(), saas.current_session_id(), session_user, audit.action, audit.object_type,
            audit.object_id, audit.before, audit.after, saas_private.client_address());
end
$$;
alter function saas_private.audit(text, text, text, jsonb, jsonb, uuid) owner to saas_service;
comment on function saas_private.audit(text, text, text, jsonb, jsonb, uuid) is
'Appends one event to the audit of org_id; NULL: of the identity''s organization, without one of the platform. Call it after the change, in its transaction. action is object.verb in lower case and past tense: member.role_changed. For the functions of saas_owner and saas_service.';
