// Command sbom checks bills of materials with the official schemas of SPDX 2.3 and CycloneDX 1.6, and every licence in
// them with SPDX's list. The schemas come from Go modules, whose content Go's checksum database fixes: CycloneDX's from
// its own, SPDX's from one that carries a copy, by its hash. Before it believes itself, it checks that lists with a
// mistake are refused.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/dlclark/regexp2"
	"github.com/github/go-spdx/v2/spdxexp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Where the schemas are, by the module that has them.
const (
	cycloneModule = "github.com/CycloneDX/cyclonedx-go"
	cycloneBase   = "http://cyclonedx.org/schema/"
	cycloneSchema = "bom-1.6.schema.json"
	spdxModule    = "github.com/anchore/syft@v1.57.1"
	spdxFile      = "schema/spdx-json/spdx-schema-2.3.json"
	spdxSHA256    = "c2e139546ef93597d3b1214d1d452369d0b536af6c6d6500dbd25c582034aa7c"
	spdxID        = "http://spdx.org/rdf/terms/2.3"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(files []string) error {
	if len(files) == 0 {
		return errors.New("usage: sbom FILE [FILE...]")
	}
	c, err := newChecker()
	if err != nil {
		return err
	}
	refused := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		kind, licences, err := c.check(text)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fmt.Printf("%s: valid %s, %d licences\n", filepath.Base(file), kind, licences)
		n, err := c.refuses(text)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		refused += n
	}
	fmt.Printf("%d lists are valid; with a mistake in it, %d of %d are refused\n", len(files), refused, refused)
	return nil
}

type checker struct{ spdx, cyclone *jsonschema.Schema }

func newChecker() (*checker, error) {
	dir, err := output("", "go", "list", "-m", "-f", "{{.Dir}}", cycloneModule)
	if err != nil {
		return nil, err
	}
	c := &checker{}
	compiler := newCompiler()
	for _, name := range []string{cycloneSchema, "spdx.schema.json", "jsf-0.82.schema.json"} {
		text, err := os.ReadFile(filepath.Join(dir, "schema", name))
		if errors.Is(err, os.ErrNotExist) && strings.HasPrefix(name, "jsf") { // the module misspells it
			text, err = os.ReadFile(filepath.Join(dir, "schema", "jsf-0.82.schemax.json"))
		}
		if err != nil {
			return nil, err
		}
		if err := add(compiler, cycloneBase+name, text); err != nil {
			return nil, err
		}
	}
	if c.cyclone, err = compiler.Compile(cycloneBase + cycloneSchema); err != nil {
		return nil, err
	}
	text, err := spdxSchema()
	if err != nil {
		return nil, err
	}
	compiler = newCompiler()
	if err := add(compiler, spdxID, text); err != nil {
		return nil, err
	}
	c.spdx, err = compiler.Compile(spdxID)
	return c, err
}

// spdxSchema reads the schema of SPDX out of a module that is only downloaded, not built.
func spdxSchema() ([]byte, error) {
	outside, err := os.MkdirTemp("", "sbom-") // a module's own requirements do not matter there
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(outside)
	said, err := output(outside, "go", "mod", "download", "-json", spdxModule)
	if err != nil {
		return nil, err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(said), &module); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(module.Dir, spdxFile))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	if got := hex.EncodeToString(sum[:]); got != spdxSHA256 {
		return nil, fmt.Errorf("%s of %s has SHA-256 %s, not %s", spdxFile, spdxModule, got, spdxSHA256)
	}
	return text, nil
}

func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s%s", strings.Join(cmd.Args, " "), err, out, &stderr)
	}
	return strings.TrimSpace(string(out)), nil
}

// regexpJS is a pattern as ECMA has it: Go's own know no lookahead.
type regexpJS regexp2.Regexp

func (r *regexpJS) MatchString(s string) bool {
	ok, err := (*regexp2.Regexp)(r).MatchString(s)
	return err == nil && ok
}

