# Asks for the page, the API and the login with Perl's LWP.
use strict;
use warnings;
use LWP::UserAgent;
use HTTP::Request;

my $agent = LWP::UserAgent->new;
my $base  = $ENV{ZOO_URL};
$agent->get("$base$_") for '/', '/api/items';
$agent->request(
    HTTP::Request->new(
        POST => "$base/login",
        ['Content-Type' => 'application/json'],
        '{"user":"ada","password":"lovelace"}'
    )
);
