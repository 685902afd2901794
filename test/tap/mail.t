# Mail over SMTP: delivered, retried, given up; nothing secret left behind and
# no header that a tenant wrote.
use strict;
use warnings;

use Encode qw(decode encode);
use MIME::QuotedPrint qw(decode_qp);
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasMailSink;
use SaasUpstream;
use Test::More;

my $node = SaasCluster->create('main', settings => {
		'saas.mail_from'    => 'no-reply@example.com',
		'saas.product_name' => 'Dämö',
		'saas.base_url'     => 'https://app.example.com/',
		'saas.ca_file'      => SaasUpstream->certificates . '/ca.pem',
		'saas.smtp_timeout' => '10min' });
$node->start;
$node->install('postgres');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub configure
{
	my (%settings) = @_;
	foreach my $name (sort keys %settings)
	{
		$node->append_conf('postgresql.conf', "saas.$name = '$settings{$name}'");
	}
	$node->reload;
	return;
}

sub queue
{
	my ($recipient, $template, $parameters, $token) = @_;
	$token = defined $token ? "'$token'" : 'null';
	return sql("select saas_private.queue_mail('$recipient', '$template', '$parameters', $token)");
}

sub wait_for_status
{
	my ($id, $status, $name) = @_;
	return ok($node->poll_query_until('postgres', "select status = '$status' from saas.outbox where id = '$id'"), $name);
}

# An attempt that failed and waits: tried again at once by try_again.
sub wait_for_attempts
{
	my ($id, $attempts, $name) = @_;
	return ok($node->poll_query_until('postgres',
			"select status = 'queued' and attempts = $attempts from saas.outbox where id = '$id'"), $name);
}

sub try_again
{
	my ($id) = @_;
	sql("update saas.outbox set next_attempt_at = now(), lease_until = null where id = '$id';"
		  . ' do $$ begin perform saas_private.wake_poller(); end $$');
	return;
}

sub last_error { return sql("select last_error from saas.outbox where id = '$_[0]'"); }

sub message_id { return $_[0]{data} =~ /^Message-ID: (<[^>]*>)\r$/m ? $1 : ''; }

sub body { return decode_qp($_[0]{data}); }

sub sender { return encode('UTF-8', decode('MIME-Header', $_[0]{data} =~ /^From: (.*?)\r\n <no-reply/ms ? $1 : '')); }

#
# Nothing is sent until it is configured
#
my $token = 'first+token/with=signs';
my $first = queue('ada@example.com', 'verify_email', '{"valid_hours": 24, "code_valid_minutes": 10}', "$token 123456");
is(sql("select status from saas.outbox where id = '$first'"), 'queued', 'without saas.smtp_url mail stays queued');

my $plain = SaasMailSink->start;
configure(smtp_url => $plain->url, smtp_tls => 'off');
ok($plain->wait_for(1), 'with it the mail is handed in');
my $mail = $plain->mails->[0];
is($mail->{from}, 'FROM:<no-reply@example.com>', 'from the configured sender');
is_deeply($mail->{to}, ['TO:<ada@example.com>'], 'to its recipient');
like($mail->{data}, qr/^From: =\?UTF-8\?B\?RMOkbcO2\?=\r\n <no-reply\@example\.com>\r$/m, 'in the name of the product');
like($mail->{data}, qr/^To: <ada\@example\.com>\r$/m, 'with its recipient in the header');
like($mail->{data}, qr/^Content-Type: multipart\/alternative;/m, 'as text and HTML');
my $link = 'https://app.example.com/verify-email?token=first%2Btoken%2Fwith%3Dsigns';
like(body($mail), qr/^\Q$link\E$/m, 'the text part has the link');
like(body($mail), qr/<a href="\Q$link\E">/, 'the HTML part too');
like(body($mail), qr/^Or enter this code: 123456$/m, 'and the code');
is(() = body($mail) =~ /\bThe link is good for 24 hours, the code for 10 minutes\./g, 2, 'both parts say how long either is good');
like($mail->{data}, qr/^Message-ID: <\Q$first\E\@example\.com>\r$/m, 'its id is the row\'s');
wait_for_status($first, 'sent', 'it is recorded as sent');
is(sql("select token is null and sent_at is not null and parameters = '{\"valid_hours\": 24, \"code_valid_minutes\": 10}'"
	  . " and lease_id is null and last_error is null from saas.outbox where id = '$first'"),
	't', 'without its token');
