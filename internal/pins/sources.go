package pins

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"ukl/internal/seeds"
)

// Source is a place that pins may come from, as it answered when it was asked for one of them.
type Source struct {
	Name string // "seeds", "apt" or a mirror's address
	Err  error  // nil if it has the pin
}

// answer is how long a mirror may take to say whether it has a file.
const answer = 5 * time.Second

// Sources asks every source that Fetch would, in the same order, whether it has a pin, until one has. Nothing is brought here.
func Sources(ctx context.Context, p Pin, o Options) []Source {
	var asked []Source
	ask := func(name string, err error) bool {
		asked = append(asked, Source{name, err})
		return err == nil
	}
	if o.Seeds != "" && ask("seeds", seeded(p, o.Seeds)) {
		return asked
	}
	if _, err := exec.LookPath("apt-get"); err == nil && !o.NoApt && ask("apt", offered(ctx, p)) {
		return asked
	}
	for _, m := range o.mirrors() {
		if ask(m, served(ctx, strings.TrimSuffix(m, "/")+"/"+p.Path)) {
			return asked
		}
	}
	return asked
}

// mirrors are the Debian mirrors to ask, in order.
func (o Options) mirrors() []string {
	var list []string
	for _, m := range []string{o.Mirror, DefaultMirror} {
		if m != "" && o.Mirror != NoMirror && !(m == DefaultMirror && o.NoPublic) {
			list = append(list, m)
		}
	}
	return list
}

func seeded(p Pin, from string) error {
	s, err := seeds.Open(from)
	if err != nil {
		return err
	}
	defer s.Close()
	r, err := s.Get(p.SHA256)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("no file sha256/" + p.SHA256)
	}
	if err != nil {
		return err
	}
	return r.Close()
}

func offered(ctx context.Context, p Pin) error {
	a, err := newApt("")
	if err != nil {
		return err
	}
	defer a.close()
	f := &fetch{open: []Pin{p}, others: map[string]*Mismatch{}}
	have, err := f.known(ctx, a)
	if err == nil && len(have) == 0 {
		err = errors.New("its lists do not have the pinned version of " + p.Name)
	}
	return err
}

func served(ctx context.Context, url string) error {
	ctx, stop := context.WithTimeout(ctx, answer)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return errors.Unwrap(err) // without the address, which the caller names
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
