<?php
// Asks for the page, the API and the login with PHP's curl; an argument is the user agent.

function ask(string $url, ?string $body = null): void
{
    global $argv;
    $curl = curl_init($url);
    curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
    curl_setopt($curl, CURLOPT_CAINFO, getenv('ZOO_CA'));
    if (isset($argv[1])) {
        curl_setopt($curl, CURLOPT_USERAGENT, $argv[1]);
    }
    if ($body !== null) {
        curl_setopt($curl, CURLOPT_POSTFIELDS, $body);
        curl_setopt($curl, CURLOPT_HTTPHEADER, ['Content-Type: application/json']);
    }
    if (curl_exec($curl) === false) {
        fwrite(STDERR, curl_error($curl) . "\n");
    }
}

$base = getenv('ZOO_URL');
ask("$base/");
ask("$base/api/items");
ask("$base/login", json_encode(['user' => 'ada', 'password' => 'lovelace']));
