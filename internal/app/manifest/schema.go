package manifest

import (
	"bytes"
	"encoding/json"

	"ukl/internal/machine/qemu"
)

type object = map[string]any

// Schema describes the file to editors, as a JSON Schema of draft 07. It says less than Parse: what follows from
// several keys together, and whether files are there, is left to ukl. docs/ukl.schema.json is a copy.
func Schema() ([]byte, error) {
	strings := func(about string) object { return list(about, object{"type": "string"}) }
	s := closed(object{
		"name": object{
			"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9+._-]{0,63}$",
			"description": "the application's name; by default that of the directory",
		},
		"summary":    text("the line that `ukl list` shows"),
		"aliases":    strings("other names"),
		"prebuilt":   text("a finished program of the directory, an x86-64 ELF file"),
		"build":      some(strings("shell commands that make the program, in the pinned tree")),
		"program":    text("with build: the file that the commands make"),
		"objects":    some(strings("with build, instead of program: relocatable files that the commands make and ukl links")),
		"packages":   strings("Debian packages that the build sees; `ukl pins add` pins them in ukl.lock"),
		"sources":    some(strings("source files, or patterns for them: C, C++, assembler")),
		"include":    strings("directories for #include, inside this directory"),
		"cflags":     strings("options for C and assembler"),
		"cxxflags":   strings("options for C++"),
		"ldflags":    strings("options for the linker"),
		"libs":       strings("libraries: \"m\" is -lm"),
		"args":       strings("arguments, unless -- on the command line gives some"),
		"env":        words("variables of the environment"),
		"user":       text("who the application is in the guest: a name or a number, and after a colon a group; by default root"),
		"stopsignal": text("the signal that asks the application to end, as SIGQUIT; by default SIGTERM"),
		"workdir":    text("the directory of the guest in which the application starts; by default /"),
		"sysctl": object{
			"type": "object", "description": "parameters of the guest's kernel: \"net.core.somaxconn\" = 1024",
		},
		"files": words("files to copy into the guest's root: \"/etc/x\" = \"local/path\"; a directory comes with " +
			"everything in it"),
		"certificates": yes("the certificates of Debian's ca-certificates, as /etc/ssl/certs/ca-certificates.crt"),
		"timezones":    yes("the time zones of Debian's tzdata, in /usr/share/zoneinfo"),
		"ports": list("[ADDR:]HOST:GUEST[/udp], or a number for the same port on both sides",
			object{"type": []string{"string", "integer"}}),
		"volumes": strings("directories and disk images of the host: HOST:GUEST[:OPTIONS]; OPTIONS are ro, 9p and trusted, with commas between"),
		"memory":  object{"type": []string{"string", "integer"}, "description": "MiB, or a size such as \"64M\", \"2G\""},
		"cpus":    number("virtual CPUs", 1, qemu.MaxCPUs),
		"unikernel": closed(object{
			"calls": object{
				"enum":        []Calls{Gate, Bypass},
				"description": "the way into the kernel: bypass skips entry and exit work that is not due",
			},
		}),
		"network": closed(object{
			"host": yes("ask for the services of the machine that runs the guest; --allow-host grants it"),
		}),
		"kernel": closed(object{
			"config": list("lines of kernel configuration, in addition to ukl's own", object{
				"type": "string", "pattern": `^CONFIG_[A-Z0-9_]+=(y|n|-?[0-9]+|0x[0-9a-fA-F]+|"[^"\\]*")$`,
			}),
		}),
		"root": with(closed(object{
			"packages": some(strings("Debian packages of which the root file system is made; `ukl pins add` pins them in ukl.lock")),
			"image":    text("instead of packages, a container image: oci:DIR, an OCI layout, or docker-archive:FILE, of docker save"),
			"program":  text("the path of the application in it, as /usr/bin/server; by default the entry point of the image"),
		}), object{
			"description": "a root file system of packages or of a container image, with the application in it",
			"anyOf":       []object{{"required": []string{"packages", "program"}}, {"required": []string{"image"}}},
		}),
		"source": with(closed(object{
			"url": object{
				"type": "string", "pattern": "^(https?://|file:///|pool/)",
				"description": "an archive of third-party source: a tar file, compressed or not",
			},
			"sha256":  object{"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "its hash"},
			"patches": strings("patches of this directory, for patch -p1: files or patterns, in their order"),
			"limit": object{
				"type": "string", "pattern": "^[1-9][0-9]{0,6}[MG]$",
				"description": "how much the archive may unpack to: \"900M\", \"8G\"",
			},
		}), object{
			"required":    []string{"url", "sha256"},
			"description": "third-party source: an archive to fetch, unpack and patch",
		}),
		"test": object{"type": "array", "items": with(closed(object{
			"name":   text("for messages"),
			"args":   strings("arguments of the application"),
			"port":   number("the guest's port that receives send; 0 is stdin", 0, 65535),
			"send":   text("the text to send"),
			"expect": text("the text that must come back, from the port or on stdout"),
			"status": number("the exit code that the application must end with", 0, 255),
		}), object{"anyOf": []object{{"required": []string{"expect"}}, {"required": []string{"status"}}}})},
	})
	s["$schema"] = "http://json-schema.org/draft-07/schema#"
	s["title"] = "ukl.toml: an application for ukl"
	s["description"] = "See docs/ukl-toml.md. In an editor: a first line `#:schema PATH-OR-ADDRESS-OF-THIS-FILE`."
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(s)
	return b.Bytes(), err
}

func text(about string) object { return object{"type": "string", "description": about} }

func number(about string, least, most int) object {
	return object{"type": "integer", "minimum": least, "maximum": most, "description": about}
}

func yes(about string) object { return object{"type": "boolean", "description": about} }

func list(about string, of object) object {
	return object{"type": "array", "items": of, "description": about}
}

// some is a list that is not empty.
func some(list object) object { return with(list, object{"minItems": 1}) }

// words is a table of strings.
func words(about string) object {
	return object{"type": "object", "additionalProperties": object{"type": "string"}, "description": about}
}

// closed is a table that has these keys and no others.
func closed(keys object) object {
	return object{"type": "object", "additionalProperties": false, "properties": keys}
}

// with adds to a part.
func with(part, more object) object {
	for k, v := range more {
		part[k] = v
	}
	return part
}
