// Package cache brings finished stages to a binary cache and back, through Nix's own copying. Only what an image is
// made of is copied: no package, no source of an application. What is not there is told, never skipped in silence.
package cache

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Store is what copying needs of Nix; *nix.Client is one.
type Store interface {
	Invalid(ctx context.Context, paths []string) ([]string, error)
	In(ctx context.Context, url string, paths []string) ([]string, error)
	Copy(ctx context.Context, from, to string, unsigned bool, paths []string) error
}

// Piece is the result of one stage.
type Piece struct {
	Title string `json:"stage"`
	Path  string `json:"path"`
}

// Missing are pieces that are not where they were to come from. The others have been copied.
type Missing struct {
	Where  string
	Pieces []Piece
}

func (e *Missing) Error() string {
	var titles []string
	for _, p := range e.Pieces {
		titles = append(titles, p.Title)
	}
	return fmt.Sprintf("not in %s: %s", e.Where, strings.Join(titles, ", "))
}

// Push copies pieces to the cache at url and returns those that it did not have.
func Push(ctx context.Context, s Store, url string, pieces []Piece) ([]Piece, error) {
	invalid, err := s.Invalid(ctx, paths(pieces))
	if err != nil {
		return nil, err
	}
	here, missing := split(pieces, func(p string) bool { return !slices.Contains(invalid, p) })
	there, err := s.In(ctx, url, paths(here))
	if err != nil {
		return nil, err
	}
	_, lacking := split(here, func(p string) bool { return slices.Contains(there, p) })
	return transfer(missing, "the store", lacking,
		func(paths []string) error { return s.Copy(ctx, "", url, false, paths) })
}

// Pull copies pieces from the cache at url and returns those that were not here. unsigned is as for nix.Client.Copy.
func Pull(ctx context.Context, s Store, url string, unsigned bool, pieces []Piece) ([]Piece, error) {
	invalid, err := s.Invalid(ctx, paths(pieces))
	if err != nil {
		return nil, err
	}
	wanted, _ := split(pieces, func(p string) bool { return slices.Contains(invalid, p) })
	there, err := s.In(ctx, url, paths(wanted))
	if err != nil {
		return nil, err
	}
	found, missing := split(wanted, func(p string) bool { return slices.Contains(there, p) })
	return transfer(missing, url, found, func(paths []string) error { return s.Copy(ctx, url, "", unsigned, paths) })
}

// transfer copies what there is before it complains of what there is not.
func transfer(missing []Piece, where string, pieces []Piece, copy func([]string) error) ([]Piece, error) {
	if len(pieces) > 0 {
		if err := copy(paths(pieces)); err != nil {
			return nil, err
		}
	}
	if len(missing) > 0 {
		return pieces, &Missing{where, missing}
	}
	return pieces, nil
}

func paths(pieces []Piece) []string {
	var list []string
	for _, p := range pieces {
		list = append(list, p.Path)
	}
	return list
}

// split sorts pieces by what is true of their paths.
func split(pieces []Piece, is func(string) bool) (yes, no []Piece) {
	for _, p := range pieces {
		if is(p.Path) {
			yes = append(yes, p)
		} else {
			no = append(no, p)
		}
	}
	return yes, no
}
