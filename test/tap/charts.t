# Charts over HTTP, through a double of PostgREST: a GET is answered a picture,
# and an error in its place is none.
use strict;
use warnings;

use SaasCluster;
use SaasGateway;
use SaasTenant;
use Test::More;

my $node = SaasCluster->create('main', settings => { 'saas.poller_enabled' => 'off', 'saas.bcrypt_cost' => 10 });
$node->start;
$node->install('postgres');
SaasGateway->prepare($node, 'postgres');
my $tenant = SaasTenant->create($node, 'postgres', 'Acme');
$node->safe_psql('postgres', "select saas_api.sign_in('" . $tenant->email . "', '" . $tenant->password . "')");
my $gateway = SaasGateway->start($node, 'postgres');
my $token = $gateway->call(POST => '/rpc/sign_in', { email => $tenant->email, password => $tenant->password })->{json}{access_token};
my $bearer = { authorization => "Bearer $token" };

for my $target ('line_chart?metric=cpu&width=400&title=%3C/svg%3E', 'bar_chart?metric=cpu', 'sparkline?metric=cpu', 'gauge')
{
	my $answer = $gateway->call(GET => "/rpc/$target", undef, { %$bearer, accept => 'image/avif,image/webp,*/*;q=0.8' });
	my $headers = $answer->{headers};
	is($answer->{status}, 200, "$target is answered to a GET, which may not write");
	is($headers->{'content-type'}, 'image/svg+xml', 'with its type');
	is($headers->{'x-content-type-options'}, 'nosniff', 'which is not to be guessed');
	like($headers->{'content-security-policy'}, qr/default-src 'none'.*sandbox/, 'and it may do nothing');
	like($answer->{content}, qr{\A<svg xmlns="http://www.w3.org/2000/svg" [^\0]*</svg>\z}, 'as the picture itself');
}
my $answer = $gateway->call(POST => '/rpc/line_chart', { metric => 'cpu', group_by => ['connection'] }, $bearer);
like($answer->{content}, qr{\A<svg .*>no data<}, 'a POST is answered one too');

for my $refused ([ 'gauge', {}, 401, qr/permission denied/ ], [ 'gauge?width=1', $bearer, 400, qr/must be 100 to 1000/ ],
	[ 'line_chart?metric=cpu&top=99', $bearer, 400, qr/must be 1 to 32/ ])
{
	my ($target, $headers, $status, $words) = @$refused;
	$answer = $gateway->call(GET => "/rpc/$target", undef, $headers);
	is($answer->{status}, $status, "$target is refused");
	like($answer->{headers}{'content-type'}, qr{^application/json}, 'the error is no picture');
	like($answer->{content}, $words, 'and says why');
}
$gateway->stop;
$node->stop;
done_testing();
