-- What organizations put on their mail: name, logo, colour, footer, and words of
-- their own.  Leans on profile, mail.

create function saas_private.render_mail(subject text, text_body text, html_body text, parameters jsonb,
                                         recipient text, organization text, product_name text, logo_url text,
                                         primary_color text, support_email text, footer_text text,
                                         out sender_name text, out subject_line text, out text_part text,
                                         out html_part text)
language c stable parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_render_mail';
comment on function saas_private.render_mail(text, text, text, jsonb, text, text, text, text, text, text, text) is
'A mail as the worker would send it, with TOKEN for its token: templates, parameters, recipient, the organization''s name and its branding. Errors: 54000 when it is too large.';

-- The parameters of a mail are those that its caller queues; every template
-- knows the last four besides.
create function saas_private.organization_mails(out name text, out parameters text[], out sample jsonb)
returns setof record
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select t.name, t.own || '{base_url,organization_name,product_name,recipient,support_email}'::text[], t.sample
      from (values ('invitation', '{inviter_name,role,token,valid_hours}'::text[],
                    '{"inviter_name": "Ada Lovelace", "role": "member", "valid_hours": 48}'::jsonb)
           ) as t (name, own, sample)
$$;
comment on function saas_private.organization_mails() is
'The mails that an organization sends, whose words it may choose: the parameters that each knows, and samples of them. All others (verification, passwords, lock-outs, notices) are between a person and the platform.';

create function saas_private.my_mail_templates()
returns table (name text, subject text, text_body text, html_body text, is_customized boolean, parameters text[],
               updated_at timestamptz)
language plpgsql stable security definer rows 10
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select m.name, t.subject, t.text_body, t.html_body, t.org_id is not null, m.parameters, t.updated_at
      from saas_private.organization_mails() m
     cross join lateral (
            select d.* from saas.mail_template d
             where d.name = m.name and (d.org_id = saas.org_if('manage_settings') or d.org_id is null)
             order by d.org_id nulls last limit 1) t
     where saas.has_permission('manage_settings')
     order by m.name;
end
$$;
alter function saas_private.my_mail_templates() owner to saas_service;
comment on function saas_private.my_mail_templates() is
'What the view saas_api.mail_templates shows.';

create function saas_api.set_branding(product_name text default null, logo_url text default null,
                                      primary_color text default null, support_email text default null,
                                      footer_text text default null)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    given_name text := nullif(btrim(set_branding.product_name), '');
    given_logo text := nullif(btrim(set_branding.logo_url), '');
    given_color text := nullif(lower(btrim(set_branding.primary_color)), '');
    given_email text := nullif(btrim(set_branding.support_email), '');
    given_footer text := nullif(btrim(replace(set_branding.footer_text, E'\r\n', E'\n'), E' \n'), '');
    old jsonb;
begin
    perform saas.require_permission('manage_settings');
    org := saas.org_if('manage_settings');
    if given_name is not null then
        given_name := saas_private.require_field('product_name', given_name, 100);
    end if;
    if given_logo is not null then
        given_logo := saas_private.require_https_url('logo_url', given_logo);
    end if;
    if given_color !~ '^#[0-9a-f]{6}$' then
        perform saas_private.raise_fields('invalid input', 'primary_color', 'must be # and six hexadecimal digits');
    end if;
    if given_email is not null then
        given_email := saas_private.require_field_email('support_email', given_email);
    end if;
    if length(given_footer) > 1000 then
        perform saas_private.raise_fields('invalid input', 'footer_text', 'must have at most 1000 characters');
    elsif replace(given_footer, E'\n', '') ~ '[[:cntrl:]]' then
        perform saas_private.raise_fields('invalid input', 'footer_text', 'must not hold control characters');
    end if;
    old := (select to_jsonb(b) - 'org_id' from saas_api.branding b where b.org_id = org);
    insert into saas.organization_branding as b (org_id, product_name, logo_url, primary_color, support_email, footer_text)
    values (org, given_name, given_logo, given_color, given_email, given_footer)
    on conflict on constraint organization_branding_pkey
    do update set product_name = excluded.product_name, logo_url = excluded.logo_url,
                  primary_color = excluded.primary_color, support_email = excluded.support_email,
                  footer_text = excluded.footer_text, updated_at = now();
    perform saas_private.audit('branding.updated', 'branding', null, old,
        (select to_jsonb(b) - 'org_id' from saas_api.branding b where b.org_id = org));
    return (select to_jsonb(b) from saas_api.branding b where b.org_id = org);
