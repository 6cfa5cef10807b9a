# link-prebuilt.sh: linux/link.sh for a finished program: where that links the app, this one copies it.
# env  app          the stage of prebuilt.sh or commands.sh      linux_link  linux/link.sh      objects  the
#      linux-objects stage
# out  as linux/link.sh; libraries of a dynamic program, as libraries.sh has them
# why  the kernel's part of the link is the same; only the two commands that make the app and what goes into the image
#      differ

mkdir /tmp/bin
cat >/tmp/bin/g++ <<'END'
#!/bin/sh
if [ -f "$app/symbols" ]; then exec cp "$app/symbols" app; fi
exec cp "$app/program" app
END
cat >/tmp/bin/objcopy <<'END'
#!/bin/sh
exec cp "$app/program" "$3"
END
chmod +x /tmp/bin/g++ /tmp/bin/objcopy
PATH=/tmp/bin:$PATH
export app
glibc='' ldflags='' libs=''
# shellcheck disable=SC1090,SC2034
. "$linux_link"
if [ -f "$app/libraries" ]; then cp "$app/libraries" "$out"; fi
