# Asks for the page, the API and the login with Ruby's net/http.
require 'json'
require 'net/http'

base = ENV.fetch('ZOO_URL')
['/', '/api/items'].each { |path| Net::HTTP.get_response(URI(base + path)) }
Net::HTTP.post(URI("#{base}/login"), { user: 'ada', password: 'lovelace' }.to_json,
               'content-type' => 'application/json')
