-- The one raiser of errors for PL/pgSQL code.  Leans on schemas.

create function saas_private.raise_error(sqlstate text, message text,
                                         detail text default null, hint text default null)
returns void
language c volatile parallel safe
as 'MODULE_PATHNAME', 'pg_saas_raise_error';
comment on function saas_private.raise_error(text, text, text, text) is
'Raises an error in the form the caller can use: the SQLSTATE itself in SQL, SQLSTATE PGRST with status, headers and body inside an HTTP request.';

create function saas_private.raise_fields(message text, variadic fields text[])
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    details jsonb;
begin
    select jsonb_agg(jsonb_build_object('field', fields[i], 'message', fields[i + 1]) order by i)
      into details
      from generate_series(1, array_length(fields, 1), 2) as i;
    perform saas_private.raise_error('22023', message, details::text);
end
$$;
comment on function saas_private.raise_fields(text, text[]) is
'Raises 22023 with DETAIL [{"field","message"}] from alternating field names and messages.';