end
$$;
alter function saas_api.set_branding(text, text, text, text, text) owner to saas_owner;
comment on function saas_api.set_branding(text, text, text, text, text) is
'Sets what the current organization puts on its mail, all of it: what is not given is as the platform has it. A name of at most 100 characters in place of the product''s, a logo (an https:// URL), a colour (#rrggbb), an address for questions, a footer of at most 1000 characters. Answers the row of saas_api.branding. Errors: PT401, PT403, 22023 with the field. For saas_user with manage_settings.';

-- A token proves an address: only the platform's own page may ever see one.
create function saas_private.require_template_part(mail text, field text, value text, max_length integer)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    cleaned text := btrim(replace(value, E'\r\n', E'\n'), E' \n');
    link constant text := '[{][{]base_url[}][}]/accept-invitation[?]token=[{][{]url:token[}][}]';
    rest text;
    problem text;
begin
    if field = 'subject' then
        cleaned := saas_private.require_field(field, cleaned, max_length);
    end if;
    rest := case field when 'html_body' then regexp_replace(cleaned, 'href="' || link || '"', 'href="https://link"', 'g')
                       when 'text_body' then regexp_replace(cleaned, '(^|\s)' || link || '(?!\S)', '\1', 'g')
                       else cleaned end;
    select format('knows no parameter "%s"', p.name[2]) into problem
      from regexp_matches(rest, '[{][{](url:)?([a-z0-9_]{1,63})[}][}]', 'g') as p (name)
     where p.name[2] not in (select unnest(m.parameters) from saas_private.organization_mails() m
                              where m.name = require_template_part.mail)
     limit 1;
    problem := case
        when coalesce(cleaned, '') = '' then 'is required'
        when length(cleaned) > max_length then format('must have at most %s characters', max_length)
        when regexp_replace(cleaned, '[\n\t]', '', 'g') ~ '[[:cntrl:]]' then 'must not hold control characters'
        when problem is not null then problem
        when rest ~ '[{][{](url:)?token[}][}]' or rest = cleaned and field <> 'subject'
            then case field when 'html_body' then 'must hold the token as href="{{base_url}}/accept-invitation?token={{url:token}}" and not otherwise'
                            when 'text_body' then 'must hold the token as {{base_url}}/accept-invitation?token={{url:token}} between blanks and not otherwise'
                            else 'must not hold the token' end
        when regexp_replace(rest, '[{][{](url:)?[a-z0-9_]{1,63}[}][}]', '', 'g') ~ '[{][{]|[}][}]'
            then 'holds braces that are no parameter'
        when rest ~ '[{][{](url:)?base_url[}][}](?![/"<\s]|$)' then 'may go on after {{base_url}} with a path only'
        when field = 'html_body' and saas_private.plain_markup(rest) ~ '[<>]'
            then 'may hold p, br, hr, b, strong, i, em, u, h1 to h3, ul, ol, li, blockquote, pre, code, table, tr, th, td without attributes, and links to https://, mailto: and {{base_url}} only'
        end;
    if problem is not null then
        perform saas_private.raise_fields('invalid input', field, problem);
    end if;
    return cleaned;
end
$$;
comment on function saas_private.require_template_part(text, text, text, integer) is
'The trimmed subject, text_body or html_body of an organization''s template, or 22023 with the field''s name unless it has only parameters that the mail knows, the token in the mail''s own link and nowhere else, and plain markup: no picture and no script, so that nobody learns who reads a mail when.';

