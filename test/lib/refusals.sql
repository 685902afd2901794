-- What statements and tokens are answered, for tests that compare it.

-- SQLSTATE and message, and from a DETAIL with fields the first one's name.
create function pg_temp.refusal(statement text) returns text language plpgsql as $$
declare
    details text;
begin
    execute statement;
    return 'accepted';
exception when others then
    get stacked diagnostics details = pg_exception_detail;
    return sqlstate || ' ' || sqlerrm
           || case when details like '[%' then ' (' || (details::jsonb #>> '{0,field}') || ')' else '' end;
end
$$;
-- What authenticating with a token answers, after a change if one is given; the
-- change and the identity are undone.
create function pg_temp.verdict(token text, change text default null) returns text language plpgsql as $$
begin
    if change is not null then
        execute change;
    end if;
    perform saas.authenticate(token);
    raise exception using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then
        return 'accepted';
    when others then
        return sqlstate || ' ' || sqlerrm;
end
$$;
