-- Who may call what; nothing is left to PUBLIC.  Leans on every other part.

revoke execute on all functions in schema saas, saas_api, saas_private from public;
revoke execute on all procedures in schema saas, saas_api, saas_private from public;
revoke usage on type saas.sealed from public;
revoke create on schema saas, saas_api, saas_private from saas_service;

-- Policies and the invoker functions call these as whoever runs the query.
grant execute on function
    saas.authenticate(text), saas.clear_identity(), saas.pre_request(),
    saas.current_user_id(), saas.current_org_id(), saas.current_role_name(), saas.current_session_id(),
    saas.current_permissions(), saas.has_permission(text), saas.org_if(text), saas.is_authenticated(),
    saas.require_permission(text), saas.require_membership(uuid, text), saas.builtin_roles(),
    saas.uuidv7(), saas.version()
    to saas_owner, saas_service, saas_poller, saas_operator, saas_user, saas_anon;

grant execute on function
    saas_api.sign_up(text, text, text, text, text), saas_api.verify_email(text),
    saas_api.sign_in(text, text, boolean), saas_api.refresh_session(text), saas_api.jwks()
    to saas_anon, saas_user;

grant execute on function
    saas_api.sign_out(text), saas_api.me(),
    saas_api.create_organization(text, text), saas_api.switch_organization(text),
    saas_private.my_organizations(),
    saas_api.create_connection(text, text, jsonb, jsonb, text, jsonb, interval),
    saas_api.set_connection_secrets(uuid, jsonb), saas_api.set_connection_active(uuid, boolean),
    saas_api.delete_connection(uuid, text),
    saas_api.refresh_connections(uuid[], integer), saas_api.test_connection(uuid, integer),
    saas_api.query_metric(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text[]),
    saas_api.limits_overview(uuid),
    saas.seal(text, text, text), saas.describe(saas.sealed)
    to saas_user;
grant usage on type saas.sealed to saas_user, saas_owner, saas_service, saas_poller, saas_operator;
grant execute on function
    saas_private.sealed_in(cstring), saas_private.sealed_out(saas.sealed),
    saas_private.sealed_recv(internal), saas_private.sealed_send(saas.sealed)
    to saas_user, saas_owner, saas_service, saas_poller, saas_operator;

grant execute on function
    saas.confirm_user(uuid), saas.open_ticket(uuid, text, interval), saas.assume_identity(uuid, uuid),
    saas.read_mail(uuid), saas.poller_status(), saas.describe(saas.sealed),
    saas.verify_jwt(text, jsonb, jsonb), saas.parse_exposition(text, text), saas.read_salesforce_limits(text)
    to saas_operator;
grant execute on procedure saas.poll(integer) to saas_operator;
grant execute on function saas.mail_status(), saas.retry_mail(uuid) to saas_operator;

-- Definer functions call these as their owner.
grant execute on function
    saas_private.raise_error(text, text, text, text), saas_private.raise_fields(text, text[]),
    saas_private.request_header(text), saas_private.require_installed(), saas_private.require_identity(),
    saas_private.require_field(text, text, integer), saas_private.current_rank()
    to saas_owner, saas_service;
grant execute on function
    saas_private.nice_bucket(timestamptz, timestamptz), saas_private.limit_level(double precision),
    saas_private.check_connection(text, jsonb, jsonb), saas_private.seal_secrets(uuid, uuid, text, jsonb),
    saas_private.poll_now(uuid, uuid[], boolean, integer), saas_private.wake_poller(),
    saas_private.connection_json(uuid), saas_private.require_poll_interval(text, interval),
    saas_private.default_poll_interval(text), saas_private.require_timeout(integer)
    to saas_owner;
grant execute on function
    saas_private.random_token(), saas_private.token_hash(text),
    saas_private.hash_password(text), saas_private.check_password(text, text),
    saas_private.issue_access_token(uuid, uuid, uuid), saas_private.create_data_key(uuid),
    saas_private.seal_for_platform(text, text, text), saas_private.unseal_for_platform(saas.sealed, text, text),
    saas_private.slug_of(text), saas_private.is_reserved_slug(text), saas_private.require_email(text),
    saas_private.has_open_ticket(uuid),
    saas_private.wake_poller()
    to saas_service;
grant execute on function saas_private.ensure_reading_partition(timestamptz) to saas_poller;
