-- Templates of mails, and what the outbox keeps of their delivery.  Leans on
-- accounts.

create table saas.mail_template (
    id uuid primary key default saas.uuidv7(),
    org_id uuid references saas.organization (id) on delete cascade,
    name text not null check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    subject text not null check (length(subject) between 1 and 998),
    text_body text not null check (length(text_body) between 1 and 100000),
    html_body text not null check (length(html_body) between 1 and 100000),
    updated_at timestamptz not null default now()
);
comment on table saas.mail_template is
'What mails say. {{name}} stands for a parameter, escaped in html_body, {{url:name}} for the same percent-encoded; a name without a value for nothing. Both bodies are put into the frame that all mails have, but not an html_body that is a whole document.';
comment on column saas.mail_template.org_id is
'The organization whose mails say this instead; NULL for everybody''s.';
create unique index mail_template_name_idx on saas.mail_template (name) where org_id is null;
create unique index mail_template_org_idx on saas.mail_template (org_id, name) where org_id is not null;
alter table saas.outbox
    drop constraint outbox_status_check,
    add constraint outbox_status_check check (status in ('queued', 'sending', 'sent', 'failed')),
    add attempts integer not null default 0 check (attempts >= 0),
    add next_attempt_at timestamptz not null default now(),
    add lease_id uuid,
    add lease_until timestamptz,
    add last_error text,
    add last_error_code text;
comment on column saas.outbox.status is
'queued: waits for next_attempt_at. sending: an attempt holds the lease. sent. failed: given up, the dead letters; saas.retry_mail() queues one again.';
comment on column saas.outbox.last_error is
'Why the last attempt failed; never with the token.';
create index outbox_due_idx on saas.outbox (next_attempt_at) where status in ('queued', 'sending');
create index outbox_lease_idx on saas.outbox (lease_until) where status = 'sending';
create index outbox_failed_idx on saas.outbox (created_at) where status = 'failed';

-- Before row-level security is forced, under which the owner may write nothing.
insert into saas.mail_template (name, subject, text_body, html_body)
select t.name, t.subject,
       format(E'Hello,\n\n%s\n', t.text_body), format(E'<p>Hello,</p>\n%s\n', t.html_body)
  from (values
    ('verify_email', 'Confirm your e-mail address for {{product_name}}',
     E'Confirm your e-mail address with this link:\n{{base_url}}/verify-email?token={{url:token}}\n\nOr enter this code: {{code}}\n\nThe link is good for {{valid_hours}} hours, the code for {{code_valid_minutes}} minutes. If you did not sign up, ignore this mail.',
     E'<p>Confirm your e-mail address: <a href="{{base_url}}/verify-email?token={{url:token}}">confirm</a></p>\n<p>Or enter this code: <strong>{{code}}</strong></p>\n<p>The link is good for {{valid_hours}} hours, the code for {{code_valid_minutes}} minutes. If you did not sign up, ignore this mail.</p>'),
    ('account_exists', 'You already have an account at {{product_name}}',
     E'Somebody, probably you, tried to sign up with this address, which has an account already.\n\nSign in: {{base_url}}/sign-in\nForgot the password? {{base_url}}/forgot-password\n\nIf that was not you, ignore this mail.',
     E'<p>Somebody, probably you, tried to sign up with this address, which has an account already.</p>\n<p><a href="{{base_url}}/sign-in">Sign in</a> or <a href="{{base_url}}/forgot-password">choose a new password</a>.</p>\n<p>If that was not you, ignore this mail.</p>'),
    ('reset_password', 'Choose a new password for {{product_name}}',
     E'Choose a new password with this link:\n{{base_url}}/reset-password?token={{url:token}}\n\nIt is good once, for {{valid_minutes}} minutes. If you did not ask for it, ignore this mail: your password is unchanged.',
     E'<p><a href="{{base_url}}/reset-password?token={{url:token}}">Choose a new password</a></p>\n<p>The link is good once, for {{valid_minutes}} minutes. If you did not ask for it, ignore this mail: your password is unchanged.</p>'),
    ('password_changed', 'Your password for {{product_name}} was changed',
     E'The password of your account was changed.\n\nIf that was not you, choose a new one at once: {{base_url}}/forgot-password',
     E'<p>The password of your account was changed.</p>\n<p>If that was not you, <a href="{{base_url}}/forgot-password">choose a new one</a> at once.</p>'),
    ('invitation', '{{inviter_name}} invites you to {{organization_name}}',
     E'{{inviter_name}} invites you to join {{organization_name}} at {{product_name}} as {{role}}.\n\nAccept: {{base_url}}/accept-invitation?token={{url:token}}\n\nThe invitation is good for {{valid_hours}} hours.',
     E'<p>{{inviter_name}} invites you to join <strong>{{organization_name}}</strong> at {{product_name}} as {{role}}.</p>\n<p><a href="{{base_url}}/accept-invitation?token={{url:token}}">Accept the invitation</a></p>\n<p>It is good for {{valid_hours}} hours.</p>'),
    ('sign_in_lockout', 'Many failed sign-ins to your account at {{product_name}}',
     E'Somebody tried to sign in to your account with wrong passwords many times. Further attempts have to wait.\n\nIf that was you and the password is lost: {{base_url}}/forgot-password',
     E'<p>Somebody tried to sign in to your account with wrong passwords many times. Further attempts have to wait.</p>\n<p>If that was you and the password is lost, <a href="{{base_url}}/forgot-password">choose a new one</a>.</p>'),
    ('security_notice', 'Security notice for your account at {{product_name}}',
     E'This happened to your account: {{event}}\n\nIf that was not you, choose a new password: {{base_url}}/forgot-password',
     E'<p>This happened to your account: {{event}}</p>\n<p>If that was not you, <a href="{{base_url}}/forgot-password">choose a new password</a>.</p>'),
    ('change_email', 'Confirm your new e-mail address for {{product_name}}',
     E'Confirm that this is to be the e-mail address of your account, with this link:\n{{base_url}}/change-email?token={{url:token}}\n\nIt is good once, for {{valid_hours}} hours. If you did not ask for it, ignore this mail.',
     E'<p>Confirm that this is to be the e-mail address of your account: <a href="{{base_url}}/change-email?token={{url:token}}">confirm</a></p>\n<p>The link is good once, for {{valid_hours}} hours. If you did not ask for it, ignore this mail.</p>')
  ) as t (name, subject, text_body, html_body);

alter table saas.mail_template enable row level security;
alter table saas.mail_template force row level security;
create policy "the service keeps mail templates" on saas.mail_template
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas.mail_template to saas_service;
