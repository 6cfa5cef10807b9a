# files.sh: what an installed Debian makes of the packages ca-certificates and tzdata.
# env  data  their tree, unpacked and not installed
# out  certificates: /etc/ssl/certs/ca-certificates.crt, and it under the names by which OpenSSL looks for it
#      timezones: /usr/share/zoneinfo

# As update-ca-certificates does it: all that the package trusts, one after the other, each with a line break at its
# end.
bundle=$out/certificates/etc/ssl/certs/ca-certificates.crt
mkdir -p "${bundle%/*}" "$out/certificates/usr/lib/ssl" "$out/timezones/usr/share"
cd "$data/usr/share/ca-certificates"
find . -name '*.crt' | LC_ALL=C sort | while read -r file; do
    sed -e '$a\' "$file"
done >"$bundle"
grep -q 'BEGIN CERTIFICATE' "$bundle"
ln -s certs/ca-certificates.crt "$out/certificates/etc/ssl/cert.pem"
ln -s /etc/ssl/certs/ca-certificates.crt "$out/certificates/usr/lib/ssl/cert.pem"

# posix is a copy of the rest, and right counts leap seconds: nobody asks for either, and they are two thirds.
cp -R --no-preserve=mode "$data/usr/share/zoneinfo" "$out/timezones/usr/share/"
rm -rf "$out/timezones/usr/share/zoneinfo/posix" "$out/timezones/usr/share/zoneinfo/right"
grep -q '^TZif' "$out/timezones/usr/share/zoneinfo/Europe/Berlin"

find "$out" -exec touch -h -d @1 {} +
