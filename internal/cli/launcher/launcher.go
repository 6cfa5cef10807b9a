// Package launcher holds the tests of ./ukl, the shell script at the top of the repository. The script cannot be a
// program: it is what runs where nothing is built yet.
package launcher
