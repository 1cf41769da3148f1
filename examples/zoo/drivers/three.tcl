# Asks for the page, the API and the login with Tcl's http.
package require http
package require tls

http::register https 443 [list tls::socket -autoservername true -cafile $env(ZOO_CA) -require true]
foreach path {/ /api/items} {
    http::cleanup [http::geturl $env(ZOO_URL)$path]
}
http::cleanup [http::geturl $env(ZOO_URL)/login -type application/json -query {{"user":"ada","password":"lovelace"}}]
