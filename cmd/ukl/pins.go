package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/cli/exit"
	"ukl/internal/cli/progress"
	"ukl/internal/host/atomicfile"
	"ukl/internal/host/nix"
	"ukl/internal/host/printable"
	"ukl/internal/host/regular"
	"ukl/internal/pin/pins"
	"ukl/nixexprs"
)

// pinsCommand is the lock and its seeds.
func (t *tool) pinsCommand() *cli.Command {
	goOnly := &cli.BoolFlag{
		Name:  "go-only",
		Usage: "keep the packages; update only the hashes that depend on Go files and go.sum",
	}
	withApps := &cli.BoolFlag{Name: "apps", Usage: "include the packages of all applications that come with ukl"}
	return &cli.Command{
		Name:  "pins",
		Usage: "manage the lock of external inputs, and fetch what it names",
		Subcommands: []*cli.Command{
			{Name: "list", Usage: "print every pin", Action: pinsList},
			{
				Name: "fetch", Usage: "fetch everything that a build needs into the store, with the packages of the named " +
					"applications", ArgsUsage: "[APP|DIR...]", Flags: []cli.Flag{withApps}, Action: pinsFetch,
				BashComplete: t.completes(project, project),
			},
			{Name: "verify", Usage: "compare every pin in the store with its hash", Action: pinsVerify},
			{
				Name: "outdated", Usage: "compare the lock, or the packages of the named applications, with Debian's newest",
				ArgsUsage: "[APP|DIR...]", Flags: []cli.Flag{withApps}, Action: pinsOutdated,
				BashComplete: t.completes(project, project),
			},
			{
				Name: "update", Usage: "move the lock of a checkout to the newest packages of the release and its security archive",
				ArgsUsage: "[CHECKOUT]", Flags: []cli.Flag{goOnly}, Action: pinsUpdate, BashComplete: t.completes(directory, nil),
			},
			{
				Name: "add", Usage: "pin Debian packages, with their dependencies, for the application in this directory",
				ArgsUsage: "[PACKAGE...]", Action: pinsAdd, BashComplete: t.completes(pinnedPackage, pinnedPackage),
			},
			{
				Name: "export", Usage: "write the pins, with those of the named applications, to a folder or file for --seeds",
				ArgsUsage: "FOLDER|FILE.tar [APP|DIR...]", Flags: []cli.Flag{withApps}, Action: pinsExport,
				BashComplete: t.completes(file, project),
			},
			{
				Name: "import", Usage: "put the pins of such a folder or file into the store",
				ArgsUsage: "FOLDER|FILE.tar [APP|DIR...]", Flags: []cli.Flag{withApps}, Action: pinsImport,
				BashComplete: t.completes(file, project),
			},
		},
	}
}

func pinOptions(c *cli.Context) pins.Options {
	return pins.Options{
		Seeds: c.String("seeds"), Mirror: c.String("mirror"), Snapshot: os.Getenv(pins.SnapshotEnv),
		Agent: "ukl/" + version, Local: c.Bool(pins.AllowLocal),
	}
}

func openPins() (*pins.Lock, *nix.Client, error) {
	l, err := pins.Load(nixexprs.FS)
	if err != nil {
		return nil, nil, err
	}
	n, err := nix.Find()
	return l, n, err
}

func printJSON(w io.Writer, v any) error {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, printable.JSON(b.String()))
	return err
}

func pinsList(c *cli.Context) error {
	l, err := pins.Load(nixexprs.FS)
	if err != nil {
		return err
	}
	all := l.All()
	if c.Bool("json") {
		return printJSON(c.App.Writer, all)
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	for _, p := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", p.Name, p.Version, strings.Join(p.Groups, ","), p.Size, p.SHA256)
	}
	return w.Flush()
}

// display shows progress as all commands do. Close it.
func display(c *cli.Context) *progress.Display {
	t := &tool{stderr: c.App.ErrWriter}
	return progress.New(t.stderr, t.display(c))
}

// fetchPins brings pins into the store and shows how far it is.
func fetchPins(c *cli.Context, n *nix.Client, missing []pins.Pin, o pins.Options) error {
	d := display(c)
	defer d.Close()
	o.Note = d.Note
	return pins.Fetch(c.Context, n, missing, o, d.Fetch)
}

// ownPins are the pins that the named applications have themselves, each once, without those of the lock; with --apps
// also those of the applications that come along.
func ownPins(c *cli.Context, l *pins.Lock, words []string) ([]pins.Pin, error) {
	if c.Bool("apps") {
		all, err := apps.New(nixexprs.FS).List()
		if err != nil {
			return nil, err
		}
		words = slices.Clone(words)
		for _, a := range all {
			words = append(words, a.Short)
		}
	}
	var own []pins.Pin
	have := map[string]bool{}
	for _, p := range l.All() {
		have[p.SHA256] = true
	}
	for _, w := range words {
		a, err := findApp(w)
		if err != nil {
			return nil, err
		}
		o, err := pins.LoadOwn(a.Files, a.Dir, a.Wants())
		if err != nil {
			return nil, err
		}
		for _, p := range o.All() {
			if !have[p.SHA256] {
				have[p.SHA256] = true
				own = append(own, p)
			}
		}
	}
	return own, nil
}

