-- Amazon Web Services: signing requests.  Leans on errors.

create function saas.aws_sigv4(method text, url text, headers jsonb, body bytea, credentials jsonb,
                               region text, service text, at timestamptz default now())
returns jsonb
language c stable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_aws_sigv4';
comment on function saas.aws_sigv4(text, text, jsonb, bytea, jsonb, text, text, timestamptz) is
'Headers that sign an HTTP request with AWS Signature Version 4: {"Host", "X-Amz-Date", "Authorization"} and, with a session token, "X-Amz-Security-Token"; send them together with the given ones. url: absolute, path and query as they are sent (a blank in the query as %20). headers: an object of strings, all of which are signed; NULL for none. body: NULL for none. credentials: {access_key_id, secret_access_key, session_token}, the last one optional. at: the time of the request, within 5 minutes of AWS''s. Not for S3, whose paths follow other rules. Errors: 22023 for anything missing, malformed or unknown, and for headers that signing makes itself; 22008. For saas_operator.';

create function saas_api.aws_role_policies(connection_id uuid) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
    partition text;
    account text;
    external_id text;
begin
    perform saas.require_permission('manage_connections');
    select c.kind, c.config into target
      from saas.connection c
     where c.org_id = saas.org_if('manage_connections') and c.id = aws_role_policies.connection_id
       and c.kind = 'aws';
    if target.kind is null then
        perform saas_private.raise_error('PT404', 'connection not found');
    end if;
    partition := split_part(target.config ->> 'role_arn', ':', 2);
    account := (regexp_match(current_setting('saas.aws_accounts'), '\d{12}'))[1];
    external_id := 'pg-saas-' || aws_role_policies.connection_id;
    return jsonb_build_object(
        'external_id', external_id,
        'role_arn', target.config ->> 'role_arn',
        'trust_policy', jsonb_build_object('Version', '2012-10-17', 'Statement', jsonb_build_array(jsonb_build_object(
            'Effect', 'Allow', 'Action', 'sts:AssumeRole',
            'Principal', jsonb_build_object('AWS', format('arn:%s:iam::%s:root', partition,
                                                          coalesce(account, 'ACCOUNT-OF-THE-ACCESS-KEY'))),
            'Condition', jsonb_build_object('StringEquals', jsonb_build_object('sts:ExternalId', external_id))))),
        'permission_policy', jsonb_build_object('Version', '2012-10-17', 'Statement', jsonb_build_array(jsonb_build_object(
            'Effect', 'Allow', 'Action', 'cloudwatch:GetMetricData', 'Resource', '*'))));
end
$$;
alter function saas_api.aws_role_policies(uuid) owner to saas_owner;
comment on function saas_api.aws_role_policies(uuid) is
'What the owner of an AWS account puts into the role of a connection: {external_id, role_arn, trust_policy, permission_policy}. The external id is the connection''s for its life. The trust policy names the first account of saas.aws_accounts; where that is empty, or the connection brings access keys of its own, put the account of those keys in its place. Errors: PT401, PT403, PT404 for anything but an AWS connection. For saas_user with manage_connections.';
