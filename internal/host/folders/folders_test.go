package folders

import (
	"errors"
	"os/user"
	"strings"
	"testing"
)

func TestFolders(t *testing.T) {
	for _, c := range []struct{ home, cache, want string }{
		{"/h", "", "/h/.cache"},
		{"/h", "/c", "/c"},
		{"/h", "relative", "/h/.cache"},
	} {
		t.Setenv("HOME", c.home)
		t.Setenv("XDG_CACHE_HOME", c.cache)
		if got, err := Cache(); got != c.want || err != nil {
			t.Errorf("HOME=%s XDG_CACHE_HOME=%s: %q, %v; want %s", c.home, c.cache, got, err, c.want)
		}
	}
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("XDG_DATA_HOME", "/d")
	state, _ := State()
	data, _ := Data()
	if state != "/h/.local/state" || data != "/d" {
		t.Errorf("%s, %s", state, data)
	}
}

// An empty HOME is none.
func TestHome(t *testing.T) {
	known := func(uid string) (*user.User, error) { return &user.User{HomeDir: "/home/" + uid}, nil }
	nowhere := func(string) (*user.User, error) { return &user.User{}, nil }
	unknown := func(string) (*user.User, error) { return nil, errors.New("who?") }
	for _, c := range []struct {
		env    string
		lookup func(string) (*user.User, error)
		want   string
	}{
		{"/h", unknown, "/h"}, {"", known, "/home/7"}, {"", nowhere, ""}, {"", unknown, ""}, {"h", known, ""},
	} {
		got, err := home(c.env, 7, c.lookup)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("HOME=%s: %q, %v; want %q", c.env, got, err, c.want)
		}
		var none *Homeless
		what := "user 7 "
		if c.env != "" {
			what = "HOME=" + c.env
		}
		if err != nil && (!errors.As(err, &none) || !strings.Contains(err.Error(), what) || none.Hint() == "") {
			t.Errorf("%v", err)
		}
	}
}
