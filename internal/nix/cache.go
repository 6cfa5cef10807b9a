package nix

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Copy copies store paths from one store to another; "" is the one that Nix builds in. Nix wants signatures that nix.conf trusts
// of what comes in and is not pinned by its content; unsigned takes it without.
func (c *Client) Copy(ctx context.Context, from, to string, unsigned bool, paths []string) error {
	args := []string{"--extra-experimental-features", "nix-command", "copy"}
	if from != "" {
		args = append(args, "--from", from)
	}
	if to != "" {
		args = append(args, "--to", to)
	}
	if unsigned {
		args = append(args, "--no-check-sigs")
	}
	for chunk := range slices.Chunk(paths, 500) {
		if _, err := c.run(ctx, "nix", slices.Concat(args, chunk)...); err != nil {
			return err
		}
	}
	return nil
}

// In returns those of the paths that the store at url has.
func (c *Client) In(ctx context.Context, url string, paths []string) ([]string, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	out, err := c.run(ctx, "nix", slices.Concat([]string{"--extra-experimental-features", "nix-command", "path-info", "--json", "--store", url}, paths)...)
	if err != nil {
		return nil, err
	}
	there, err := pathInfo(out)
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !there[p] }), err
}

// pathInfo reads what `nix path-info --json` prints: until Nix 2.18 a list, where a path that is not there is not valid, then an
// object by path, where it is null.
func pathInfo(text []byte) (map[string]bool, error) {
	there := map[string]bool{}
	var list []struct {
		Path  string
		Valid *bool
	}
	if json.Unmarshal(text, &list) == nil {
		for _, p := range list {
			there[p.Path] = p.Valid == nil || *p.Valid
		}
		return there, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, fmt.Errorf("nix path-info: %w", err)
	}
	for path, info := range object {
		there[path] = string(info) != "null"
	}
	return there, nil
}

// Dead returns the paths of the store that nothing holds: no root, no running build.
func (c *Client) Dead(ctx context.Context) ([]string, error) {
	out, err := c.run(ctx, "nix-store", "--gc", "--print-dead")
	return strings.Fields(string(out)), err
}

// Delete deletes paths, with whatever refers to them, unless something holds one: then it is an error, and those before it
// are gone.
func (c *Client) Delete(ctx context.Context, paths []string) error {
	for chunk := range slices.Chunk(paths, 500) {
		if _, err := c.run(ctx, "nix-store", slices.Concat([]string{"--delete"}, chunk)...); err != nil {
			return err
		}
	}
	return nil
}

// Sizes returns the sizes of valid paths, in bytes.
func (c *Client) Sizes(ctx context.Context, paths []string) ([]int64, error) {
	var sizes []int64
	for chunk := range slices.Chunk(paths, 500) {
		out, err := c.run(ctx, "nix-store", slices.Concat([]string{"--query", "--size"}, chunk)...)
		if err != nil {
			return nil, err
		}
		for _, word := range strings.Fields(string(out)) {
			var n int64
			if _, err := fmt.Sscan(word, &n); err != nil {
				return nil, err
			}
			sizes = append(sizes, n)
		}
	}
	if len(sizes) != len(paths) {
		return nil, fmt.Errorf("nix-store told %d sizes of %d paths", len(sizes), len(paths))
	}
	return sizes, nil
}
