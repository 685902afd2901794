-- Invitations: sent, listed, resent, revoked, expired, accepted, declined; by
-- whom, for whom, once; at sign-up; seats; throttles; the mail.
\ir ../lib/tenants.sql
select no_plan();

set saas.bcrypt_cost = 10;
-- Mail stays where it is: what is queued is looked at.
call tenants.hold_poller();
select user_id as ada, org_id as acme from tenants.found('ada') \gset
select user_id as eve, org_id as evil from tenants.found('eve') \gset
select user_id as bob, org_id as bobs from tenants.found('bob') \gset
select tenants.join('abe', :'acme', 'admin') as abe \gset
select tenants.join('mia', :'acme', 'member') as mia \gset
insert into saas.role (org_id, name, is_builtin, permissions, rank)
values (:'acme', 'clerk', false, '{manage_members}', 15), (:'evil', 'secret_role', false, '{view_dashboard}', 12);

create function pg_temp.acme(who uuid, statement text) returns text language sql as $$
    select tenants.answer(statement, who, (select id from saas.organization where name = 'Ada Works'))
$$;
create function pg_temp.invite(who uuid, email text, role text) returns text language sql as $$
    select case when answer like '{%' then answer::jsonb ->> 'status' else answer end
      from pg_temp.acme(who, format('saas_api.invite_member(%L, %L)', email, role)) answer
$$;
-- The token in the newest mail to an address.
create function pg_temp.token(email text) returns text language sql as $$
    select saas.read_mail(o.id) ->> 'token' from saas.outbox o
     where o.recipient = email and o.template = 'invitation' order by o.id desc limit 1
