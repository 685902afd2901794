-- A person without an account; the password comes from a file and is never an argument.
\set password `cat "$DEMO_DIR"/:person.password`
begin;
set local role saas_anon;
select saas_api.sign_up(email => :'email', password => :'password', first_name => :'first_name',
                        last_name => :'last_name', organization_name => :'organization');
commit;
