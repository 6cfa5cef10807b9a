package cache

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// two are a store and a cache.
type two struct {
	here, there []string
	log         string
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(p string) bool { return slices.Contains(some, p) })
}

func (s *two) Invalid(_ context.Context, paths []string) ([]string, error) {
	return without(paths, s.here), nil
}

func (s *two) In(_ context.Context, _ string, paths []string) ([]string, error) {
	return without(paths, without(paths, s.there)), nil
}

func (s *two) Copy(_ context.Context, from, to string, unsigned bool, paths []string) error {
	if unsigned {
		from += "!"
	}
	s.log += from + ">" + to + " " + strings.Join(paths, " ") + "\n"
	return nil
}

var pieces = []Piece{{"a", "/a"}, {"b", "/b"}, {"c", "/c"}}

func TestPush(t *testing.T) {
	s := &two{here: []string{"/a", "/b"}, there: []string{"/a"}}
	got, err := Push(context.Background(), s, "url", pieces)
	var m *Missing
	if !errors.As(err, &m) || err.Error() != "not in the store: c" || len(got) != 1 || s.log != ">url /b\n" {
		t.Errorf("Push = %v, %v; %s", got, err, s.log)
	}
	s = &two{here: []string{"/a", "/b", "/c"}, there: []string{"/a", "/b", "/c"}}
	if got, err := Push(context.Background(), s, "url", pieces); err != nil || len(got) != 0 || s.log != "" {
		t.Errorf("Push of nothing = %v, %v; %s", got, err, s.log)
	}
}

func TestPull(t *testing.T) {
	s := &two{here: []string{"/a"}, there: []string{"/a", "/b"}}
	got, err := Pull(context.Background(), s, "url", true, pieces)
	var m *Missing
	if !errors.As(err, &m) || err.Error() != "not in url: c" || len(got) != 1 || s.log != "url!> /b\n" {
		t.Errorf("Pull = %v, %v; %s", got, err, s.log)
	}
}
