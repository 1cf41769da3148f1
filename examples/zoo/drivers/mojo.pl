# Asks for the page, the API and the login with Perl's Mojo::UserAgent.
use strict;
use warnings;
use Mojo::UserAgent;

my $agent = Mojo::UserAgent->new(ca => $ENV{ZOO_CA});
my $base  = $ENV{ZOO_URL};
$agent->get("$base$_") for '/', '/api/items';
$agent->post("$base/login", json => { user => 'ada', password => 'lovelace' });
