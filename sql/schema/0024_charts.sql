-- The grid of limits for psql.  Leans on metrics, connections, organizations.
-- No value of one tenant's may overflow: a DBA reads them all at once.

create view saas.show_limits with (security_invoker = true) as
select o.name as organization, c.name as connection, c.environment, l.limit_name,
       coalesce(l.used, l.max - l.remaining) as used, l.max,
       saas.bar(p.percent) as bar, round(p.percent::numeric, 1) as percent, saas.limit_level(p.percent) as level,
       date_trunc('second', l.at) as last_updated
  from (select s.org_id, s.connection_id, s.at, s.labels ->> 'limit' as limit_name,
               max(s.value) filter (where s.metric ~ '_max$' and abs(s.value) < 1e300) as max,
               max(s.value) filter (where s.metric ~ '_remaining$' and abs(s.value) < 1e300) as remaining,
               max(s.value) filter (where s.metric ~ '_used$' and abs(s.value) < 1e300) as used,
               max(s.value) filter (where s.metric ~ '_percent$' and abs(s.value) < 1e300) as percent
          from saas.latest_sample s
         where s.labels ? 'limit' and s.metric ~ '_(max|remaining|used|percent)$'
         group by s.org_id, s.connection_id, s.at, s.labels ->> 'limit',
                  regexp_replace(s.metric, '_(max|remaining|used|percent)$', '')) as l
  join saas.connection c on c.org_id = l.org_id and c.id = l.connection_id
  join saas.organization o on o.id = l.org_id
 cross join lateral (select coalesce(l.percent, case when l.max >= 1e-5 then coalesce(l.used, l.max - l.remaining) / l.max * 100 end) as percent) as p
 order by o.name, c.name, c.id, p.percent desc nulls last, l.limit_name;
comment on view saas.show_limits is
'How much of each limit is used, of every connection that has limits (metrics ..._max, ..._remaining, ..._used, ..._percent with the label limit), the fullest first: a grid for psql. Reads with the caller''s rights; a superuser without an identity sees every organization. For saas_user with view_dashboard.';
grant select on saas.show_limits to saas_user;
