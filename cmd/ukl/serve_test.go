package main

import (
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// serve NAME DIR serves a folder on loopback until the script ends, and sets NAME to its address. Below /page there is
// nothing but a page that asks for a password, as some networks have it.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: serve NAME DIR")
	}
	folder := http.FileServer(http.Dir(ts.MkAbs(args[1])))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/page/") {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>Please log in.</html>")) // whoever asked may be gone
			return
		}
		folder.ServeHTTP(w, r)
	}))
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL)
}
