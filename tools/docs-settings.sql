-- docs/settings.md, from the texts in src/state/settings.c.
select $$# Settings

*Made by `tools/generate-docs` from the definitions in the library.*

All settings begin with `saas.`; the prefix is reserved: `SET` refuses a misspelt one, and the server's log warns of
one in `postgresql.conf`. None of them decides who somebody is: the identity of a transaction comes from a verified
token and from nothing that can be set.

| changed by | how |
|---|---|
| restart | in `postgresql.conf` or with `ALTER SYSTEM`; takes effect when the server starts |
| reload | the same; takes effect with `select pg_reload_conf()` |
| superuser | as reload, and by a superuser with `SET`, `ALTER DATABASE ... SET` or `ALTER ROLE ... SET` |

| setting | default | changed by |
|---|---|---|$$;

create temporary view page as
select s.name, s.vartype, s.short_desc, s.extra_desc, s.min_val, s.max_val, s.unit,
       case when s.vartype = 'string' then case when s.boot_val = '' then 'empty' else '`' || s.boot_val || '`' end
            else '`' || s.boot_val || '`' || coalesce(' ' || s.unit, '') end as default_value,
       case s.context when 'postmaster' then 'restart' when 'sighup' then 'reload' when 'superuser' then 'superuser'
                      else s.context end as changed_by
  from pg_settings s
 where s.name like 'saas.%';

select format('| [`%s`](#%s) | %s | %s |', p.name, translate(p.name, '.', ''), p.default_value, p.changed_by)
  from page p order by p.name;

select format(E'\n## %s\n\n%s%s\n\n%s', p.name, p.short_desc, coalesce(' ' || p.extra_desc, ''),
              format('Type %s%s; default %s; changed by %s.', p.vartype,
                     case when p.vartype = 'integer'
                          then format(', from %s to %s%s', p.min_val, p.max_val, coalesce(' ' || p.unit, '')) else '' end,
                     p.default_value, p.changed_by))
  from page p order by p.name;