create function saas_private.plain_markup(html text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select regexp_replace(regexp_replace(plain_markup.html,
        '</?(p|br|hr|b|strong|i|em|u|h[1-3]|ul|ol|li|blockquote|pre|code|table|thead|tbody|tr|th|td)\s*/?>|</a\s*>', '', 'gi'),
        '<a href="(https://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#][^"<>\s]*)?|mailto:[^"<>\s]*|[{][{]base_url[}][}](/[^"<>\s]*)?)">', '', 'gi')
$$;
comment on function saas_private.plain_markup(text) is
'What remains of HTML without the markup that an organization''s template may hold.';

create function saas_private.require_organization_mail(mail text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas.require_permission('manage_settings');
    if not exists (select from saas_private.organization_mails() m where m.name = require_organization_mail.mail) then
        perform saas_private.raise_fields('invalid input', 'name', format('must be a mail of an organization: %s',
            (select string_agg(m.name, ', ' order by m.name) from saas_private.organization_mails() m)));
    end if;
end
$$;
comment on function saas_private.require_organization_mail(text) is
'Raises PT401 or PT403 without manage_settings, and 22023 for anything but a mail of an organization.';

create function saas_api.set_mail_template(name text, subject text, text_body text, html_body text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    old jsonb;
begin
    perform saas_private.require_organization_mail(set_mail_template.name);
    old := (select jsonb_build_object('subject', t.subject, 'text_body', t.text_body, 'html_body', t.html_body)
              from saas_api.mail_templates t where t.name = set_mail_template.name);
    insert into saas.mail_template as t (org_id, name, subject, text_body, html_body)
    values (saas.org_if('manage_settings'), set_mail_template.name,
            saas_private.require_template_part(set_mail_template.name, 'subject', set_mail_template.subject, 200),
            saas_private.require_template_part(set_mail_template.name, 'text_body', set_mail_template.text_body, 20000),
            saas_private.require_template_part(set_mail_template.name, 'html_body', set_mail_template.html_body, 20000))
    on conflict (org_id, name) where org_id is not null
    do update set subject = excluded.subject, text_body = excluded.text_body, html_body = excluded.html_body,
                  updated_at = now();
    perform saas_private.audit('mail_template.updated', 'mail_template', set_mail_template.name, old,
        (select jsonb_build_object('subject', t.subject, 'text_body', t.text_body, 'html_body', t.html_body)
           from saas_api.mail_templates t where t.name = set_mail_template.name));
    return (select to_jsonb(t) from saas_api.mail_templates t where t.name = set_mail_template.name);
end
$$;
alter function saas_api.set_mail_template(text, text, text, text) owner to saas_owner;
comment on function saas_api.set_mail_template(text, text, text, text) is
'Chooses the words of a mail of the current organization ("invitation"): a subject of at most 200 characters, a text and an HTML body of at most 20000 each, which both hold the mail''s link. {{parameter}} stands for one of saas_api.mail_templates''; the frame with logo and footer is added. Errors: PT401, PT403, 22023 with the field. For saas_user with manage_settings.';

create function saas_api.reset_mail_template(name text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_organization_mail(reset_mail_template.name);
    delete from saas.mail_template t
     where t.org_id = saas.org_if('manage_settings') and t.name = reset_mail_template.name;
    if found then
        perform saas_private.audit('mail_template.reset', 'mail_template', reset_mail_template.name);
    end if;
    return (select to_jsonb(t) from saas_api.mail_templates t where t.name = reset_mail_template.name);
end
$$;
alter function saas_api.reset_mail_template(text) owner to saas_owner;
comment on function saas_api.reset_mail_template(text) is
'Gives a mail of the current organization everybody''s words again. Answers the row of saas_api.mail_templates. Errors: PT401, PT403, 22023. For saas_user with manage_settings.';

create function saas_api.preview_mail_template(name text) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    rendered record;
begin
    perform saas_private.require_organization_mail(preview_mail_template.name);
    select r.sender_name, r.subject_line, r.text_part, r.html_part into rendered
      from saas_private.my_mail_templates() t
      join saas_private.organization_mails() m on m.name = t.name
      join saas.organization o on o.id = saas.org_if('manage_settings')
      join saas.app_user u on u.id = saas.current_user_id()
      left join saas.organization_branding b on b.org_id = o.id
     cross join lateral saas_private.render_mail(t.subject, t.text_body, t.html_body, m.sample, u.email, o.name,
                                                 b.product_name, b.logo_url, b.primary_color, b.support_email,
                                                 b.footer_text) r
     where t.name = preview_mail_template.name;
    return jsonb_build_object('sender_name', rendered.sender_name, 'subject', rendered.subject_line,
                              'text', rendered.text_part, 'html', rendered.html_part);
exception when program_limit_exceeded then
    perform saas_private.raise_fields('invalid input', 'html_body', 'is too large once its parameters stand in it');
end
$$;
alter function saas_api.preview_mail_template(text) owner to saas_service;
comment on function saas_api.preview_mail_template(text) is
'A mail of the current organization as it would be sent to me, with made-up parameters: {sender_name, subject, text, html}. A name in saas.mail_from comes before sender_name. Errors: PT401, PT403, 22023. For saas_user with manage_settings.';