// absent are those of the pins that are not in the store.
func absent(c *cli.Context, n *nix.Client, all []pins.Pin) ([]pins.Pin, error) {
	var paths []string
	for _, p := range all {
		paths = append(paths, p.StorePath())
	}
	invalid, err := n.Invalid(c.Context, paths)
	return slices.DeleteFunc(slices.Clone(all),
		func(p pins.Pin) bool { return !slices.Contains(invalid, p.StorePath()) }), err
}

// wanting are the pins that must be fetched before everything of the lock and of these applications can be built.
func wanting(c *cli.Context, l *pins.Lock, n *nix.Client, words []string) ([]pins.Pin, error) {
	own, err := ownPins(c, l, words)
	if err != nil {
		return nil, err
	}
	missing, err := l.Missing(c.Context, n)
	if err != nil {
		return nil, err
	}
	own, err = absent(c, n, own)
	return append(missing, own...), err
}

func pinsFetch(c *cli.Context) error {
	l, n, err := openPins()
	if err != nil {
		return err
	}
	o := pinOptions(c)
	if o.Seeds != "" {
		if err := pins.ImportNars(c.Context, n, l, o.Seeds); err != nil {
			return err
		}
	}
	missing, err := wanting(c, l, n, c.Args().Slice())
	if err != nil {
		return err
	}
	if err := fetchPins(c, n, missing, o); err != nil {
		return err
	}
	return reportPins(c, missing)
}

// fetchedPins is what `ukl pins fetch --json` prints.
type fetchedPins struct {
	Fetched int   `json:"fetched"`
	Bytes   int64 `json:"bytes"`
}

// verifiedPins is what `ukl pins verify --json` prints.
type verifiedPins struct {
	Present int      `json:"present"` // in the store
	Absent  int      `json:"absent"`
	Wrong   []string `json:"wrong"` // store paths
}

// exportedPins is what `ukl pins export --json` prints.
type exportedPins struct {
	Files int    `json:"files"`
	Dir   string `json:"dir"`
}

// reportPins prints what a command brought into the store.
func reportPins(c *cli.Context, brought []pins.Pin) error {
	var size int64
	for _, p := range brought {
		size += p.Size
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, fetchedPins{len(brought), size})
	}
	_, err := fmt.Fprintf(c.App.Writer, "%d pins fetched, %d bytes\n", len(brought), size)
	return err
}

// wrongPins are store paths whose content is not what the lock or the store's database says.
type wrongPins []string

func (e wrongPins) Error() string { return "wrong content: " + strings.Join(e, ", ") }

func pinsVerify(c *cli.Context) error {
	l, n, err := openPins()
	if err != nil {
		return err
	}
	paths := l.Paths()
	slices.Sort(paths)
	invalid, err := n.Invalid(c.Context, paths)
	if err != nil {
		return err
	}
	present := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return slices.Contains(invalid, p) })
	bad, err := n.VerifyPaths(c.Context, present)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = printJSON(c.App.Writer, verifiedPins{len(present), len(invalid), append([]string{}, bad...)})
	} else {
		_, err = fmt.Fprintf(c.App.Writer, "%d in the store, %d with the right hash, %d not in the store\n", len(present),
			len(present)-len(bad), len(invalid))
	}
	if len(bad) > 0 {
		return wrongPins(bad)
	}
	return err
}

func pinsUpdate(c *cli.Context) error {
	checkout := c.Args().First()
	if checkout == "" {
		checkout = "."
	}
	checkout, err := filepath.Abs(checkout)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(checkout, "nixexprs", "default.nix")); err != nil {
		return fmt.Errorf("%s is not a checkout of ukl: %w", checkout, err)
	}
	n, err := nix.Find()
	if err != nil {
		return err
	}
	step := func(s string) {
		if !c.Bool("quiet") {
			fmt.Fprintf(c.App.ErrWriter, "[pins] %s\n", printable.Line(s))
		}
	}
	d := display(c)
	defer d.Close()
	o := pinOptions(c)
	o.Note = d.Note
	l, err := pins.Update(c.Context, n, checkout, c.Bool("go-only"), o, step, d.Fetch)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, l.All())
	}
	_, err = fmt.Fprintf(c.App.Writer, "%d packages pinned\n", len(l.Packages))
	return err
}

// outdatedPins is what `ukl pins outdated --json` prints.
type outdatedPins struct {
	Pins   int           `json:"pins"`   // that were compared
	Behind []pins.Behind `json:"behind"` // the others are the newest
}

