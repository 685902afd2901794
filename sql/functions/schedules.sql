-- Periodic work through pg_cron, where that is installed.  Leans on rollups,
-- audit, organization_lifecycle.

create function saas_private.schedule_list(out job text, out schedule text, out command text)
returns setof record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    values ('pg_saas maintain', '* * * * *', 'call saas.maintain()'),
           ('pg_saas seal_audit', '* * * * *', 'call saas.seal_audit()'),
           ('pg_saas purge', '17 * * * *', 'select saas.purge_organizations()')
$$;
comment on function saas_private.schedule_list() is
'What saas.install_schedules() has pg_cron do. For superusers.';

-- Invoker functions, so that jobs belong to who makes them; pg_cron's schema may be missing when they are made.
create function saas.install_schedules(out job text, out schedule text, out command text, out job_number bigint)
returns setof record
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_superuser('saas.install_schedules');
    perform saas_private.require_installed();
    if not exists (select from pg_extension e where e.extname = 'pg_cron') then
        perform saas_private.raise_error('55000', 'pg_cron is not installed in this database', null,
            'The worker does the same work by itself. With pg_cron in another database give it the commands of docs/operations.md with cron.schedule_in_database.');
    end if;
    for job, schedule, command in select l.job, l.schedule, l.command from saas_private.schedule_list() l loop
        execute 'select cron.schedule($1, $2, $3)' into job_number using job, schedule, command;
        return next;
    end loop;
    perform saas_private.audit('schedule.installed', 'schedule', 'pg_cron');
end
$$;
comment on function saas.install_schedules() is
'Has pg_cron call saas.maintain() and saas.seal_audit() every minute and saas.purge_organizations() every hour, as the calling superuser; once more changes nothing. The worker does the same unless it is off; with saas.maintenance_enabled = off it leaves maintenance to pg_cron. Keys are rotated by hand. Errors: PT403, 55000 before saas.install() and without pg_cron in this database. For superusers.';

create function saas.remove_schedules() returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    removed integer;
begin
    perform saas_private.require_superuser('saas.remove_schedules');
    perform saas_private.require_installed();
    if not exists (select from pg_extension e where e.extname = 'pg_cron') then
        return 0;
    end if;
    execute 'select count(cron.unschedule(j.jobid)) from cron.job j
              where j.jobname in (select l.job from saas_private.schedule_list() l)
                and j.database = current_database()' into removed;
    if removed > 0 then
        perform saas_private.audit('schedule.removed', 'schedule', 'pg_cron');
    end if;
    return removed;
end
$$;
comment on function saas.remove_schedules() is
'Takes back what saas.install_schedules() has given pg_cron, whoever did; how many jobs. Do it before saas.uninstall(). Errors: PT403, 55000 before saas.install(). For superusers.';
