// Asks for the page, the API and the login with Go's net/http.
package main

import (
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	base := os.Getenv("ZOO_URL")
	for _, path := range []string{"/", "/api/items"} {
		read(http.Get(base + path))
	}
	read(http.Post(base+"/login", "application/json", strings.NewReader(`{"user":"ada","password":"lovelace"}`)))
}

func read(answer *http.Response, err error) {
	if err != nil {
		println(err.Error())
		return
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}