// pinsOutdated compares the lock, or with arguments the packages of applications. Its exit code says whether any is
// behind.
func pinsOutdated(c *cli.Context) error {
	l, err := pins.Load(nixexprs.FS)
	if err != nil {
		return err
	}
	all := l.All()
	if c.NArg() > 0 || c.Bool("apps") {
		if all, err = ownPins(c, l, c.Args().Slice()); err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(p pins.Pin) bool { return p.Archive == "" })
	}
	behind, _, err := pins.Outdated(c.Context, all, pinOptions(c), true)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = printJSON(c.App.Writer, outdatedPins{len(all), append([]pins.Behind{}, behind...)})
	} else {
		err = printOutdated(c.App.Writer, len(all), behind)
	}
	if err == nil && len(behind) > 0 {
		return exit.Status(exit.No)
	}
	return err
}

func printOutdated(w io.Writer, all int, behind []pins.Behind) error {
	if len(behind) == 0 {
		_, err := fmt.Fprintf(w, "all %d pins are up to date\n", all)
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, b := range behind {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", b.Name, b.Pinned, b.Newest, b.Archive, strings.Join(b.Groups, ","))
	}
	return table.Flush()
}

// pinsAdd locks the packages of the current directory's ukl.toml and of the command line, which it adds there.
func pinsAdd(c *cli.Context) error {
	const dir = "."
	m, err := manifest.Load(dir)
	if err != nil {
		return err
	}
	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, manifest.File)
	text, err := regular.Read(file, regular.MostText)
	if err != nil {
		return err
	}
	wants := m.Wants()
	list := &wants.Packages
	if m.Root != nil {
		list = &wants.Root
	}
	before := slices.Clone(*list)
	for _, name := range c.Args().Slice() {
		if !manifest.IsPackage(name) {
			return exit.Errorf(exit.Input, "%q is not the name of a Debian package", name)
		}
		if !slices.Contains(*list, name) {
			*list = append(slices.Clip(*list), name)
		}
	}
	if len(wants.Packages)+len(wants.Root) == 0 {
		return exit.Errorf(exit.Usage, "there is no package to pin").
			WithHint("ukl pins add PACKAGE, or packages = [\"PACKAGE\"] in ukl.toml")
	}
	edited := string(text)
	if len(*list) > len(before) {
		if edited, err = manifest.WithPackages(edited, *list); err != nil {
			return err
		}
	}
	own, err := pins.ResolveOwn(c.Context, lock, wants, pinOptions(c))
	if err != nil {
		return err
	}
	if old, err := pins.LoadOwn(regular.Dir(dir), dir, m.Wants()); err == nil && old.Snapshot != "" &&
		maps.Equal(old.Packages, own.Packages) && maps.Equal(old.Root.Packages, own.Root.Packages) {
		own.Snapshot = old.Snapshot // nothing moved, so the file stays as it is
	}
	if err := own.Write(dir); err != nil {
		return err
	}
	if edited != string(text) {
		if err := atomicfile.File(file, []byte(edited), 0o644); err != nil {
			return err
		}
	}
	pinned := maps.Clone(own.Packages)
	maps.Copy(pinned, own.Root.Packages)
	if c.Bool("json") {
		return printJSON(c.App.Writer, pinned)
	}
	for _, name := range slices.Sorted(maps.Keys(pinned)) {
		if _, err := fmt.Fprintf(c.App.Writer, "%s %s\n", name, pinned[name].Version); err != nil {
			return err
		}
	}
	return nil
}

// folderFirst returns the command's first argument.
func folderFirst(c *cli.Context) (string, error) {
	if c.NArg() == 0 {
		return "", exit.Errorf(exit.Usage, "a folder or a file is needed: ukl pins %s FOLDER|FILE.tar [APP|DIR...]",
			c.Command.Name)
	}
	return filepath.Abs(c.Args().First())
}

func pinsExport(c *cli.Context) error {
	dir, err := folderFirst(c)
	if err != nil {
		return err
	}
	l, n, err := openPins()
	if err != nil {
		return err
	}
	own, err := ownPins(c, l, c.Args().Tail())
	if err != nil {
		return err
	}
	// Packages of trees that are built may be gone; a bundle holds them all the same.
	missing, err := absent(c, n, slices.Concat(l.All(), own))
	if err != nil {
		return err
	}
	if err := fetchPins(c, n, missing, pinOptions(c)); err != nil {
		return err
	}
	files, err := pins.Export(c.Context, n, l, own, dir)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, exportedPins{files, dir})
	}
	_, err = fmt.Fprintf(c.App.Writer, "%d files in %s\n", files, dir)
	return err
}

func pinsImport(c *cli.Context) error {
	dir, err := folderFirst(c)
	if err != nil {
		return err
	}
	l, n, err := openPins()
	if err != nil {
		return err
	}
	if err := pins.ImportNars(c.Context, n, l, dir); err != nil {
		return err
	}
	missing, err := wanting(c, l, n, c.Args().Tail())
	if err != nil {
		return err
	}
	o := pins.Options{Seeds: dir, NoApt: true, NoPublic: true}
	if err := fetchPins(c, n, missing, o); err != nil {
		return err
	}
	return reportPins(c, missing)
}