is(sql("select count(*) from saas.outbox o where o::text like '%token/%' or o::text like '%123456%'"), 0,
	'of which nothing is left');

#
# Wakes at commit; each template
#
foreach my $template (qw(account_exists reset_password password_changed invitation sign_in_lockout security_notice))
{
	my $id = queue('bob@example.com', $template, '{"valid_hours": 48, "valid_minutes": 60}', 't0k');
	wait_for_status($id, 'sent', "template $template is sent at commit");
	unlike(body($plain->mails->[-1]), qr/\{\{/, 'with no placeholder left');
}
my $unknown = queue('bob@example.com', 'no_such_template', '{}');
wait_for_status($unknown, 'failed', 'a mail of no template is given up at once');
is(last_error($unknown), 'there is no mail template of that name', 'which it says');

#
# Headers that a tenant wrote
#
my $before = @{ $plain->mails };
my $evil   = queue('eve@example.com', 'invitation',
	'{"inviter_name": "Eve\r\nBcc: victim@example.com\r\n\r\n<script>", "organization_name": "A\u0000\nTo: x@example.com"}'
	  =~ s/\\u0000//r, 'evil');
wait_for_status($evil, 'sent', 'a name with line breaks is sent');
$mail = $plain->mails->[$before];
my ($header) = $mail->{data} =~ /^(.*?)\r\n\r\n/s;
unlike($header, qr/^(?:Bcc:|To: x)/m, 'and makes no header');
is(scalar(() = $header =~ /^(?:To|From|Subject):/mg), 3, 'there are those that we write');
my ($html) = body($mail) =~ /^(<!DOCTYPE.*)/ms;
like($html, qr/&lt;script&gt; invites/, 'nor markup');
is_deeply($mail->{to}, ['TO:<eve@example.com>'], 'nor a recipient');
my $address = sql(q{select saas_private.queue_mail(E'a@example.com>\r\nRCPT TO:<other@example.com', 'account_exists', '{}')});
wait_for_status($address, 'failed', 'an address with a line break is given up');
unlike($plain->commands, qr/other\@/, 'and never sent');

#
# An organization's name and template
#
sql(q{select saas_api.sign_up('own@example.com', 'correct horse own', 'Olga', 'Own', 'Own "Works"')});
my $org = sql(q{select m.org_id from saas.membership m join saas.app_user u on u.id = m.user_id where u.email = 'own@example.com'});
sql("insert into saas.mail_template (org_id, name, subject, text_body, html_body) values ('$org', 'password_changed', 'Ours', 'Ours: {{organization_name}}', '<p>{{organization_name}}</p>')");
my $branded = sql("select saas_private.queue_mail('own\@example.com', 'password_changed', '{}', null, '$org')");
wait_for_status($branded, 'sent', 'a mail of an organization is sent');
($mail) = grep { $_->{data} =~ /^Subject: Ours\r$/m } @{ $plain->mails };
like(sender($mail), qr/^Own "Works" via Dämö$/, 'in its name and the product\'s');
like(body($mail), qr/^Ours: Own "Works"$/m, 'with its template');
like(body($mail), qr/<p>Own &quot;Works&quot;<\/p>/, 'whose HTML is escaped');

# With branding, and words that the organization chose.
my $owner = sql("select user_id from saas.membership where org_id = '$org'");
sub as_owner { return sql("begin; select saas.assume_identity('$owner', '$org'); set local role saas_user; select $_[0]; commit"); }
as_owner(q{saas_api.set_branding('Own Portal', 'https://cdn.example.com/own.png', '#00aaff', 'help@example.com', E'Own & Co.\nLondon')});
my $words = '{{base_url}}/accept-invitation?token={{url:token}}';
as_owner(qq{saas_api.set_mail_template('invitation', 'Join {{product_name}}', E'Join:\\n$words', '<p><a href="$words">join</a></p>')});
my $joining = sql("select saas_private.queue_mail('new\@example.com', 'invitation', '{\"inviter_name\": \"x\"}', 'tok+1', '$org', '1 hour')");
wait_for_status($joining, 'sent', 'an invitation of a branded organization is sent');
($mail) = grep { $_->{data} =~ /^To: <new\@/m } @{ $plain->mails };
like($mail->{data}, qr/^Subject: Join Own Portal\r$/m, 'with its words');
like(sender($mail), qr/^Own Portal via Dämö$/, 'under its name');
like(body($mail), qr{^Join:\r?\nhttps://app\.example\.com/accept-invitation\?token=tok%2B1\r?\n\r?\n-- \r?\nOwn Portal\r?\nOwn & Co\.\r?\nLondon\r?\nhelp\@example\.com\r?$}m,
	'a text with its footer');
like(body($mail), qr{<img src="https://cdn\.example\.com/own\.png" alt="Own Portal"}, 'its logo');
like(body($mail), qr{<p><a href="https://app\.example\.com/accept-invitation\?token=tok%2B1">join</a></p>}, 'its link');
like(body($mail), qr{solid #00aaff.*Own &amp; Co\.<br>London<br>help\@example\.com}s, 'its colour and footer');
is(sql("select token is null from saas.outbox where id = '$joining'"), 't', 'the token is erased');

#
# Links that have ended, mails that are old
#
my $ended = sql(q{select saas_private.queue_mail('late@example.com', 'reset_password', '{}', 'late-token', null, '-1 second')});
wait_for_status($ended, 'failed', 'a mail whose link has ended is given up at once');
is(last_error($ended), 'the link in the mail has expired', 'which it says');
is(scalar(grep { $_->{data} =~ /^To: <late\@/m } @{ $plain->mails }), 0, 'and is not sent');
sql("update saas.outbox set sent_at = now() - interval '31 days' where id = '$joining'");
my $worker = sql(q{select pid from pg_stat_activity where backend_type = 'pg_saas poller' and datname = 'postgres'});
sql("select pg_terminate_backend($worker)");
ok( $node->poll_query_until('postgres', "select not exists (select from saas.outbox where id = '$joining')"),
	'the worker deletes mails that were sent long ago');
ok( $node->poll_query_until('postgres', "select token is null from saas.outbox where id = '$ended'"),
	'and the token of a link that has ended');

#
# Refusals
#
my %outcome = (
	'greeting-421' => 'queued', 'mail-450' => 'queued', 'mail-550' => 'queued', 'rcpt-450' => 'queued',
	'message-451'  => 'queued', 'rcpt-550' => 'failed', 'data-554' => 'failed', 'message-552' => 'failed',
	'greeting-reset' => 'queued', 'rcpt-reset' => 'queued', 'rcpt-garbage' => 'queued',
	'rcpt-endless' => 'queued');
foreach my $fault (sort keys %outcome)
{
	$plain->fault($fault);
	my $id = queue('carl@example.com', 'reset_password', '{}', 'secret-token');
	ok( $node->poll_query_until('postgres',
			"select status = '$outcome{$fault}' and attempts = 1 from saas.outbox where id = '$id'"),
		"after $fault the mail is $outcome{$fault}");
	$fault =~ /-(\d+)/ ? like(last_error($id), qr/$1/, 'with the reply') : isnt(last_error($id), '', 'with a reason');
	is( sql("select next_attempt_at - created_at >= '50 s' and next_attempt_at - now() <= '75 s' and lease_until is null and token is not null "
			  . "from saas.outbox where id = '$id'"),
		't', 'to be tried again in about a minute') if $outcome{$fault} eq 'queued';
	sql("delete from saas.outbox where id = '$id'");
}
foreach my $fault (qw(rcpt-quote message-quote))
{
	$plain->fault($fault);
	my $id = queue('carl@example.com', 'reset_password', '{}', 'secret-token');
	wait_for_status($id, 'failed', "$fault is for good");
	unlike(last_error($id), qr/secret-token|carl@/, 'and what it quotes is withheld');
}

#
# Retry, dead letter, another try
#
$plain->fault('rcpt-450');
my $retried = queue('dora@example.com', 'reset_password', '{}', 'again');
wait_for_attempts($retried, 1, 'a mail that is put off');
my $since = sql('select clock_timestamp()');
try_again($retried);
wait_for_attempts($retried, 2, 'is tried again');
is(sql("select next_attempt_at - '$since' >= '170 s' and next_attempt_at - now() <= '226 s' from saas.outbox where id = '$retried'"),
	't', 'later and later');
$plain->fault;
try_again($retried);
wait_for_status($retried, 'sent', 'until it is taken');
is(sql("select attempts from saas.outbox where id = '$retried'"), 3, 'at the third attempt');

$plain->fault('rcpt-450');
my $dead = queue('emil@example.com', 'reset_password', '{}', 'dead-token');
foreach my $attempt (1 .. 7)
{
	wait_for_attempts($dead, $attempt, "attempt $attempt fails");
	try_again($dead);
}
wait_for_status($dead, 'failed', 'the eighth is the last');
my $status = sql('set role saas_operator; select saas.mail_status()');
like($status, qr/"id": "$dead"/, 'mail_status lists the dead letter to an operator');
like($status, qr/"recipient": "e\*\*\*\@example\.com"/, 'its address masked');
unlike($status, qr/dead-token|emil/, 'and without its token');
like($node->psql('postgres', 'set role saas_user; select saas.mail_status()', on_error_stop => 1) ? 'refused' : '',
	qr/refused/, 'a tenant may not ask');
$plain->fault;
sql("set role saas_operator; select saas.retry_mail('$dead')");
wait_for_status($dead, 'sent', 'retry_mail sends it');
isnt($node->psql('postgres', "select saas.retry_mail('$dead')", on_error_stop => 1), 0, 'once');

#
# A server that keeps silent holds nobody up
#
configure(smtp_timeout => '300ms');
$plain->fault('rcpt-stall');
my $slow = queue('fay@example.com', 'reset_password', '{}', 'slow');
wait_for_attempts($slow, 1, 'a silent server ends with the time limit');
# Where the machine itself stops for a while, that is met at another step.
foreach my $attempt (2 .. 5)
{
	last if last_error($slow) =~ /timed out at RCPT TO/;
	try_again($slow);
	wait_for_attempts($slow, $attempt, 'once more');
}
like(last_error($slow), qr/timed out at RCPT TO/, 'which names the step');
$plain->fault('greeting-garbage');
my $garbled = queue('fay@example.com', 'reset_password', '{}', 'garbage');
wait_for_attempts($garbled, 1, 'so does one that greets in no protocol');
configure(smtp_timeout => '10min');


# The worker's state follows a reload: it waits for no mail server.
sub responds
{
	my ($name) = @_;
	foreach my $state ([ 'off', 'disabled' ], [ 'on', 'idle' ])
	{
		configure(poller_enabled => $state->[0]);
		ok($node->poll_query_until('postgres',
				"select state = '$state->[1]' from saas.poller_status() where database = 'postgres'"), $name);
	}
	return;
}
$plain->fault('greeting-stall');
$slow = queue('gil@example.com', 'reset_password', '{}', 'slow');
ok($node->poll_query_until('postgres', "select status = 'sending' from saas.outbox where id = '$slow'"), 'a mail is under way');
responds('the worker goes on while a server keeps silent before its greeting');
is(sql("select status from saas.outbox where id = '$slow'"), 'sending', 'of which the mail still waits');

#
# A crash between sending and recording
#
$plain->fault('message-stall');
$before = @{ $plain->mails };
my $twice = queue('gus@example.com', 'reset_password', '{}', 'crash');
ok($plain->wait_for($before + 1), 'the server has a mail and does not say so');
responds('the worker goes on while a server keeps silent after the message');
my $pid = sql(q{select pid from pg_stat_activity where backend_type = 'pg_saas poller' and datname = 'postgres'});
kill 'KILL', $pid;
ok( $node->poll_query_until('postgres', qq{
		select count(*) = 1 from pg_stat_activity
		 where backend_type = 'pg_saas poller' and datname = 'postgres' and pid <> $pid}),
	'the worker dies and comes back');
is(sql("select status || ' ' || (lease_until > now()) from saas.outbox where id = '$twice'"),
	'sending true', 'the mail still has its lease');
$plain->fault;
try_again($twice);
wait_for_status($twice, 'sent', 'once the lease has ended it is sent again');
my @copies = grep { $_->{data} =~ /^To: <gus\@/m } @{ $plain->mails };
is(scalar @copies, 2, 'twice at most');
is(message_id($copies[0]), message_id($copies[1]), 'with one and the same Message-ID');
is($copies[0]{data}, $copies[1]{data}, 'and the same bytes');

#
# A copy of the database sends nothing
#
sql('update saas_private.installation set database_oid = 0');
$before = @{ $plain->mails };
my $copied = queue('hal@example.com', 'account_exists', '{}');
ok($node->poll_query_until('postgres', q{select state = 'copy' from saas.poller_status() where database = 'postgres'}),
	'a copy is recognized');
is(sql("select status || attempts from saas.outbox where id = '$copied'"), 'queued0', 'and sends no mail');
sql('select saas.adopt()');
wait_for_status($copied, 'sent', 'until it is adopted');

#
# TLS and signing in
#
my $secure = SaasMailSink->start(certificate => 'good', auth => [ 'mailer', 'correct battery' ]);
my $password_file = $node->basedir . '/smtp_password';
sub write_password
{
	my ($password, $mode) = @_;
	unlink $password_file;
	open my $file, '>', $password_file or die "$password_file: $!";
	print $file "$password\n";
	close $file or die "$password_file: $!";
	chmod $mode, $password_file;
	return;
}
write_password('correct battery', 0600);
configure(smtp_url => $secure->url, smtp_tls => 'required', smtp_user => 'mailer', smtp_password_file => $password_file);
my $signed = queue('ida@example.com', 'account_exists', '{}');
wait_for_status($signed, 'sent', 'with STARTTLS and a password');
$mail = $secure->mails->[0];
is($mail->{tls} . $mail->{user}, '1mailer', 'the mail came under TLS from the user');
unlike($secure->commands =~ s/STARTTLS.*//sr, qr/AUTH|MAIL/, 'nothing was said before TLS');

sub refused
{
	my ($pattern, $name) = @_;
	my $id = queue('jo@example.com', 'account_exists', '{}');
	wait_for_attempts($id, 1, $name);
	like(last_error($id), $pattern, 'which it says');
	sql("delete from saas.outbox where id = '$id'");
	return;
}
write_password('wrong', 0600);
refused(qr/refuses the user or password/, 'a wrong password is tried again later');
unlike(sql('select saas.mail_status()'), qr/wrong/, 'and not shown');
write_password('correct battery', 0644);
refused(qr/password file: others may read it/, 'a password that others may read is not used');
write_password('correct battery', 0600);
foreach my $certificate (qw(self-signed expired wrong-host))
{
	my $bad = SaasMailSink->start(certificate => $certificate, auth => [ 'mailer', 'correct battery' ]);
	configure(smtp_url => $bad->url);
	refused(qr/certificate of the mail server localhost is not acceptable/, "a certificate that is $certificate is refused");
	unlike($bad->commands, qr/AUTH|MAIL/, 'and told nothing');
	$bad->stop;
}
configure(smtp_url => $plain->url);
refused(qr/does not offer TLS/, 'TLS is required');
configure(smtp_tls => 'opportunistic');
refused(qr/does not offer TLS/, 'with a password always');
configure(smtp_user => '');
my $opportunistic = queue('kim@example.com', 'account_exists', '{}');
wait_for_status($opportunistic, 'sent', 'without one it may be opportunistic');
my $implicit = SaasMailSink->start(certificate => 'good', implicit => 1);
configure(smtp_url => $implicit->url, smtp_tls => 'required');
my $wrapped = queue('lea@example.com', 'account_exists', '{}');
wait_for_status($wrapped, 'sent', 'smtps is TLS from the first byte');
is($implicit->mails->[0]{tls}, 1, 'as the server saw');
$implicit->stop;
refused(qr/could not connect/, 'a server that is away is tried again later');

#
# Many at once
#
my $many = 200;
configure(smtp_url => $plain->url, smtp_tls => 'off');
sql("select count(saas_private.queue_mail('many' || i || '\@example.com', 'account_exists', '{}')) from generate_series(1, $many) i");
ok($node->poll_query_until('postgres', "select count(*) = $many from saas.outbox where recipient like 'many%' and status = 'sent'"),
	"$many mails are sent");
# Of those before some are tried again by now.
my @delivered  = grep { /many/ } map { $_->{to}[0] } @{ $plain->mails };
my %recipients = map { $_ => 1 } @delivered;
is(@delivered . ' ' . keys %recipients, "$many $many", 'each once');
note(sql("select 'seconds: ' || extract(epoch from max(sent_at) - min(created_at)) from saas.outbox where recipient like 'many%'"));

unlike($node->log_since(0), qr/could not work on the outbox|correct battery|secret-token|$token/, 'the log has no complaint and no secret');
$node->stop;
$plain->stop;
$secure->stop;
done_testing();
