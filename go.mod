module ukl

go 1.26.0

toolchain go1.26.8

require (
	github.com/klauspost/compress v1.20.3
	github.com/therootcompany/xz v1.0.1
)

require mvdan.cc/sh/v3 v3.14.1 // indirect
