-- docs/sql-reference.md, from the comments on functions, views and tables.
select $$# SQL reference

*Made by `tools/generate-docs` from the comments in the database.*

Three schemas, one per audience: `saas_api` is what an HTTP layer exposes, `saas` is for the database side (policies,
operators, your own tables), `saas_private` is nobody's but the extension's own and not documented here.

Arguments can be given by name. `null` for an argument with a default means the default. Errors are listed by
SQLSTATE; [errors.md](errors.md) says what they mean over HTTP. A function that is not granted to anybody is for
superusers, or for whomever you grant it to.$$;

create temporary view routine as
select n.nspname as schema, p.proname as name, d.description,
       case p.prokind when 'p' then 'procedure' else 'function' end as kind,
       format('%s%s.%s(', case p.prokind when 'p' then 'call ' else '' end, n.nspname, p.proname) as opening,
       regexp_replace(replace(replace(pg_get_function_arguments(p.oid), ' DEFAULT ', ' default '), 'NULL', 'null'),
                      '::(jsonb|interval|text|uuid)(\[\])?', '', 'g') as arguments,
       case when p.prokind = 'p' then ')'
            else ') returns ' || replace(pg_get_function_result(p.oid), 'TABLE(', 'table(') end as closing,
       (select string_agg('`' || r.rolname || '`', ', ' order by r.rolname)
          from pg_roles r
         where r.rolname in ('saas_anon', 'saas_user', 'saas_operator')
           and has_function_privilege(r.oid, p.oid, 'execute')) as granted
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  left join pg_description d on d.objoid = p.oid and d.classoid = 'pg_proc'::regclass and d.objsubid = 0
 where n.nspname in ('saas', 'saas_api');

create temporary view relation as
select n.nspname as schema, c.relname as name, c.relkind, d.description, c.oid,
       (select string_agg('`' || r.rolname || '`', ', ' order by r.rolname)
          from pg_roles r
         where r.rolname in ('saas_anon', 'saas_user', 'saas_operator')
           and has_table_privilege(r.oid, c.oid, 'select')) as granted
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_description d on d.objoid = c.oid and d.classoid = 'pg_class'::regclass and d.objsubid = 0
 where n.nspname in ('saas', 'saas_api') and c.relkind in ('r', 'p', 'v') and not c.relispartition;

create temporary view relation_text as
select r.*, format(E'\n### %s.%s\n\n%s\n\n%s', r.schema, r.name, coalesce(r.description, ''),
           '| column | type | |' || E'\n|---|---|---|\n' ||
           (select string_agg(format('| `%s` | %s | %s |', a.attname, format_type(a.atttypid, a.atttypmod),
                                     coalesce(col_description(r.oid, a.attnum), '')), E'\n' order by a.attnum)
              from pg_attribute a where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped) ||
           E'\n\nReadable by ' || coalesce(r.granted, 'none of the roles that requests run as') || '.') as text
  from relation r;

create temporary view routine_text as
select r.*, format(E'\n### %s.%s\n\n```sql\n%s\n```\n\n%s\n\nGranted to %s.', r.schema, r.name,
                   r.opening || case when length(r.arguments) > 70 then replace(r.arguments, ', ', E',\n    ')
                                     else r.arguments end || r.closing,
                   r.description, coalesce(r.granted, 'nobody')) as text
  from routine r;

select E'\n## saas_api: functions';
select text from routine_text where schema = 'saas_api' order by name;
select E'\n## saas_api: views\n\nThey run with the rights of whoever reads them: what the policies hide is not there.';
select text from relation_text where schema = 'saas_api' order by name;
select E'\n## saas: functions';
select text from routine_text where schema = 'saas' order by name;
select E'\n## saas: types';
select format(E'\n### saas.%s\n\n%s', t.typname, obj_description(t.oid, 'pg_type'))
  from pg_type t
 where t.typnamespace = 'saas'::regnamespace and obj_description(t.oid, 'pg_type') is not null
 order by t.typname;
select E'\n## saas: tables and views\n\nEvery table that holds data of tenants is under forced row level security. The roles that requests run as may
read at most: writes go through functions.';
select text from relation_text where schema = 'saas' order by relkind = 'v', name;