$$;
create function pg_temp.accept(who uuid, org uuid, token text) returns text language sql as $$
    select case when answer like '{%' then (answer::jsonb #>> '{organization,name}') || ' ' || (answer::jsonb #>> '{membership,role}') else answer end
      from tenants.answer(format('saas_api.accept_invitation(%L)', token), who, org) answer
$$;
create function pg_temp.invitation(email text) returns uuid language sql as $$
    select i.id from saas.invitation i where i.email = invitation.email order by i.id desc limit 1
$$;
-- Throttles are tried at the end.
create function pg_temp.forget() returns void language sql as $$
    select saas_private.forget_attempts('mail', saas_private.email_subject(a.email)),
           saas_private.forget_attempts('invitation', u.id::text), saas_private.forget_attempts('invite', o.id::text)
      from (select email from saas.invitation union select email from saas.app_user) a, saas.app_user u, saas.organization o
$$;
select E'22023\ninvalid or expired token' as bad_token \gset

-- Who invites whom to what
select is(pg_temp.invite(:'mia', 'x@example.com', 'viewer'), E'PT403\npermission denied by the organization''s roles\nmanage_members', 'a member invites nobody');
select is(pg_temp.invite(:'abe', 'x@example.com', role), E'PT403\nonly roles below your own are yours to give or change', format('an admin invites no %s', role))
  from unnest(array['admin', 'owner']) role;
select is(pg_temp.invite(:'abe', 'x@example.com', bad), E'22023\ninvalid input\n[{"field": "role", "message": "must be a role of the organization"}]',
          format('the role %s is refused', coalesce(bad, 'NULL'))) from unnest(array[null, '', 'nobody', 'secret_role']) bad;
select is(split_part(pg_temp.invite(:'abe', bad, 'viewer'), E'\n', 3) ~ '"email"', true, format('the address %s is refused', coalesce(to_json(left(bad, 20))::text, 'NULL')))
  from unnest(array[null, '', 'x', 'x@', 'x@example.com,y@example.com', E'x@example.com\nBcc: y@example.com']) bad;
select is(pg_temp.invite(:'abe', 'MIA@example.com', 'viewer'), E'23505\nis a member of the organization already', 'a member is invited by nobody');
select is_empty('select from saas.invitation', 'all of this has made no invitation');
select is(pg_temp.invite(:'abe', 'bob@example.com', 'member'), 'pending', 'an admin invites a member');
select is(pg_temp.invite(:'abe', 'BOB@example.com', 'viewer'), E'23505\nis invited to the organization already', 'once');
select is(pg_temp.invite(:'ada', 'owner@example.com', 'owner'), 'pending', 'an owner invites an owner');
update saas.membership set role = 'clerk' where user_id = :'mia';
select is(pg_temp.invite(:'mia', 'clerks@example.com', 'viewer'), 'pending', 'manage_members is what it takes');
update saas.membership set role = 'member' where user_id = :'mia';

-- The mail, and what is kept
select results_eq($$select org_id, template, parameters, status, token_expires_at - created_at from saas.outbox where recipient = 'bob@example.com' and template = 'invitation'$$,
                  format($$values (%L::uuid, 'invitation', '{"role": "member", "inviter_name": "Abe Example", "valid_hours": 48}'::jsonb, 'queued', interval '48 hours')$$, :'acme'),
                  'the mail goes in the organization''s name, for 48 hours');
select set_eq(format($$select jsonb_object_keys(parameters) from saas.outbox where org_id = %L$$, :'acme'),
              $$select unnest(m.parameters) from saas_private.organization_mails() m where m.name = 'invitation'
                except select unnest('{token,base_url,organization_name,product_name,recipient,support_email}'::text[])$$, 'with the parameters that a template may name');
select pg_temp.token('bob@example.com') as token \gset
select matches(:'token'::text, '^[A-Za-z0-9_-]{43}$', 'its token has 256 bits');
select results_eq('select expires_at - sent_at from saas.invitation where email = ''bob@example.com''', $$values (interval '48 hours')$$, 'the invitation is good for 48 hours');
select is((select count(*) from saas_private.invitation_token t, saas.invitation i where (t::text || i::text || i.email) like '%' || :'token' || '%'), 0::bigint, 'no table has the token');
select ok(exists (select from saas_private.invitation_token t where t.token_hash = sha256(:'token'::bytea)), 'but its hash');

-- The list
select is(pg_temp.acme(:'abe', '(select string_agg(i.email || '' '' || i.role || '' '' || i.status, '', '' order by i.email) from saas_api.invitations i)'),
          'bob@example.com member pending, clerks@example.com viewer pending, owner@example.com owner pending', 'who may invite sees the invitations');
select is(pg_temp.acme(:'mia', '(select count(*) from saas_api.invitations)'), '0', 'a member sees none');
select is(tenants.answer('(select count(*) from saas_api.invitations)', :'eve', :'evil'), '0', 'another organization none');

-- Tokens that are good for nothing are answered alike
select is(pg_temp.accept(:'eve', :'evil', :'token'), :'bad_token'::text, 'somebody else''s token');
select is(pg_temp.accept(:'bob', :'bobs', bad), :'bad_token'::text, format('the token %s', coalesce(bad, 'NULL'))) from unnest(array[null, '', 'x', repeat('A', 43)]) bad;
select is(tenants.answer(format('saas_api.decline_invitation(%L)', :'token'), :'eve', :'evil'), :'bad_token'::text, 'nor is it declined by somebody else');
update saas.invitation set expires_at = now() - interval '1 second' where email = 'bob@example.com';
select is(pg_temp.accept(:'bob', :'bobs', :'token'), :'bad_token'::text, 'an expired token');
select is(pg_temp.acme(:'abe', '(select i.status from saas_api.invitations i where i.email = ''bob@example.com'')'), 'expired', 'which the list calls so');
update saas.invitation set expires_at = now() + interval '1 hour' where email = 'bob@example.com';
update saas.app_user set email_verified_at = null where id = :'bob';
select is(pg_temp.accept(:'bob', :'bobs', :'token'), :'bad_token'::text, 'one whose address is not proven');
update saas.app_user set email_verified_at = now(), email = 'other@example.com' where id = :'bob';
select is(pg_temp.accept(:'bob', :'bobs', :'token'), :'bad_token'::text, 'one to an address that was changed');
update saas.app_user set email = 'Bob@Example.com' where id = :'bob';
select pg_temp.forget() as ok \gset
update saas.membership set role = 'member' where user_id = :'abe';
select is(pg_temp.accept(:'bob', :'bobs', :'token'), :'bad_token'::text, 'one whose sender may not invite any more');
update saas.role set permissions = '{manage_members}', rank = 20 where name = 'clerk';
update saas.membership set role = 'clerk' where user_id = :'abe';
select is(pg_temp.accept(:'bob', :'bobs', :'token'), :'bad_token'::text, 'or not to that role');
update saas.membership set role = 'admin' where user_id = :'abe';
update saas.app_user set is_active = false where id = :'abe';
select is(pg_temp.accept(:'bob', :'bobs', :'token'), :'bad_token'::text, 'or whose account is off');
update saas.app_user set is_active = true where id = :'abe';
update saas.organization set status = 'suspended' where id = :'acme';
select is(pg_temp.accept(:'bob', :'bobs', :'token'), E'PT403\norganization is suspended', 'nobody joins a suspended organization');
update saas.organization set status = 'active' where id = :'acme';

-- Resending, revoking
select pg_temp.invitation('bob@example.com') as invitation, pg_temp.invitation('owner@example.com') as owner_invitation \gset
select is(tenants.answer(format('saas_api.%s(%L)', call, :'invitation'), :'eve', :'evil'), E'PT404\ninvitation not found', format('%s does not find another organization''s', call))
  from unnest(array['resend_invitation', 'revoke_invitation']) call;
select is(pg_temp.acme(:'abe', format('saas_api.%s(%L)', call, saas.uuidv7())), E'PT404\ninvitation not found', format('%s does not find what is not there', call))
  from unnest(array['resend_invitation', 'revoke_invitation']) call;
select is(pg_temp.acme(:'abe', format('saas_api.%s(%L)', call, :'owner_invitation')), E'PT403\nonly roles below your own are yours to give or change', format('an admin does not %s of an owner', call))
  from unnest(array['resend_invitation', 'revoke_invitation']) call;
select is(pg_temp.acme(:'mia', format('saas_api.%s(%L)', call, :'invitation')), E'PT403\npermission denied by the organization''s roles\nmanage_members', format('a member does not %s', call))
  from unnest(array['resend_invitation', 'revoke_invitation']) call;
update saas.invitation set expires_at = now() - interval '1 second' where email = 'bob@example.com';
set saas.invitation_lifetime = '90min';
select is(pg_temp.acme(:'ada', format('saas_api.resend_invitation(%L)', :'invitation'))::jsonb ->> 'invited_by', :'ada'::text, 'an expired invitation is sent again, in the name of who does it');
reset saas.invitation_lifetime;
select results_eq('select status, expires_at - sent_at from saas.invitation where email = ''bob@example.com''', $$values ('pending', interval '90 minutes')$$, 'for the time that the setting says');
select results_eq($$select parameters ->> 'valid_hours', token_expires_at - created_at from saas.outbox where recipient = 'bob@example.com' and template = 'invitation'$$, $$values ('2', interval '90 minutes')$$, 'the new mail replaces the one that waited');
select isnt(pg_temp.token('bob@example.com'), :'token'::text, 'with a new token');
select is(pg_temp.accept(:'bob', :'bobs', :'token'), :'bad_token'::text, 'the old one has ended');
select pg_temp.token('bob@example.com') as token \gset
select is(pg_temp.acme(:'ada', format('saas_api.revoke_invitation(%L)', :'owner_invitation'))::jsonb ->> 'status', 'revoked', 'an invitation is revoked');
select is_empty('select from saas.outbox where recipient = ''owner@example.com''', 'its mail is not sent any more');
select is(pg_temp.acme(:'ada', format('saas_api.%s(%L)', call, :'owner_invitation')), E'PT409\nthe invitation is revoked', format('%s comes too late then', call))
  from unnest(array['resend_invitation', 'revoke_invitation']) call;
select is(pg_temp.invite(:'ada', 'owner@example.com', 'owner'), 'pending', 'the person may be invited again');

-- Domains that the organization allows
update saas.organization_settings set allowed_email_domains = '{example.org}' where org_id = :'acme';
insert into saas.organization_settings (org_id, allowed_email_domains) values (:'acme', '{example.org}') on conflict do nothing;
select is(pg_temp.invite(:'abe', 'y@example.com', 'viewer'), E'PT403\nthe organization does not allow addresses at this domain', 'nobody of another domain is invited');
select is(pg_temp.accept(:'bob', :'bobs', :'token'), E'PT403\nthe organization does not allow addresses at this domain', 'and who was before does not get in');
update saas.organization_settings set allowed_email_domains = null where org_id = :'acme';

-- Accepting
select lives_ok(format('select saas.set_seats(%L, 3)', :'acme'), 'with three seats for three members');
select is(pg_temp.accept(:'bob', :'bobs', :'token'), E'PT402\nall seats of the organization are taken\n{"seats": 3}', 'a good token finds no seat');
select lives_ok(format('select saas.set_seats(%L, 4)', :'acme'), 'with a fourth');
select is(pg_temp.accept(:'bob', :'bobs', :'token'), 'Ada Works member', 'it does');
select results_eq(format('select role, invited_by from saas.membership where org_id = %L and user_id = %L', :'acme', :'bob'), format($$values ('member', %L::uuid)$$, :'ada'), 'and makes a member');
select results_eq(format('select status, accepted_by, ended_at is not null from saas.invitation where id = %L', :'invitation'), format($$values ('accepted', %L::uuid, true)$$, :'bob'), 'the invitation says so');
select is(pg_temp.accept(:'bob', :'bobs', :'token'), :'bad_token'::text, 'the token is good once');
delete from saas.membership where org_id = :'acme' and user_id = :'bob';
select is(pg_temp.accept(:'bob', :'bobs', :'token'), :'bad_token'::text, 'also when the membership has ended');
select results_eq(format('select action from saas.audit_event where object_id = %L order by id', :'invitation'), $$values ('invitation.sent'), ('invitation.resent'), ('invitation.accepted')$$, 'the audit knows it all');
select is((select count(*) from saas.audit_event e where e.org_id = :'acme' and e::text like '%' || :'token' || '%'), 0::bigint, 'but not the token');

-- An expired one makes room for the next; a member in the meantime
select pg_temp.forget() as ok \gset
select is(pg_temp.invite(:'abe', 'bob@example.com', 'viewer'), 'pending', 'a former member is invited again');
update saas.invitation set expires_at = now() where status = 'pending' and email = 'bob@example.com';
select is(pg_temp.invite(:'abe', 'bob@example.com', 'viewer'), 'pending', 'and again when that has expired');
select is((select string_agg(status, ' ' order by id) from saas.invitation where email = 'bob@example.com'), 'accepted expired pending', 'which is kept as such');
insert into saas.membership (org_id, user_id, role) values (:'acme', :'bob', 'member');
select is(pg_temp.accept(:'bob', :'bobs', pg_temp.token('bob@example.com')), E'23505\nis a member of the organization already', 'who is a member accepts nothing');
delete from saas.membership where org_id = :'acme' and user_id = :'bob';

-- Declining
select is(tenants.answer(format('saas_api.decline_invitation(%L)', pg_temp.token('bob@example.com')), :'bob', :'bobs')::jsonb, '{"message": "Invitation declined."}', 'an invitation is declined');
select is((select status from saas.invitation where email = 'bob@example.com' order by id desc limit 1), 'declined', 'the list says so');
select is_empty('select from saas_private.invitation_token t join saas.invitation i on i.id = t.invitation_id where i.status <> ''pending''', 'no token of an ended invitation is left');

-- A caller who rolls back after having seen the success has gained nothing
select pg_temp.forget() as ok \gset
select is(pg_temp.invite(:'abe', 'bob@example.com', 'viewer'), 'pending', 'invited once more');
select pg_temp.token('bob@example.com') as token \gset
begin; select pg_temp.accept(:'bob', :'bobs', :'token') as seen \gset
rollback;
select is(:'seen'::text, 'Ada Works viewer', 'a success that is rolled back');
select is((select count(*) from saas.membership where org_id = :'acme' and user_id = :'bob'), 0::bigint, 'makes no member');
select is(pg_temp.accept(:'bob', :'bobs', :'token'), 'Ada Works viewer', 'and the token stays good');

-- Sign-up with an invitation
select pg_temp.forget() as ok \gset
select lives_ok(format('select saas.set_seats(%L, null)', :'acme'), 'without a limit of seats');
select is(pg_temp.invite(:'abe', 'nina@example.com', 'member'), 'pending', 'somebody without an account is invited');
select pg_temp.token('nina@example.com') as token \gset
select is(tenants.answer(format('saas_api.sign_up(%L, ''correct horse n'', ''Nina'', ''New'', invitation_token => %L)', email, bad)), :'bad_token'::text, format('%s does not sign up with %s', email, what))
  from (values ('nina@example.com', 'x', 'a wrong token'), ('nina@example.com', '', 'an empty token'), ('nemo@example.com', :'token', 'somebody else''s')) v (email, bad, what);
select is_empty('select from saas.app_user where email in (''nina@example.com'', ''nemo@example.com'')', 'which makes no account');
select is(tenants.answer(format('saas_api.sign_up(''Nina@example.com'', ''correct horse n'', ''Nina'', ''New'', invitation_token => %L)', :'token'))::jsonb #- '{membership,joined_at}',
          jsonb_build_object('message', 'Your account is ready: sign in.', 'membership', '{"role": "member"}'::jsonb,
                             'organization', jsonb_build_object('id', :'acme', 'name', 'Ada Works', 'slug', (select slug from saas.organization where id = :'acme'))),
          'the token lets the person sign up');
select results_eq($$select o.name, m.role, u.email_verified_at is not null from saas.app_user u join saas.membership m on m.user_id = u.id join saas.organization o on o.id = m.org_id where u.email = 'Nina@example.com'$$,
                  $$values ('Ada Works', 'member', true)$$, 'with a proven address, in that organization only');
select is_empty($$select from saas.outbox where recipient ilike 'nina@%' and template <> 'invitation'$$, 'without a mail to verify it');
select is(saas_api.sign_in('nina@example.com', 'correct horse n') #>> '{organization,name}', 'Ada Works', 'and signs in there');
select is(tenants.answer(format('saas_api.sign_up(''nina@example.com'', ''correct horse n'', ''Nina'', ''New'', invitation_token => %L)', :'token')), :'bad_token'::text, 'the token is good once');
select pg_temp.forget() as ok \gset
select is(pg_temp.invite(:'abe', 'eve@example.com', 'member'), 'pending', 'somebody with an account is invited');
select is(tenants.answer(format('saas_api.sign_up(''eve@example.com'', ''another horse'', ''Eve'', ''New'', invitation_token => %L)', pg_temp.token('eve@example.com'))), E'23505\nthe address has an account already', 'and told to sign in');
select is(pg_temp.accept(:'eve', :'evil', pg_temp.token('eve@example.com')), 'Ada Works member', 'which works');
-- The address of an account that nobody has proven is the invited person's
select saas_api.sign_up('zoe@example.com', 'squatter horse', 'Squatter', 'Bad', 'Squat') as ok \gset
select is(pg_temp.invite(:'abe', 'zoe@example.com', 'member'), 'pending', 'an address that somebody else has claimed is invited');
select is(tenants.answer(format('saas_api.sign_up(''zoe@example.com'', ''correct horse z'', ''Zoe'', ''Real'', ''Zoo'', %L)', pg_temp.token('zoe@example.com')))::jsonb ->> 'message', 'Your account is ready: sign in.', 'whoever holds the token has it');
select throws_ok($$select saas_api.sign_in('zoe@example.com', 'squatter horse')$$, 'PT401', 'Invalid credentials', 'the claimant''s password opens nothing');
select is((select string_agg(o.name || ' ' || o.slug, ', ' order by o.name) from saas.membership m join saas.organization o on o.id = m.org_id join saas.app_user u on u.id = m.user_id where u.email = 'zoe@example.com'),
          'Ada Works ada-works, Zoo zoo', 'an organization of the own name is the person''s besides');
set saas.sign_up_enabled = off;
select is(pg_temp.invite(:'abe', 'yan@example.com', 'member'), 'pending', 'while sign-up is off');
select is(tenants.answer(format('saas_api.sign_up(''yan@example.com'', ''correct horse z'', ''Yan'', ''Real'', null, %L)', pg_temp.token('yan@example.com'))), E'PT403\nsign-up is turned off', 'an invitation does not open it');
reset saas.sign_up_enabled;

-- Throttles count whatever is rolled back
select pg_temp.forget() as ok \gset
create function pg_temp.tries(times integer, who uuid, org uuid) returns text language plpgsql as $$
declare
    last text;
begin
    for i in 1..times loop
        last := pg_temp.accept(who, org, 'wrong');
    end loop;
    return split_part(last, E'\n', 1);
end $$;
select is(pg_temp.tries(10, :'bob', :'bobs') || ' ' || pg_temp.tries(1, :'bob', :'bobs'), '22023 PT429', 'after ten tries at tokens a person waits');
create function pg_temp.resend(times integer, who uuid, id uuid) returns text language plpgsql as $$
declare
    last text;
begin
    for i in 1..times loop
        last := pg_temp.acme(who, format('saas_api.resend_invitation(%L)', id));
    end loop;
    return case when last like '{%' then 'sent' else split_part(last, E'\n', 1) end;
end $$;
select is(pg_temp.resend(5, :'abe', pg_temp.invitation('yan@example.com')) || ' ' || pg_temp.resend(1, :'abe', pg_temp.invitation('yan@example.com')), 'sent PT429', 'after five mails an address has peace');
select is((select count(*) from generate_series(1, 100) n where saas_private.take_attempt('invite', :'acme', 100, '1 minute', '1 hour', '1 hour') > 0) > 0, true, 'and after a hundred invitations an organization waits');
select is(pg_temp.invite(:'abe', 'late@example.com', 'viewer') like E'PT429\n%', true, 'with PT429');
select * from finish();
