package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/build/cache"
	"ukl/internal/cli/exit"
	"ukl/internal/host/nix"
)

// cacheCommand brings finished stages to other machines.
func (t *tool) cacheCommand() *cli.Command {
	const about = `URL is a store as Nix knows them: file:///media/stick, ssh://host, s3://bucket?region=eu-west-1, https://host.
Copies the shared stages (tools, QEMU, kernel, libc) and the images of the named applications.`
	return &cli.Command{
		Name:  "cache",
		Usage: "copy finished stages from and to other machines",
		Subcommands: []*cli.Command{
			{
				Name: "push", Usage: "copy stages and images from this machine to a cache", ArgsUsage: "URL [APP|DIR|PROGRAM...]",
				Description:  about,
				BashComplete: t.completes(nil, target),
				Action:       t.cachePush,
			},
			{
				Name: "pull", Usage: "copy stages and images from a cache to this machine", ArgsUsage: "URL [APP|DIR|PROGRAM...]",
				Description: about + "\nNix takes only paths that are signed by a key that nix.conf trusts, or pinned by the " +
					"hash of their content.",
				Flags: []cli.Flag{
					&cli.BoolFlag{
						Name:  "no-check-sigs",
						Usage: "take unsigned paths, too: whoever can write to the cache then decides what your images hold",
					},
				},
				BashComplete: t.completes(nil, target),
				Action:       t.cachePull,
			},
		},
	}
}

func (t *tool) cachePush(c *cli.Context) error {
	return t.copyPieces(c, "pushed", func(n *nix.Client, url string, pieces []cache.Piece) ([]cache.Piece, error) {
		return cache.Push(c.Context, n, url, pieces)
	})
}

func (t *tool) cachePull(c *cli.Context) error {
	return t.copyPieces(c, "pulled", func(n *nix.Client, url string, pieces []cache.Piece) ([]cache.Piece, error) {
		return cache.Pull(c.Context, n, url, c.Bool("no-check-sigs"), pieces)
	})
}

// copyPieces copies the pieces that the command line means, and prints those that were copied.
func (t *tool) copyPieces(c *cli.Context, did string,
	do func(*nix.Client, string, []cache.Piece) ([]cache.Piece, error),
) error {
	if c.NArg() == 0 {
		return exit.Errorf(exit.Usage, "a URL is needed").WithHint("ukl cache %s file:///media/stick", c.Command.Name)
	}
	if err := checkStore(c.Args().First()); err != nil {
		return err
	}
	var list []apps.App
	for _, w := range c.Args().Tail() {
		a, err := findApp(w)
		if err != nil {
			return err
		}
		list = append(list, a)
	}
	n, err := nix.Find()
	if err != nil {
		return err
	}
	b, done := t.builder(c)
	defer done()
	pieces, err := b.Pieces(c.Context, list)
	if err != nil {
		return err
	}
	copied, err := do(n, c.Args().First(), pieces)
	var missing *cache.Missing
	if err != nil && !errors.As(err, &missing) {
		return err
	}
	if perr := t.printPieces(c, did, copied, missing); perr != nil {
		return perr
	}
	return err
}

// storeSchemes are how addresses of caches begin. Nix knows more: its own store, and those of directories.
var storeSchemes = []string{"file", "ssh", "ssh-ng", "s3", "http", "https"}

// checkStore refuses an address that is of no cache. Nix itself is asked only if there is something to copy.
func checkStore(address string) error {
	if scheme, _, found := strings.Cut(address, "://"); found && slices.Contains(storeSchemes, scheme) {
		return nil
	}
	e := exit.Errorf(exit.Usage, "%q is not the address of a cache", address)
	if filepath.IsAbs(address) {
		return e.WithHint("file://%s", address)
	}
	return e.WithHint("want file:///DIRECTORY, ssh://HOST, s3://BUCKET or https://HOST")
}

func (t *tool) printPieces(c *cli.Context, did string, copied []cache.Piece, missing *cache.Missing) error {
	if c.Bool("json") {
		out := struct {
			Copied  []cache.Piece `json:"copied"`
			Missing []cache.Piece `json:"missing"`
		}{append([]cache.Piece{}, copied...), []cache.Piece{}}
		if missing != nil {
			out.Missing = missing.Pieces
		}
		return printJSON(t.stdout, out)
	}
	for _, p := range copied {
		if _, err := fmt.Fprintf(t.stdout, "%s %s %s\n", did, p.Path, p.Title); err != nil {
			return err
		}
	}
	return nil
}
