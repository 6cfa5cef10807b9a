package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"ukl/internal/cli/exit"
	"ukl/internal/host/printable"
	"ukl/internal/run/echo"
)

func (t *tool) clientCommand() *cli.Command {
	return &cli.Command{
		Name:      "client",
		Usage:     "talk to an echo server on ten connections at once, and check every byte",
		UsageText: "ukl client [OPTIONS] [HOST[:PORT]]",
		Description: `HOST is 127.0.0.1 and PORT is 5555 unless they are given.

examples:
  ukl client
  ukl client -n 1000 --size 65536 127.0.0.1:8080`,
		Flags: []cli.Flag{
			&cli.IntFlag{
				Name: "rounds", Aliases: []string{"n"}, Value: echo.DefaultRounds,
				Usage: "round trips on each connection: `N`",
			},
			&cli.IntFlag{
				Name: "connections", Aliases: []string{"c"}, Value: echo.DefaultConnections,
				Usage: "connections at once: `N`",
			},
			&cli.IntFlag{Name: "size", Value: echo.DefaultSize, Usage: "bytes of each payload: `N`"},
			&cli.DurationFlag{Name: "timeout", Value: 30 * time.Second, Usage: "stop waiting for an answer after `TIME`"},
		},
		Action: t.client,
	}
}

func (t *tool) client(c *cli.Context) error {
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	address, err := echo.Address(words[0])
	if err != nil {
		return exit.Errorf(exit.Usage, "%v", err)
	}
	o := echo.Options{
		Address:     address,
		Connections: c.Int("connections"), Rounds: c.Int("rounds"), Size: c.Int("size"),
		Patience: c.Duration("timeout"),
	}
	for _, f := range []struct {
		name       string
		have, most int
	}{{"rounds", o.Rounds, 1 << 30}, {"connections", o.Connections, 10_000}, {"size", o.Size, 64 << 20}} {
		if f.have < 1 || f.have > f.most {
			return exit.Errorf(exit.Usage, "--%s %d: want 1 to %d", f.name, f.have, f.most)
		}
	}
	if o.Patience <= 0 {
		return exit.Errorf(exit.Usage, "--timeout %s: want a time above 0", o.Patience)
	}
	if !c.Bool("json") && !c.Bool("quiet") {
		o.Trip = func(trip echo.Trip) error {
			if trip.Banner != "" {
				if _, err := fmt.Fprintf(t.stdout, "Thread id %d: %s\n", trip.Thread, printable.Line(trip.Banner)); err != nil {
					return err
				}
			}
			_, err := fmt.Fprintf(t.stdout, "Thread id %d: round %d, %d bytes came back, elapsed time = %.3f ms\n",
				trip.Thread, trip.Round, o.Size, float64(trip.Took.Nanoseconds())/1e6)
			return err
		}
	}
	s, err := echo.Run(c.Context, o)
	if s.Count > 0 && !errors.Is(err, syscall.EPIPE) {
		if perr := t.printSummary(c, s); err == nil {
			err = perr
		}
	}
	return clientError(err, o.Address)
}

func (t *tool) printSummary(c *cli.Context, s echo.Summary) error {
	if c.Bool("json") {
		return printJSON(t.stdout, s)
	}
	_, err := fmt.Fprintln(t.stdout, s)
	return err
}

// clientError gives the error of a conversation its code.
func clientError(err error, address string) error {
	var mismatch *echo.Mismatch
	var op *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mismatch), errors.Is(err, echo.ErrClosed):
		return &exit.Error{Code: exit.No, Err: err}
	case errors.Is(err, syscall.ECONNREFUSED):
		return exit.Errorf(exit.Unavailable, "nothing listens on %s", address).WithHint("ukl run multithreaded")
	case errors.As(err, &op):
		return &exit.Error{Code: exit.Unavailable, Err: err}
	}
	return err
}