func (r *regexpJS) String() string { return (*regexp2.Regexp)(r).String() }

func newCompiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseRegexpEngine(func(s string) (jsonschema.Regexp, error) {
		r, err := regexp2.Compile(s, regexp2.ECMAScript)
		return (*regexpJS)(r), err
	})
	return c
}

func add(c *jsonschema.Compiler, address string, text []byte) error {
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return c.AddResource(address, schema)
}

// check validates a list of either format, and the licences in it.
func (c *checker) check(text []byte) (kind string, licences int, err error) {
	list, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return "", 0, err
	}
	m, _ := list.(map[string]any)
	if m["spdxVersion"] != nil {
		kind = "SPDX 2.3"
		if m["spdxVersion"] != "SPDX-2.3" {
			return "", 0, fmt.Errorf("version %v", m["spdxVersion"])
		}
		err = c.spdx.Validate(list)
	} else {
		kind = "CycloneDX 1.6"
		if m["specVersion"] != "1.6" {
			return "", 0, fmt.Errorf("version %v", m["specVersion"])
		}
		if err = c.cyclone.Validate(list); err == nil {
			err = cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&cdx.BOM{})
		}
	}
	if err != nil {
		return "", 0, err
	}
	licences, err = checkLicences(list)
	return kind, licences, err
}

// isExpression tells whether a key of either format has licences as its value.
func isExpression(key string) bool {
	return key == "licenseDeclared" || key == "licenseConcluded" || key == "expression"
}

// checkLicences looks for expressions wherever a list has one.
func checkLicences(v any) (n int, err error) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			more, err := checkLicences(item)
			if n += more; err != nil {
				return n, err
			}
		}
	case map[string]any:
		for key, item := range v {
			text, ok := item.(string)
			if ok && isExpression(key) && text != "NOASSERTION" && text != "NONE" {
				if valid, bad := spdxexp.ValidateLicenses([]string{text}); !valid {
					return n, fmt.Errorf("%s: no licences of SPDX: %q", key, bad)
				}
				n++
				continue
			}
			more, err := checkLicences(item)
			if n += more; err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// mistakes are changes that make a list invalid: a word that the format does not have, a thing that it demands, a
// licence that is none.
var mistakes = map[string][][2]string{
	"spdxVersion": {
		{`"SPDXID": "SPDXRef-DOCUMENT",`, ``},
		{`"relationshipType": "DESCRIBES"`, `"relationshipType": "TELLS"`},
		{`"filesAnalyzed": false`, `"filesAnalyzed": "no"`},
		{`"licenseDeclared": "`, `"licenseDeclared": "GPL-9 AND `},
		{`"dataLicense":`, `"licence":`},
	},
	"bomFormat": {
		{`"bomFormat": "CycloneDX"`, `"bomFormat": "Cyclone"`},
		{`"type": "operating-system"`, `"type": "kernel"`},
		{`"aggregate": "complete"`, `"aggregate": "all"`},
		{`"specVersion": "1.6",`, `"specVersion": "1.6", "made": "today",`},
		{`"alg": "SHA-256"`, `"alg": "SHA-255"`},
	},
}

// refuses counts the mistakes that are found in a list; one that is not found is an error.
func (c *checker) refuses(text []byte) (n int, err error) {
	for format, list := range mistakes {
		if !bytes.Contains(text, []byte(`"`+format+`"`)) {
			continue
		}
		for _, m := range list {
			bad := bytes.Replace(text, []byte(m[0]), []byte(m[1]), 1)
			if bytes.Equal(bad, text) {
				return n, fmt.Errorf("there is no %s to be changed", m[0])
			}
			if _, _, err := c.check(bad); err == nil {
				return n, fmt.Errorf("%s instead of %s is taken for valid", m[1], m[0])
			}
			n++
		}
	}
	return n, nil
}
