-- What a project writes that verifies its HS256 tokens in PL/pgSQL with
-- pgcrypto: the same checks of the token as saas.authenticate, the same live
-- rows, and an identity for the transaction.  The secret is in the setting
-- bench.jwt_secret in hex, as others keep theirs in app.jwt_secret.  Neither
-- function is security definer or sets a search_path, which would be slower.
create function bench.url_decode(data text) returns bytea
language sql immutable
as $$
    select decode(translate(data, '-_', '+/') || repeat('=', (4 - length(data) % 4) % 4), 'base64')
$$;

create function bench.verify_jwt(token text) returns jsonb
language plpgsql stable
as $$
declare
    parts text[] := string_to_array(token, '.');
    now_s double precision := extract(epoch from clock_timestamp());
    header jsonb;
    claims jsonb;
begin
    if cardinality(parts) is distinct from 3 then
        raise exception using errcode = 'PT401', message = 'Invalid or expired token';
    end if;
    header := convert_from(bench.url_decode(parts[1]), 'UTF8')::jsonb;
    if header ->> 'alg' is distinct from 'HS256' or header ? 'crit'
       or bench.url_decode(parts[3]) is distinct from
          hmac(convert_to(parts[1] || '.' || parts[2], 'UTF8'),
               decode(current_setting('bench.jwt_secret'), 'hex'), 'sha256') then
        raise exception using errcode = 'PT401', message = 'Invalid or expired token';
    end if;
    claims := convert_from(bench.url_decode(parts[2]), 'UTF8')::jsonb;
    if (claims ->> 'exp') is null or now_s >= (claims ->> 'exp')::double precision + 30
       or now_s < (claims ->> 'nbf')::double precision - 30
       or now_s < (claims ->> 'iat')::double precision - 30
       or claims ->> 'iss' is distinct from current_setting('saas.jwt_issuer')
       or claims ->> 'aud' is distinct from current_setting('saas.jwt_audience')
       or claims ->> 'type' is distinct from 'access' then
        raise exception using errcode = 'PT401', message = 'Invalid or expired token';
    end if;
    return claims;
end
$$;

create function bench.authenticate(token text) returns void
language plpgsql volatile
as $$
declare
    claims jsonb := bench.verify_jwt(token);
    found_user record;
begin
    select u.is_active, o.status, m.role, o.requires_second_factor, s.second_factor_at,
           s.id is not null and s.ended_at is null and s.expires_at > clock_timestamp() as has_session
      into found_user
      from saas.app_user u
      left join saas_private.session s on s.id = (claims ->> 'sid')::uuid and s.user_id = u.id
      left join saas.membership m on m.org_id = (claims ->> 'org')::uuid and m.user_id = u.id
      left join saas.organization o on o.id = m.org_id
     where u.id = (claims ->> 'sub')::uuid;
    if not found or not found_user.is_active or not found_user.has_session or found_user.role is null then
        raise exception using errcode = 'PT401', message = 'Invalid or expired token';
    end if;
    if found_user.status <> 'active'
       or (found_user.requires_second_factor and found_user.second_factor_at is null) then
        raise exception using errcode = 'PT403', message = 'not now';
    end if;
    perform set_config('bench.claims', (claims || jsonb_build_object('org_role', found_user.role))::text, true);
end
$$;
