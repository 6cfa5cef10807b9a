module ukl/ci/sbom

go 1.26.0

toolchain go1.26.8

require (
	github.com/CycloneDX/cyclonedx-go v0.12.0
	github.com/dlclark/regexp2 v1.11.0
	github.com/github/go-spdx/v2 v2.8.0
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3
)

require golang.org/x/text v0.14.0 // indirect
