-- What organizations put on their mail, and how long mail is kept.
select no_plan();
\ir ../lib/tenants.sql

set saas.bcrypt_cost = 10;
select user_id as ada, org_id as works from tenants.found('ada') \gset
select user_id as eve, org_id as others from tenants.found('eve') \gset
select tenants.join('mia', :'works', 'member') as mia \gset
create function pg_temp.as_ada(statement text) returns text language sql volatile as $$
    select tenants.answer(statement, u.id, m.org_id) from saas.app_user u join saas.membership m on m.user_id = u.id where u.email = 'ada@example.com'
$$;
-- The field and what is wrong with it.
create function pg_temp.refusal(answer text) returns text language sql as $$
    select coalesce((substring(answer from E'\n(\\[.*)$')::jsonb #>> '{0,field}') || ': ' || (substring(answer from E'\n(\\[.*)$')::jsonb #>> '{0,message}'),
                    split_part(answer, E'\n', 1))
$$;

--
-- Branding
--
select is(pg_temp.as_ada('select count(*) from saas_api.branding'), '0', 'there is no branding to begin with');
select is(pg_temp.as_ada($$saas_api.set_branding('Ada Portal', 'https://cdn.example.com/logo.png?v=1', '#00AAff', 'help@example.com', E' Ada & Co.\r\nLondon \n') - 'updated_at'$$)::jsonb,
          jsonb_build_object('org_id', :'works', 'product_name', 'Ada Portal', 'logo_url', 'https://cdn.example.com/logo.png?v=1', 'primary_color', '#00aaff',
                             'support_email', 'help@example.com', 'footer_text', E'Ada & Co.\nLondon'), 'an owner sets it');
select is(tenants.answer('select product_name from saas_api.branding', :'mia', :'works'), 'Ada Portal', 'a member sees it');
select is(tenants.answer('select count(*) from saas_api.branding', :'eve', :'others'), '0', 'nobody of another organization does');
select matches(tenants.answer('saas_api.set_branding(''x'')', :'mia', :'works'), '^PT403', 'a member does not set it');
set role saas_user;
select throws_like('select saas_api.set_branding(''x'')', '%Access token required%', 'nobody sets it');
reset role;
select is(pg_temp.refusal(pg_temp.as_ada(format('saas_api.set_branding(%s => %L)', field, value))), field || ': ' || problem, format('%s must not be %s', field, left(value, 30)))
  from (values ('product_name', repeat('x', 101), 'must have at most 100 characters'),
               ('product_name', E'a\nBcc: x@example.com', 'must not hold control characters'),
               ('logo_url', 'http://example.com/a.png', 'must be an https:// URL without user and password'),
               ('logo_url', 'data:image/png;base64,AAAA', 'must be an https:// URL without user and password'),
               ('logo_url', 'https://example.com/"><script>', 'must be an https:// URL without user and password'),
               ('logo_url', 'https://example.com/{{url:recipient}}', 'must be an https:// URL without user and password'),
               ('logo_url', 'https://u@example.com/', 'must be an https:// URL without user and password'),
               ('logo_url', 'https://', 'must be an https:// URL without user and password'),
               ('primary_color', 'red', 'must be # and six hexadecimal digits'),
               ('primary_color', '#fff;background:url(https://x)', 'must be # and six hexadecimal digits'),
               ('support_email', 'help', 'is not a valid e-mail address'),
               ('support_email', 'Help <help@example.com>', 'is not a valid e-mail address'),
               ('footer_text', repeat('x', 1001), 'must have at most 1000 characters'),
               ('footer_text', E'a\tb', 'must not hold control characters')) as odd (field, value, problem);
select is(pg_temp.as_ada($$saas_api.set_branding(primary_color => ' #112233 ') ->> 'product_name'$$), null, 'setting it sets all of it');

--
-- Templates
--
select is(tenants.answer('select count(*) from saas_api.mail_templates', :'mia', :'works'), '0', 'a member sees no templates');
select is(pg_temp.as_ada('select string_agg(name || is_customized, '','') from saas_api.mail_templates'), 'invitationfalse', 'an owner sees those of an organization''s mails');
select is(pg_temp.as_ada('select parameters from saas_api.mail_templates'),
          '{inviter_name,role,token,valid_hours,base_url,organization_name,product_name,recipient,support_email}', 'with what they may name');
\set link '{{base_url}}/accept-invitation?token={{url:token}}'
create function pg_temp.set_template(subject text, text_body text, html_body text, name text default 'invitation') returns text language sql volatile as $$
    select pg_temp.as_ada(format('saas_api.set_mail_template(%L, %L, %L, %L) ->> ''subject''', name, subject, text_body, html_body))
$$;
select is(pg_temp.refusal(pg_temp.set_template('S', :'link', '<a href="' || :'link' || '">x</a>', name)),
          'name: must be a mail of an organization: invitation', format('%s is none', coalesce(name, 'nothing')))
  from unnest(array['verify_email', 'reset_password', 'sign_in_lockout', 'no_such', null]) name;
select is(pg_temp.set_template(' Welcome to {{product_name}} ', E'Join us:\r\n' || :'link' || E'\n', '<h1>Join</h1><p><a href="' || :'link' || '">us</a><br/><a href="https://example.com/about?a=b">about</a></p>'),
          'Welcome to {{product_name}}', 'an owner chooses the words');
select is(pg_temp.as_ada('select row(is_customized, text_body) from saas_api.mail_templates'), format('(t,"Join us:%s%s")', E'\n', :'link'), 'which are shown');
select is(tenants.answer('select row(is_customized, subject) from saas_api.mail_templates', :'eve', :'others'), '(f,"{{inviter_name}} invites you to {{organization_name}}")', 'to nobody else');
select is(pg_temp.set_template('Again', :'link', '<a href="' || :'link' || '">x</a>'), 'Again', 'and again');
select is(pg_temp.refusal(pg_temp.set_template(coalesce(s, 'S'), coalesce(t, :'link'), coalesce(h, '<a href="' || :'link' || '">x</a>'))), problem, format('refused: %s', left(coalesce(s, t, h), 60)))
  from (values ('', null, null, 'subject: is required'),
               (repeat('x', 201), null, null, 'subject: must have at most 200 characters'),
               (E'a\nBcc: x@example.com', null, null, 'subject: must not hold control characters'),
               ('{{password}}', null, null, 'subject: knows no parameter "password"'),
               ('{{code}}', null, null, 'subject: knows no parameter "code"'),
               ('{{token}}', null, null, 'subject: must not hold the token'),
               ('{{ recipient }}', null, null, 'subject: holds braces that are no parameter'),
               (null, '', null, 'text_body: is required'),
               (null, repeat('x', 20001), null, 'text_body: must have at most 20000 characters'),
               (null, E'\x01' || :'link', null, 'text_body: must not hold control characters'),
               (null, 'no link', null, 'text_body: must hold the token as {{base_url}}/accept-invitation?token={{url:token}} between blanks and not otherwise'),
               (null, 'https://evil.example/?' || :'link', null, 'text_body: must hold the token as {{base_url}}/accept-invitation?token={{url:token}} between blanks and not otherwise'),
               (null, :'link' || ' https://evil.example/{{token}}', null, 'text_body: must hold the token as {{base_url}}/accept-invitation?token={{url:token}} between blanks and not otherwise'),
               (null, :'link' || ' {{base_url}}.evil.example', null, 'text_body: may go on after {{base_url}} with a path only'),
               (null, null, '<p>no link</p>', 'html_body: must hold the token as href="{{base_url}}/accept-invitation?token={{url:token}}" and not otherwise'),
               (null, null, '<a href="' || :'link' || '">x</a><a href="https://evil.example/{{url:token}}">y</a>',
                'html_body: must hold the token as href="{{base_url}}/accept-invitation?token={{url:token}}" and not otherwise'),
               (null, null, '<a href="' || :'link' || '">x</a>{{nothing}}', 'html_body: knows no parameter "nothing"')) as odd (s, t, h, problem);
select matches(pg_temp.refusal(pg_temp.set_template('S', :'link', '<a href="' || :'link' || '">x</a>' || markup)), '^html_body: may hold p, br', format('refused: %s', markup))
  from unnest(array['<img src="https://evil.example/{{url:recipient}}">', '<script>x</script>', '<p onclick="x">', '<p style="background:url(https://x)">',
                    '<a href="javascript:alert(1)">x</a>', '<a href="http://example.com/">x</a>', '<a href="https://{{role}}/">x</a>',
                    '<a href=''https://example.com''>x</a>', '<a href="https://example.com/" onclick="x">', '<!-- x -->', '<!DOCTYPE html>', '<style>p{}</style>',
                    '<link rel="x">', '<form>', '<iframe>', '<', '>', '<a href="https://example.com/', '<p']) markup;
select is(pg_temp.refusal(pg_temp.set_template('S', :'link', '<a href="' || :'link' || '">x</a><a href="{{base_url}}:x@evil.example/">x</a>')),
          'html_body: may go on after {{base_url}} with a path only', 'refused: another host after the base URL');
select matches(tenants.answer('saas_api.set_mail_template(''invitation'', ''S'', ''T'', ''H'')', :'mia', :'works'), '^PT403', 'a member chooses none');
select matches(tenants.answer('saas_api.preview_mail_template(''invitation'')', :'mia', :'works'), '^PT403', 'and sees no preview');

--
-- Preview
--
select pg_temp.as_ada($$saas_api.set_branding('Ada <Portal>', 'https://cdn.example.com/logo.png', '#00aaff', 'help@example.com', E'Ada & Co.\n<b>London</b>')$$) is not null as ok \gset
select pg_temp.set_template('{{inviter_name}}: {{product_name}}', E'As {{role}} for {{valid_hours}} h: \n' || :'link', '<p>{{product_name}} <a href="' || :'link' || '">{{support_email}}</a></p>') is not null as ok \gset
select pg_temp.as_ada('saas_api.preview_mail_template(''invitation'')') as preview \gset
select is(:'preview'::jsonb ->> 'subject', 'Ada Lovelace: Ada <Portal>', 'a preview has a subject');
select is(:'preview'::jsonb ->> 'sender_name', 'Ada <Portal> via ' || current_setting('saas.product_name'), 'and a sender');
select matches(:'preview'::jsonb ->> 'text', E'^As member for 48 h: \n.*/accept-invitation[?]token=TOKEN\n\n-- \nAda <Portal>\nAda & Co.\n<b>London</b>\nhelp@example.com\n$', 'a text with the footer');
select matches(:'preview'::jsonb ->> 'html', '<img src="https://cdn.example.com/logo.png" alt="Ada &lt;Portal&gt;"', 'the logo');
select matches(:'preview'::jsonb ->> 'html', 'border-top:4px solid #00aaff', 'the colour');
select matches(:'preview'::jsonb ->> 'html', '<br>Ada &amp; Co.<br>&lt;b&gt;London&lt;/b&gt;<br>help@example.com', 'and the footer, escaped');
select matches(:'preview'::jsonb ->> 'html', E'<p>Ada &lt;Portal&gt; <a href="[^"]*/accept-invitation[?]token=TOKEN">help@example.com</a></p>', 'around what the template says');
select is(tenants.answer('saas_api.preview_mail_template(''invitation'') ->> ''subject''', :'eve', :'others'), 'Ada Lovelace invites you to Eve Works', 'another organization''s is everybody''s');
begin;
update saas.organization set name = repeat('&', 255) where id = :'works';
select pg_temp.set_template('S', :'link' || repeat(' {{organization_name}}', 900), '<a href="' || :'link' || '">x</a>' || repeat('{{organization_name}}', 900)) is not null as ok \gset
select matches(left(tenants.answer('saas_api.preview_mail_template(''invitation'')', :'ada', :'works'), 300), '^22023.*is too large once its parameters stand in it', 'a template that grows beyond a mail is told in its preview');
rollback;
select is(pg_temp.as_ada('saas_api.reset_mail_template(''invitation'') ->> ''is_customized'''), 'false', 'resetting gives everybody''s words');
select is(pg_temp.as_ada('saas_api.reset_mail_template(''invitation'') ->> ''is_customized'''), 'false', 'again and again');
select is(pg_temp.refusal(pg_temp.as_ada('saas_api.reset_mail_template(''verify_email'')')), 'name: must be a mail of an organization: invitation', 'of an organization''s mails');
select is((select count(*) from saas.mail_template where org_id is null and name in ('invitation', 'verify_email')), 2::bigint, 'everybody''s stay');

--
-- How long mail is kept
--
select saas_private.queue_mail('x@example.com', 'invitation', '{}', 'tok') as week, saas_private.queue_mail('x@example.com', 'invitation', '{}', 'tok', null, '1 hour') as hour,
       saas_private.queue_mail('x@example.com', 'invitation', '{}') as none \gset
select results_eq(format('select token_expires_at - created_at from saas.outbox where id in (%L, %L, %L) order by 1', :'week', :'hour', :'none'),
                  $$values (interval '1 hour'), ('7 days'), (null)$$, 'a token is good as long as is said, or a week');
delete from saas.outbox;
insert into saas.outbox (recipient, template, status, created_at, sent_at, token, token_expires_at)
select name || '@example.com', 'invitation', status, now() - created, now() - sent,
       case when has_token then saas_private.seal_for_platform('tok', 'pg_saas:outbox', 'x') end, now() + expires
  from (values ('sent_new', 'sent', interval '100 days', interval '29 days', false, null::interval), ('sent_old', 'sent', '100 days', '31 days', false, null),
               ('failed_new', 'failed', '89 days', null, true, '1 day'), ('failed_old', 'failed', '91 days', null, true, '1 day'),
               ('failed_ended', 'failed', '1 day', null, true, '-1 second'), ('failed_unknown', 'failed', '1 day', null, true, null),
               ('queued_old', 'queued', '200 days', null, true, '-1 day'), ('sending_old', 'sending', '200 days', null, true, '-1 day')) as t (name, status, created, sent, has_token, expires);
set role saas_poller;
select is(saas_private.prune_outbox(), 2, 'the old ones go');
reset role;
select results_eq('select split_part(recipient, ''@'', 1), token is not null from saas.outbox order by 1',
                  $$values ('failed_ended', false), ('failed_new', true), ('failed_unknown', false), ('queued_old', true), ('sending_old', true), ('sent_new', false)$$,
                  'the others stay, and of those that failed the tokens that are good');
select id as ended from saas.outbox where recipient = 'failed_ended@example.com' \gset
select is(tenants.answer(format('saas.retry_mail(%L)', :'ended')), E'PT409\nthe link in the mail has expired', 'a mail whose link has expired is not tried again');
select * from finish();
