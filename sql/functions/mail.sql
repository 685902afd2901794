-- Mail for operators: how delivery does, and another try.  Leans on accounts.

create function saas.mail_status() returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'queued', (select count(*) from saas.outbox o where o.status = 'queued'),
        'held', (select count(*) from saas.outbox o join saas.organization g on g.id = o.org_id
                  where o.status = 'queued' and g.status <> 'active'),
        'sending', (select count(*) from saas.outbox o where o.status = 'sending'),
        'failed', (select count(*) from saas.outbox o where o.status = 'failed'),
        'oldest_queued_at', (select min(o.created_at) from saas.outbox o where o.status in ('queued', 'sending')),
        'retrying', (select count(*) from saas.outbox o where o.status = 'queued' and o.attempts > 0),
        'dead_letters', coalesce((
            select jsonb_agg(to_jsonb(d) order by d.created_at desc)
              from (select o.id, o.org_id, left(o.recipient, 1) || '***' || coalesce(substring(o.recipient from '@.*$'), '') as recipient,
                           o.template, o.attempts, o.last_error, o.last_error_code, o.created_at
                      from saas.outbox o
                     where o.status = 'failed'
                     order by o.created_at desc
                     limit 100) as d), '[]'))
$$;
alter function saas.mail_status() owner to saas_service;
comment on function saas.mail_status() is
'How mail does: counts of queued (retrying: those that failed before; held: those of organizations that are suspended or being deleted), sending and failed mails, the time of the oldest that waits, and the newest 100 dead letters with masked recipients, why they failed, and no token. For saas_operator.';

create function saas.retry_mail(id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from saas.outbox o
                where o.id = retry_mail.id and o.status = 'failed' and o.token_expires_at <= now()) then
        perform saas_private.raise_error('PT409', 'the link in the mail has expired', null,
            'Whoever needs it asks for a new one.');
    end if;
    update saas.outbox o
       set status = 'queued', attempts = 0, next_attempt_at = now(), lease_id = null, lease_until = null
     where o.id = retry_mail.id and o.status = 'failed';
    if not found then
        perform saas_private.raise_error('PT404', 'mail not found', null,
            'Only a mail that failed can be retried: see saas.mail_status().');
    end if;
    perform saas_private.audit('mail.retried', 'mail', retry_mail.id::text, null, jsonb_build_object('template', o.template),
                               coalesce(o.org_id, '00000000-0000-0000-0000-000000000000'))
       from saas.outbox o where o.id = retry_mail.id;
    perform saas_private.wake_poller();
end
$$;
alter function saas.retry_mail(uuid) owner to saas_service;
comment on function saas.retry_mail(uuid) is
'Queues a dead letter again, with all its attempts. Errors: PT404, PT409 when the link in it has expired. For saas_operator.';

create function saas_private.prune_outbox() returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted integer;
begin
    update saas.outbox o set token = null
     where o.id in (select p.id from saas.outbox p
                     where p.status = 'failed' and p.token is not null
                       and coalesce(p.token_expires_at, p.created_at) <= now()
                       for update skip locked);
    delete from saas.outbox o
     where o.id in (select p.id from saas.outbox p
                     where p.status = 'sent' and p.sent_at < now() - interval '30 days'
                     order by p.sent_at limit 50000
                       for update skip locked)
        or o.id in (select p.id from saas.outbox p
                     where p.status = 'failed' and p.created_at < now() - interval '90 days'
                     order by p.created_at limit 50000
                       for update skip locked);
    get diagnostics deleted = row_count;
    return deleted;
end
$$;
alter function saas_private.prune_outbox() owner to saas_service;
comment on function saas_private.prune_outbox() is
'Deletes up to 50,000 each of the mails that were sent more than 30 days ago and of those that failed and are older than 90 days, erases the tokens of failed mails whose links have ended, and returns how many mails it has deleted. For saas_service and the worker, which calls it every hour.';
