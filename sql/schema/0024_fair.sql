-- Turns between organizations by weight, and an index of what may be polled
-- that holds nothing else.  Leans on plans and connections.

alter table saas.plan add column poll_weight integer not null default 1 check (poll_weight between 1 and 100);
alter table saas.plan no force row level security;
update saas.plan p set poll_weight = case p.name when 'enterprise' then 4 else 2 end
 where p.name in ('pro', 'enterprise');
alter table saas.plan force row level security;
comment on column saas.plan.poll_weight is
'How many polls an organization on the plan may start in a turn, 1 to 100; then it is the next one''s turn. Changed with saas.set_plan_weight().';

alter table saas.organization add column poll_weight integer check (poll_weight between 1 and 100);
comment on column saas.organization.poll_weight is
'How many polls it may start in a turn; NULL: as many as its plan says. The operator''s to change, with saas.set_organization_weight().';

alter table saas.connection_status add column is_active boolean not null default true;
alter table saas.connection_status add column is_open boolean not null default true;
comment on column saas.connection_status.is_active is
'As in saas.connection, whose trigger keeps it: what is turned off is in no index that the poller looks through.';
comment on column saas.connection_status.is_open is
'False for what is due of an organization that is not active: the poller writes it down when it comes across, and takes it back when the organization is open again. Not with the organization''s status: who locks a connection must not keep an operator from closing its organization.';
alter table saas.connection_status no force row level security;
alter table saas.connection no force row level security;
update saas.connection_status s
   set is_active = false
  from saas.connection c
 where c.org_id = s.org_id and c.id = s.connection_id and not c.is_active;
alter table saas.connection_status force row level security;
alter table saas.connection force row level security;

create trigger connection_activity_is_repeated after update of is_active on saas.connection
    for each row when (old.is_active <> new.is_active)
    execute function saas_private.repeat_connection_activity();
create trigger connection_activity_is_taken_over after insert on saas.connection_status
    for each row execute function saas_private.take_over_connection_activity();

-- What may be polled by time, and by organization.
drop index saas.connection_status_next_poll_at_idx;
create index connection_status_due_idx on saas.connection_status (next_poll_at) where is_active and is_open;
create index connection_status_turn_idx on saas.connection_status (org_id, next_poll_at) where is_active and is_open;
create index connection_status_closed_idx on saas.connection_status (org_id, connection_id) where not is_open;
create index organization_closed_idx on saas.organization (id) where status <> 'active';
