-- The operator stands in for the mailed link.
select saas.confirm_user(u.id) from saas.app_user u where u.email = :'email';
